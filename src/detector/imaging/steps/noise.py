"""Gaussian noise per pixel and channel, seeded by the image."""

import numpy as np

LABEL = "noise (standard deviation, of 255)"
BOUNDS = {"type": "number", "exclusiveMinimum": 0, "maximum": 255}
LARGER_IS_STRONGER = True


def apply(image: np.ndarray, deviation: float, seed: tuple[int, int]) -> np.ndarray:
    """Add noise to `image`, uint8 (height, width, 3); `deviation`: standard deviation in grey levels of 255."""
    drawn = np.random.default_rng(seed).normal(0, deviation, image.shape)
    return np.clip(np.rint(image + drawn), 0, 255).astype(np.uint8)
