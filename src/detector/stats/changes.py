"""Difference of differences: how much more one model changed than another, with intervals and tests."""

import math
from statistics import NormalDist

import numpy as np
from scipy.special import ndtr


def extra_interval(extra: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Interval of the mean of `extra`, int (n,) from -2 to 2: how much more one model changed than another.

    An image's `extra` is (right after - right before) of the branch minus that of the reference, each right 0 or
    1. Their mean has the variance of any mean of n paired numbers; two images are added, one of +1 and one of -1,
    as Bonett & Price (2012) do for two models, whose interval this is wherever the reference does not change.
    Without them a set in which no image tells the two apart would have an interval of width 0. NaN where there is
    no image.
    """
    if not len(extra):
        return math.nan, math.nan
    mean, variance = _moments(extra)
    half = NormalDist().inv_cdf((1 + level) / 2) * math.sqrt(variance)
    return mean - half, mean + half


def extra_p(extra: np.ndarray) -> float:
    """Two-sided p-value of a mean of 0, with the interval's mean and variance.

    `extra` int (n,) as in `extra_interval`. NaN where there is no image.
    """
    if not len(extra):
        return math.nan
    mean, variance = _moments(extra)
    return float(2 * ndtr(-abs(mean) / math.sqrt(variance)))


def extra_equivalence(extra: np.ndarray, margin: float) -> float:
    """P-value of two one-sided tests (Schuirmann 1987) of a mean of `margin` or more, in either direction.

    `extra` int (n,) as in `extra_interval`. With a continuity correction of one half, and with a variance of no
    less than a mean of `margin` implies for whole numbers, margin·(1 - margin): where the models hardly differ,
    the observed variance is too small. NaN where there is no image.
    """
    n = len(extra)
    if not n:
        return math.nan
    _, variance = _moments(extra)
    deviation = math.sqrt(n * max((n + 2) * variance, margin * (1 - margin)))
    return float(ndtr(-(n * margin - abs(extra.sum()) - 0.5) / deviation))


def _moments(extra: np.ndarray) -> tuple[float, float]:
    """Mean and its variance, with one image of +1 and one of -1 added."""
    n = len(extra) + 2
    mean = float(extra.sum()) / n
    return mean, (float((extra.astype(np.int64) ** 2).sum() + 2) / n - mean**2) / n
