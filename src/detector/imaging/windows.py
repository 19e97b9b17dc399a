"""Windows of packed images, which may be larger than what a network sees: the middle, and those drawn in training.

With `images.pack_size` above `images.size` training sees another window of an image in each epoch, as `train.crop`
says; everything else sees the middle. A drawn window depends on (seed, stage, epoch, image) alone. No torch.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from detector.imaging.pixels import resized

STREAM = 2  # beside those of degradations: an image's window says nothing about its steps


def middle(pixels: np.ndarray, size: int) -> np.ndarray:
    """Middle (..., size, size, 3) of (..., side, side, 3), a view; an odd rest is smaller at left and top."""
    start = (pixels.shape[-2] - size) // 2
    return pixels[..., start : start + size, start : start + size, :]


def drawn(image: np.ndarray, size: int, crop: Mapping[str, Any] | None, key: tuple[int, ...]) -> np.ndarray:
    """Window of a packed image, uint8 (side, side, 3), drawn for this key: uint8 (size, size, 3).

    `crop`: `side`, the lowest and highest share of the image's side that the window has, each as likely, before
    it is resized; without one it has `size` pixels a side, as they are. All places are as likely. `key`: what the
    draw depends on, ints of at least 0.
    """
    rng = np.random.default_rng([*key, STREAM])
    cut = size
    if crop and crop.get("side"):
        cut = max(1, round(rng.uniform(*crop["side"]) * len(image)))
    top, left = rng.integers(len(image) - cut + 1, size=2).tolist()
    window = image[top : top + cut, left : left + cut]
    return window if cut == size else resized(window, size, size)
