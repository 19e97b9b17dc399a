"""Rotation by right angles, which moves pixels and changes none."""

import numpy as np

LABEL = "quarter turns"
BOUNDS = {"type": "integer", "minimum": 1, "maximum": 3}
LARGER_IS_STRONGER = True


def apply(image: np.ndarray, turns: float, seed: tuple[int, int]) -> np.ndarray:
    """Rotate `image`, uint8 (height, width, 3), counterclockwise by this many right angles."""
    return np.rot90(image, int(turns)).copy()
