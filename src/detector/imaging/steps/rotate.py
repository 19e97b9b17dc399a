"""Rotation by an angle, enlarged so that no corner is empty, bilinear."""

import math

import numpy as np
from PIL import Image

LABEL = "rotation (degrees)"
BOUNDS = {"type": "number", "exclusiveMinimum": 0, "maximum": 45}
LARGER_IS_STRONGER = True


def apply(image: np.ndarray, degrees: float, seed: tuple[int, int]) -> np.ndarray:
    """Rotate `image`, uint8 (height, width, 3), about its centre; the way round is drawn from the seed.

    The largest part of the same proportions without an empty corner, of a square 1 / (cos + sin) of the side, is
    enlarged to the whole.
    """
    height, width = image.shape[:2]
    turned = math.radians(degrees) * (1 if np.random.default_rng(seed).random() < 0.5 else -1)
    longer = max(height / width, width / height)
    shrunk = 1 / (abs(math.cos(turned)) + longer * abs(math.sin(turned)))
    cos, sin, x, y = shrunk * math.cos(turned), shrunk * math.sin(turned), width / 2, height / 2
    back = (cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y)
    whole = Image.fromarray(image)
    return np.asarray(whole.transform((width, height), Image.Transform.AFFINE, back, Image.Resampling.BILINEAR))
