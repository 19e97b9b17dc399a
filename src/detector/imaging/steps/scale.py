"""Downscaling and upscaling again, bilinear with antialiasing both times."""

import numpy as np

from detector.imaging import pixels

LABEL = "scaled down to (share of the side)"
BOUNDS = {"type": "number", "exclusiveMinimum": 0, "maximum": 1}
LARGER_IS_STRONGER = False


def apply(image: np.ndarray, factor: float, seed: tuple[int, int]) -> np.ndarray:
    """Resize `image`, uint8 (height, width, 3), to this share of its sides, at least one pixel, and back."""
    height, width = image.shape[:2]
    small = pixels.resized(image, *(max(1, round(factor * side)) for side in (height, width)))
    return pixels.resized(small, height, width)
