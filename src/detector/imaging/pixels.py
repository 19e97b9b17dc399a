"""Pixel operations that several perturbation steps share: compress and decode, resize. No torch."""

import io
from typing import Any

import numpy as np
from PIL import Image


def stored(image: np.ndarray, **options: Any) -> np.ndarray:
    """Compress uint8 (height, width, 3) with these options of Pillow and decode it again."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, **options)
    with Image.open(buffer) as read:
        return np.asarray(read.convert("RGB"))


def resized(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize uint8 (h, w, 3) to uint8 (height, width, 3), bilinear with antialiasing."""
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
