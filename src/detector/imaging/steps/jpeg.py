"""JPEG compression at a quality, colour subsampled 4:2:0, as cameras and web sites store it."""

import numpy as np

from detector.imaging import pixels

LABEL = "JPEG quality"
BOUNDS = {"type": "integer", "minimum": 1, "maximum": 100}
LARGER_IS_STRONGER = False


def apply(image: np.ndarray, quality: float, seed: tuple[int, int]) -> np.ndarray:
    """Compress `image`, uint8 (height, width, 3), as JPEG of this quality, and decode it."""
    return pixels.stored(image, format="JPEG", quality=int(quality), subsampling="4:2:0")
