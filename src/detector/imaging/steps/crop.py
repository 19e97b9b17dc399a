"""Centre crop, enlarged to the original size."""

import numpy as np

from detector.imaging import pixels

LABEL = "crop (share of the side)"
BOUNDS = {"type": "number", "exclusiveMinimum": 0, "maximum": 1}
LARGER_IS_STRONGER = False


def apply(image: np.ndarray, share: float, seed: tuple[int, int]) -> np.ndarray:
    """Crop `image`, uint8 (height, width, 3), to the centre `share` of its sides, and enlarge it to its size."""
    height, width = image.shape[:2]
    rows, columns = (_centre(side, share) for side in (height, width))
    return pixels.resized(image[rows, columns], height, width)


def _centre(side: int, share: float) -> slice:
    kept = max(1, round(share * side))
    start = (side - kept) // 2
    return slice(start, start + kept)
