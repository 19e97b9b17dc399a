"""What several steps of perturbations do to packed pixels: store and read again, resize. No torch."""

import io
from typing import Any

import numpy as np
from PIL import Image


def stored(image: np.ndarray, **options: Any) -> np.ndarray:
    """What is left of uint8 (height, width, 3) after it was stored with these options of Pillow and read again."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, **options)
    with Image.open(buffer) as read:
        return np.asarray(read.convert("RGB"))


def resized(image: np.ndarray, side: int) -> np.ndarray:
    """uint8 (side, side, 3), bilinear with antialiasing."""
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR))
