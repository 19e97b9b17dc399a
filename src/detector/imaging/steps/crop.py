"""Centre crop, enlarged to the original size."""

import numpy as np

from detector.imaging import pixels

LABEL = "crop (share of the side)"
BOUNDS = {"type": "number", "exclusiveMinimum": 0, "maximum": 1}
LARGER_IS_STRONGER = False


def apply(image: np.ndarray, share: float, seed: tuple[int, int]) -> np.ndarray:
    """Crop `image`, uint8 (size, size, 3), to the centre `share` of its side, and enlarge it to its size."""
    side = len(image)
    kept = max(1, round(share * side))
    start = (side - kept) // 2
    return pixels.resized(image[start : start + kept, start : start + kept], side)
