"""Lossy WebP compression at a quality."""

import numpy as np

from detector.imaging import pixels

LABEL = "WebP quality"
BOUNDS = {"type": "integer", "minimum": 0, "maximum": 100}
LARGER_IS_STRONGER = False


def apply(image: np.ndarray, quality: float, seed: tuple[int, int]) -> np.ndarray:
    """Compress `image`, uint8 (height, width, 3), as WebP of this quality, and decode it."""
    return pixels.stored(image, format="WEBP", quality=int(quality))
