"""Difference of differences: how much more one model changed than another, with intervals and tests.

`extra`: int (n,) from -2 to 2 throughout, see `extra_interval`. `count`: of images of groups the number of
`intervals.independent` ones, and the same shares; None for images drawn one by one.
"""

import math

import numpy as np
from scipy.special import ndtr

from detector.stats.intervals import Z95


def extra_interval(extra: np.ndarray, count: float | None = None) -> tuple[float, float]:
    """95 % interval of the mean of `extra`: how much more one model changed than another.

    An image's `extra` is (right after - right before) of the branch minus that of the reference, each right 0 or
    1. Their mean has the variance of any mean of n paired numbers; two images are added, one of +1 and one of -1,
    as Bonett & Price (2012) do for two models, whose interval this is wherever the reference does not change.
    Without them a set in which no image tells the two apart would have an interval of width 0. NaN where there is
    no image.
    """
    if not len(extra):
        return math.nan, math.nan
    mean, deviation = _moments(extra, count)
    return mean - Z95 * deviation, mean + Z95 * deviation


def extra_p(extra: np.ndarray, count: float | None = None) -> float:
    """Two-sided p-value of a mean of 0, with the interval's mean and variance. NaN where there is no image."""
    if not len(extra):
        return math.nan
    mean, deviation = _moments(extra, count)
    return float(2 * ndtr(-abs(mean) / deviation))


def extra_equivalence(extra: np.ndarray, margin: float, count: float | None = None) -> float:
    """P-value of two one-sided tests (Schuirmann 1987) of a mean of `margin` or more, in either direction.

    With a continuity correction of one half, and with a variance of no less than a mean of `margin` implies for
    whole numbers, margin·(1 - margin): where the models hardly differ, the observed variance is too small. NaN
    where there is no image.
    """
    if not len(extra):
        return math.nan
    n = len(extra) if count is None else count
    deviation = math.sqrt(n * max((n + 2) * _moments(extra, count)[1] ** 2, margin * (1 - margin)))
    return float(ndtr(-(n * (margin - abs(extra.mean())) - 0.5) / deviation))


def _moments(extra: np.ndarray, count: float | None) -> tuple[float, float]:
    """Mean and its standard deviation, with one image of +1 and one of -1 added."""
    n = len(extra) if count is None else count
    mean = float(extra.mean()) * n / (n + 2)
    square = (float((extra.astype(np.int64) ** 2).mean()) * n + 2) / (n + 2)
    return mean, math.sqrt((square - mean**2) / (n + 2))
