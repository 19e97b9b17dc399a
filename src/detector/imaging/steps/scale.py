"""Downscaling and upscaling again, bilinear with antialiasing both times."""

import numpy as np

from detector.imaging import pixels

LABEL = "scaled down to (share of the side)"
BOUNDS = {"type": "number", "exclusiveMinimum": 0, "maximum": 1}
LARGER_IS_STRONGER = False


def apply(image: np.ndarray, factor: float, seed: tuple[int, int]) -> np.ndarray:
    """Resize `image`, uint8 (size, size, 3), to this share of its side, at least one pixel, and back."""
    return pixels.resized(pixels.resized(image, max(1, round(factor * len(image)))), len(image))
