"""What a difference between two models on the same images can be taken for."""

import math
from statistics import NormalDist

import numpy as np


def paired_interval(first: np.ndarray, second: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Interval of accuracy(second) - accuracy(first), both bool (n,): whether each was right on the same images.

    The adjusted Wald interval for paired proportions (Bonett & Price 2012), which holds its level for small n and
    rare differences. NaN where there is no image.
    """
    first, second = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if not len(first):
        return math.nan, math.nan
    gained = (int((second & ~first).sum()) + 1) / (len(first) + 2)
    lost = (int((first & ~second).sum()) + 1) / (len(first) + 2)
    half = NormalDist().inv_cdf((1 + level) / 2) * math.sqrt(
        (gained + lost - (gained - lost) ** 2) / (len(first) + 2)
    )
    return gained - lost - half, gained - lost + half
