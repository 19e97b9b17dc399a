"""Square crops that keep an image's native pixels, and draws that depend on the file alone."""

import hashlib
import math

import numpy as np
from PIL import Image

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels, as Pillow has it


def draw(sha256: str, what: str, count: int) -> int:
    """Draw a number from 0 to `count` - 1 from a file's hash, the same on every machine; `what` names the draw.

    No seed takes part: a file's pixels are the same under every split, and whoever has the settings can treat a
    new file in the same way.
    """
    digest = hashlib.sha256(f"{what}:{sha256}".encode()).digest()
    return int.from_bytes(digest[:8]) % count


def centre(image: Image.Image, side: int) -> Box:
    """Box (left, top, right, bottom) of `side` pixels in the middle; an odd rest is smaller at left and top."""
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return left, top, left + side, top + side


def random(image: Image.Image, side: int, sha256: str) -> Box:
    """Box of `side` pixels drawn uniformly over all positions, from the file's hash."""
    left = draw(sha256, "left", image.width - side + 1)
    top = draw(sha256, "top", image.height - side + 1)
    return left, top, left + side, top + side


def texture(image: Image.Image, side: int) -> Box:
    """Box of `side` pixels with the richest texture, from a grid whose neighbours overlap by half or more.

    The measure is the sum of absolute differences of neighbouring grey values in four directions: to the right,
    down, and along both diagonals. It is the texture diversity of N. Zhong et al., PatchCraft: Exploring Texture
    Patch for Efficient AI-generated Image Detection, arXiv:2311.12397 (2023), who cut an image into patches and
    compare the richest and the poorest. Ties go to the first, row by row.
    """
    grey = np.asarray(image.convert("L"))
    best, found = -1, (0, 0)
    for top in _places(image.height, side):
        band = grey[top : top + side].astype(np.int16)  # one band at a time: an image may have 100 million pixels
        for left in _places(image.width, side):
            rich = _diversity(band[:, left : left + side])
            if rich > best:
                best, found = rich, (left, top)
    left, top = found
    return left, top, left + side, top + side


def _places(length: int, side: int) -> list[int]:
    """Positions of windows along an axis: evenly from 0 to length - side, at most half a side apart."""
    rest = length - side
    steps = math.ceil(rest / max(side // 2, 1))
    return [round(rest * step / steps) for step in range(steps + 1)] if steps else [0]


def _diversity(grey: np.ndarray) -> int:
    """int16 (h, w) → the sum over four directions, exact."""
    pairs = (
        (grey[:, 1:], grey[:, :-1]),
        (grey[1:], grey[:-1]),
        (grey[1:, 1:], grey[:-1, :-1]),
        (grey[1:, :-1], grey[:-1, 1:]),
    )
    return sum(int(np.abs(a - b).sum(dtype=np.int64)) for a, b in pairs)
