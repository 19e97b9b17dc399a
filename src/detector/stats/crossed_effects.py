"""Crossed random effects: intervals of a mean difference over images, training seeds, or both.

The same test images are seen by the networks of every seed: two crossed random factors, as readers and cases in
radiology, where this analysis comes from (Dorfman, Berbaum & Metz 1992). `differences`: (seeds, images)
throughout, 1 where only the second model was right, -1 where only the first was, 0 where they agree. `group`: int
(images,), where images of one group are no independent draws: groups are then what is drawn. Bounds are floats,
NaN where there is nothing to count, or one seed or group says nothing of others.
"""

import math

import numpy as np

from detector.stats.intervals import Z95, effective, mean_of_parts, quantile, usual_size


def over_images(differences: np.ndarray, group: np.ndarray | None = None) -> tuple[float, float]:
    """95 % interval of the mean over other test images, for these networks.

    The adjusted Wald interval of `intervals.paired_interval` (Bonett & Price 2012), or of
    `intervals.paired_interval_grouped`, of each image's mean over the seeds; with one seed it is that interval.
    """
    if not np.size(differences):
        return math.nan, math.nan
    if group is not None:
        means = np.asarray(differences, dtype=np.float64).mean(axis=0)
        return mean_of_parts(means, np.zeros(len(means), int), group, differences=True)
    means = _adjusted(differences).mean(axis=0)
    return _around(means.mean(), Z95 * means.std() / math.sqrt(len(means)))


def over_seeds(differences: np.ndarray) -> tuple[float, float]:
    """95 % interval of the mean over other training runs, for these images: Student's t of each seed's difference.

    NaN with one seed, and where all seeds have exactly the same difference: so few say nothing then.
    """
    seeds, images = np.shape(differences)
    if seeds < 2 or not images:
        return math.nan, math.nan
    each = np.mean(differences, axis=1)
    if math.isclose(each.min(), each.max(), abs_tol=1e-12):
        return math.nan, math.nan
    return _around(each.mean(), quantile(seeds - 1) * each.std(ddof=1) / math.sqrt(seeds))


def over_both(differences: np.ndarray, group: np.ndarray | None = None) -> tuple[float, float]:
    """95 % interval of the mean over other training runs and other images. NaN with one seed.

    The variance of the mean is that of two crossed random effects, from the mean squares of seeds, images and
    residual (Cornfield & Tukey 1956): (MS_seeds + MS_images - MS_rest) / (seeds · images), and not less than what
    either source alone would give. Student's t has the degrees of freedom of Hillis (2007): few where seeds
    dominate, many where images do. A bootstrap of both factors would take the few seeds for all that there are.

    Groups stand in place of images, by the residuals of their sums, as many as `intervals.effective` says, and
    being few they have a share in the degrees of freedom (Satterthwaite 1946).
    """
    seeds, images = np.shape(differences)
    if seeds < 2 or not images:
        return math.nan, math.nan
    if group is None:
        return _around(*_crossed(_adjusted(differences), None))
    number = np.unique(group, return_inverse=True)[1]
    sizes = np.bincount(number)
    if len(sizes) < 2:
        return math.nan, math.nan
    sums = np.stack([np.bincount(number, row) for row in differences])
    size = usual_size(sizes)
    sizes = np.append(sizes, [size, size])
    sums = np.hstack([sums, np.full((seeds, 1), size), np.full((seeds, 1), -size)])
    of_seed = sums.sum(axis=1, keepdims=True) / sizes.sum()
    table = of_seed + (sums - sizes * of_seed) * len(sizes) / sizes.sum()
    (low, high), mean = _around(*_crossed(table, effective(sizes))), float(np.mean(differences))
    return max(-1.0, min(low, mean)), min(1.0, max(high, mean))


def _crossed(table: np.ndarray, draws: float | None) -> tuple[float, float]:
    """Mean and half of its 95 % interval; `table`: (seeds, images), or (seeds, groups) that are as `draws` draws.

    Images, None, are taken for so many that the degrees of freedom do not hang on them.
    """
    seeds, columns = table.shape
    count = columns if draws is None else draws
    mean, of_seed, of_image = table.mean(), table.mean(axis=1), table.mean(axis=0)
    by_seed = columns * ((of_seed - mean) ** 2).sum() / (seeds - 1)
    image, all_ = seeds * ((of_image - mean) ** 2).sum(), ((table - mean) ** 2).sum()
    share = count / (count - 1) / columns
    by_image, rest = image * share, (all_ - image - by_seed * (seeds - 1)) * share / (seeds - 1)
    square = max(by_seed + by_image - rest, by_seed, by_image)
    uncertain = by_seed**2 / (seeds - 1) + (0 if draws is None else by_image**2 / (draws - 1))
    free = square**2 / uncertain if uncertain > 0 else math.inf
    return float(mean), quantile(free if free < 1e6 else math.inf) * math.sqrt(square / (seeds * columns))


def _adjusted(differences: np.ndarray) -> np.ndarray:
    """With one image more that each network of the second model gained and one that it lost (Bonett & Price)."""
    seeds = len(differences)
    return np.hstack([np.asarray(differences, dtype=np.float64), np.ones((seeds, 1)), -np.ones((seeds, 1))])


def _around(mean: float, half: float) -> tuple[float, float]:
    return float(mean - half), float(mean + half)
