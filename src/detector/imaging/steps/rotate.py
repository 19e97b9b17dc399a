"""Rotation by an angle, enlarged so that no corner is empty, bilinear."""

import math

import numpy as np
from PIL import Image

LABEL = "rotation (degrees)"
BOUNDS = {"type": "number", "exclusiveMinimum": 0, "maximum": 45}
LARGER_IS_STRONGER = True


def apply(image: np.ndarray, degrees: float, seed: tuple[int, int]) -> np.ndarray:
    """Rotate `image`, uint8 (size, size, 3), about its centre; the way round is drawn from the seed.

    The largest square without an empty corner, 1 / (cos + sin) of the side, is enlarged to the whole.
    """
    side = len(image)
    turned = math.radians(degrees) * (1 if np.random.default_rng(seed).random() < 0.5 else -1)
    shrunk = 1 / (abs(math.cos(turned)) + abs(math.sin(turned)))
    cos, sin, centre = shrunk * math.cos(turned), shrunk * math.sin(turned), side / 2
    back = (cos, -sin, centre - cos * centre + sin * centre, sin, cos, centre - sin * centre - cos * centre)
    whole = Image.fromarray(image)
    return np.asarray(whole.transform((side, side), Image.Transform.AFFINE, back, Image.Resampling.BILINEAR))
