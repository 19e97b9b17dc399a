"""Gaussian blur."""

import numpy as np
from PIL import Image, ImageFilter

LABEL = "blur (standard deviation, px)"
BOUNDS = {"type": "number", "exclusiveMinimum": 0, "maximum": 100}
LARGER_IS_STRONGER = True


def apply(image: np.ndarray, deviation: float, seed: tuple[int, int]) -> np.ndarray:
    """Blur `image`, uint8 (height, width, 3); `deviation`: the standard deviation in pixels."""
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(deviation)))
