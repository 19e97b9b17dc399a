"""Confidence intervals of proportions and of paired differences."""

import math
from statistics import NormalDist

import numpy as np
from scipy.special import betaincinv, stdtrit

Z95 = 1.959964  # two-sided 95 % point of the normal distribution


def wilson(accuracy: float, n: float) -> tuple[float, float]:
    """95 % score interval of a proportion (Wilson 1927), within 0 and 1. NaN where `n` is 0."""
    if not n:
        return math.nan, math.nan
    centre = (accuracy + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 / (1 + Z95**2 / n) * math.sqrt(accuracy * (1 - accuracy) / n + Z95**2 / (4 * n**2))
    # Both bounds hold the proportion; at 0 and 1 rounding would move it out by 1e-17.
    return max(0.0, min(centre - half, accuracy)), min(1.0, max(centre + half, accuracy))


def wilson_grouped(right: np.ndarray, group: np.ndarray) -> tuple[float, float]:
    """95 % score interval of a proportion where the results of a group's images (a person, a prompt) correlate.

    `right`: bool (n,). `group`: int (n,), numbers from 0 without gaps. Wilson's interval at the effective number
    of images: n over the design effect (Rao & Scott 1992; not below 1), times (t with n − 1 over t with groups − 1
    degrees of freedom)² for few groups (Korn & Graubard 1998). Where all are right, or none, the correlation
    within groups cannot be estimated, and each group counts as one image. NaN with fewer than two groups.
    """
    n, groups = len(right), int(group.max(initial=-1)) + 1
    if groups < 2:
        return math.nan, math.nan
    share = float(np.mean(right))
    if groups == n:
        return wilson(share, n)
    sums = np.bincount(group, right - share)
    spread = groups / (groups - 1) * (sums**2).sum() / n**2
    effect = spread / (share * (1 - share) / n) if 0 < share < 1 else n / groups
    few = (stdtrit(n - 1, 0.975) / stdtrit(groups - 1, 0.975)) ** 2
    return wilson(share, n / max(effect, 1.0) * few)


def error_bound(errors: int, count: int, alpha: float) -> float:
    """Upper limit of an error rate, one-sided, at confidence 1 - alpha, from `errors` of `count`.

    Clopper and Pearson (1934): the rate at which so few errors or fewer have a chance of `alpha`.
    """
    return 1.0 if errors >= count else float(betaincinv(errors + 1, count - errors, 1 - alpha))


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
