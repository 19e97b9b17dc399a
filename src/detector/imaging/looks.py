"""Looks: several windows of one packed image, whose mean logit is the image's. No torch.

With `images.looks` a logit of a trained network is of a whole packed square, not of its middle alone. The
windows are those of a grid: `crops` of them for each side in `sizes`, as many across as down, at equal
distances from one edge to the other, resized to what the network sees. It is the multi-crop evaluation of K.
Simonyan and A. Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition, arXiv:1409.1556
(2015), section 3.2, who take a regular grid of 5 x 5 at each of several scales; without their flips, and with
the mean of logits, not of probabilities. The pipeline, `detector predict` and `serve` cut by this module.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from detector.core.errors import DetectorError
from detector.imaging.pixels import resized

CROPS = (1, 4, 9, 16, 25)  # as the schema of the config has them
Window = tuple[int, int, int]  # left, top and side in pixels


@dataclass(frozen=True, slots=True)
class Looks:
    """A grid of windows of a packed square."""

    crops: int  # of each size: 1 is the middle, 4 the corners; one of `CROPS`
    sizes: tuple[int, ...]  # sides of windows, pixels of the packed square

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Looks":
        """Looks from a `record()`. Raises `DetectorError` for what is none."""
        try:
            found = cls(settings["crops"], tuple(settings["sizes"]))
            good = all(type(size) is int and size > 0 for size in found.sizes) and len(found.sizes) > 0
            good = good and found.crops in CROPS and set(settings) == {"crops", "sizes"}
        except (KeyError, TypeError):
            good = False
        if not good:
            raise DetectorError(
                f"looks: found {settings}, expected crops, one of {', '.join(map(str, CROPS))}, and sizes, sides "
                "in pixels, and no other key; use the version of the project that made the model"
            )
        return found

    @classmethod
    def parse(cls, text: str) -> "Looks":
        """Looks from the JSON of a `record()`, an argument of a stage. Raises as `of` does."""
        return cls.of(json.loads(text))

    def record(self) -> dict[str, Any]:
        """JSON values that `of` reads."""
        return {"crops": self.crops, "sizes": list(self.sizes)}

    def windows(self, side: int) -> list[Window]:
        """Windows of a square of `side` pixels, size by size, row by row. Windows in one place are one.

        Raises `DetectorError` where a window is larger than the square.
        """
        if max(self.sizes) > side:
            raise DetectorError(
                f"looks: found windows of {max(self.sizes)} pixels, expected at most {side}, the packed square; "
                "correct images.looks.sizes, or use the version of the project that made the model"
            )
        across, found = math.isqrt(self.crops), []
        for size in self.sizes:
            rest = side - size
            # Of three the one between, and a single one, is `windows.middle`.
            places = [rest * step // (across - 1) for step in range(across)] if across > 1 else [rest // 2]
            found += [(left, top, size) for top in places for left in places]
        return list(dict.fromkeys(found))

    def cut(self, image: np.ndarray, size: int) -> np.ndarray:
        """Looks at a packed image, uint8 (side, side, 3): uint8 (looks, size, size, 3), in the order of `windows`.

        Raises as `windows` does.
        """
        return np.stack([look(image, window, size) for window in self.windows(len(image))])


def look(image: np.ndarray, window: Window, size: int) -> np.ndarray:
    """One window of a packed image, uint8 (side, side, 3), as the network sees it: uint8 (size, size, 3)."""
    left, top, side = window
    pixels = image[top : top + side, left : left + side]
    return pixels if side == size else resized(pixels, size, size)


def mean(logits: np.ndarray, looks: int) -> np.ndarray:
    """Logits of images, (n,), from those of their looks, (n * looks,), image by image; of one look as they are."""
    if looks == 1:
        return logits
    return logits.reshape(-1, looks).mean(axis=1, dtype=np.float64).astype(logits.dtype)
