"""Crossed random effects: intervals of a mean difference over images, training seeds, or both.

The same test images are seen by the networks of every seed: two crossed random factors, as readers and cases in
radiology, where this analysis comes from (Dorfman, Berbaum & Metz 1992). `differences`: (seeds, images)
throughout, 1 where only the second model was right, -1 where only the first was, 0 where they agree. Bounds are
floats, NaN where there is nothing to count or one seed says nothing of others.
"""

import math
from statistics import NormalDist

import numpy as np
from scipy.special import stdtrit


def over_images(differences: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Interval of the mean over other test images, for these networks.

    The adjusted Wald interval of `intervals.paired_interval` (Bonett & Price 2012), of each image's mean over the
    seeds; with one seed it is that interval.
    """
    if not np.size(differences):
        return math.nan, math.nan
    means = _adjusted(differences).mean(axis=0)
    half = NormalDist().inv_cdf((1 + level) / 2) * means.std() / math.sqrt(len(means))
    return _around(means.mean(), half)


def over_seeds(differences: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Interval of the mean over other training runs, for these images: Student's t of the difference of each seed.

    NaN with one seed, and where all seeds have exactly the same difference: so few say nothing then.
    """
    seeds, images = np.shape(differences)
    if seeds < 2 or not images:
        return math.nan, math.nan
    each = np.mean(differences, axis=1)
    if math.isclose(each.min(), each.max(), abs_tol=1e-12):
        return math.nan, math.nan
    half = float(stdtrit(seeds - 1, (1 + level) / 2)) * each.std(ddof=1) / math.sqrt(seeds)
    return _around(each.mean(), half)


def over_both(differences: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Interval of the mean over other training runs and other images. NaN with one seed.

    The variance of the mean is that of two crossed random effects, from the mean squares of seeds, images and
    residual (Cornfield & Tukey 1956): (MS_seeds + MS_images - MS_rest) / (seeds · images), and not less than what
    either source alone would give. Student's t has the degrees of freedom of Hillis (2007): few where seeds
    dominate, many where images do. A bootstrap of both factors would take the few seeds for all that there are.
    """
    seeds, images = np.shape(differences)
    if seeds < 2 or not images:
        return math.nan, math.nan
    table = _adjusted(differences)
    images = table.shape[1]
    mean, of_seed, of_image = table.mean(), table.mean(axis=1), table.mean(axis=0)
    by_seed = images * ((of_seed - mean) ** 2).sum() / (seeds - 1)
    by_image = seeds * ((of_image - mean) ** 2).sum() / (images - 1)
    total = ((table - mean) ** 2).sum() - by_seed * (seeds - 1) - by_image * (images - 1)
    rest = total / ((seeds - 1) * (images - 1))
    square = max(by_seed + by_image - rest, by_seed, by_image)
    freedom = (seeds - 1) * (square / by_seed) ** 2 if by_seed > 0 else math.inf
    quantile = NormalDist().inv_cdf((1 + level) / 2)
    if freedom < 1e6:
        quantile = float(stdtrit(freedom, (1 + level) / 2))
    return _around(mean, quantile * math.sqrt(square / (seeds * images)))


def _adjusted(differences: np.ndarray) -> np.ndarray:
    """With one image more that each network of the second model gained and one that it lost (Bonett & Price)."""
    seeds = len(differences)
    return np.hstack([np.asarray(differences, dtype=np.float64), np.ones((seeds, 1)), -np.ones((seeds, 1))])


def _around(mean: float, half: float) -> tuple[float, float]:
    return float(mean - half), float(mean + half)
