"""Change of brightness, contrast and saturation, each by a factor near one."""

import numpy as np
from PIL import Image, ImageEnhance

LABEL = "change of colour (share, at most)"
BOUNDS = {"type": "number", "exclusiveMinimum": 0, "maximum": 1}
LARGER_IS_STRONGER = True


def apply(image: np.ndarray, share: float, seed: tuple[int, int]) -> np.ndarray:
    """Change `image`, uint8 (height, width, 3); the seed draws the three factors, 1 - share to 1 + share."""
    changed = Image.fromarray(image)
    kinds = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
    for kind, factor in zip(kinds, np.random.default_rng(seed).uniform(1 - share, 1 + share, 3), strict=True):
        changed = kind(changed).enhance(float(factor))
    return np.asarray(changed)
