"""Confidence intervals of proportions and of paired differences."""

import math
from statistics import NormalDist

import numpy as np
from scipy.special import betaincinv, stdtrit

Z95 = NormalDist().inv_cdf(0.975)  # two-sided 95 % point


def wilson(accuracy: float, n: float) -> tuple[float, float]:
    """95 % score interval of a proportion (Wilson 1927), within 0 and 1. NaN where `n` is 0."""
    if not n:
        return math.nan, math.nan
    centre = (n * accuracy + Z95**2 / 2) / (n + Z95**2)
    # In this form n may be a tiny share of an image, as of two groups of which one is all but one image.
    half = Z95 / (n + Z95**2) * math.sqrt(n * accuracy * (1 - accuracy) + Z95**2 / 4)
    # Both bounds hold the proportion; at 0 and 1 rounding would move it out by 1e-17.
    return max(0.0, min(centre - half, accuracy)), min(1.0, max(centre + half, accuracy))


def quantile(free: float) -> float:
    """Two-sided 95 % point of Student's t with `free` degrees of freedom; of the normal distribution with inf."""
    return Z95 if math.isinf(free) else float(stdtrit(free, 0.975))


def effective(sizes: np.ndarray) -> float:
    """Number of groups of equal size that would vary as groups of these `sizes`, (k,), do: at most k.

    The square of the sum over the sum of squares (Kish 1965). One group of half of all images is, to the mean and
    to the error of its estimate, much of what there is, however many small ones there are beside it.
    """
    return float(sizes.sum() ** 2 / (sizes.astype(np.float64) ** 2).sum()) if len(sizes) else 0.0


def usual_size(sizes: np.ndarray) -> float:
    """Mean size of the group that an image is in, of groups of these `sizes`, (k,): theirs where they are equal.

    Beside many single images the mean of `sizes` itself says nothing of a large group, which turns as one.
    """
    return float((sizes.astype(np.float64) ** 2).sum() / sizes.sum())


def wilson_grouped(right: np.ndarray, group: np.ndarray) -> tuple[float, float]:
    """95 % score interval of a proportion where the results of a group's images (a person, a prompt) correlate.

    `right`: bool (n,); `group`: int (n,). Wilson's interval for `independent` images. NaN with fewer than two
    groups.
    """
    count = independent(right, group)
    return (math.nan, math.nan) if math.isnan(count) else wilson(float(np.mean(right)), count)


def independent(values: np.ndarray, group: np.ndarray, *, differences: bool = False) -> float:
    """Number of images drawn one by one that would say as much of a mean as these, which belong to groups.

    `values`: bool or float (n,); `group`: int (n,). n over the design effect (Rao & Scott 1992; not below 1),
    times (t with n − 1 over t with groups − 1 degrees of freedom)² for few groups (Korn & Graubard 1998), of which
    there are as many as `effective` says. If all values are the same the correlation within groups cannot be
    estimated, and each group counts as one image. So that it does not jump from there, `differences`, which are
    mostly 0, get one group of `usual_size` that gained in all its images and one that lost. NaN with fewer than
    two groups.
    """
    number = np.unique(group, return_inverse=True)[1]
    n, counts = len(values), np.bincount(number)
    if len(counts) < 2:
        return math.nan
    if len(counts) == n:
        return n
    mean, groups, size = float(np.mean(values)), effective(counts), usual_size(counts)
    sums = np.bincount(number, values - mean)
    of_groups, of_images = (sums**2).sum(), ((values - mean) ** 2).sum()
    if differences:
        of_groups += sum((size * (kind - mean)) ** 2 for kind in (-1, 1))
        of_images += sum(size * (kind - mean) ** 2 for kind in (-1, 1))
    effect = groups / (groups - 1) * of_groups / of_images if of_images > 0 else n / groups
    return float(n / max(effect, 1.0) * (quantile(n - 1) / quantile(groups - 1)) ** 2)


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


def paired_interval_grouped(first: np.ndarray, second: np.ndarray, group: np.ndarray) -> tuple[float, float]:
    """`paired_interval` where images of one group are no independent draws: `mean_of_parts` of one part.

    `first`, `second`: bool (n,); `group`: int (n,). NaN with fewer than two groups.
    """
    change = np.asarray(second, dtype=np.float64) - np.asarray(first, dtype=np.float64)
    return mean_of_parts(change, np.zeros(len(change), int), group, differences=True)


def mean_of_parts(
    values: np.ndarray, part: np.ndarray, group: np.ndarray | None, *, differences: bool = False
) -> tuple[float, float]:
    """95 % interval of the mean over parts of the means of `values`, float (n,), in each; parts weigh the same.

    `part`: int (n,), from 0 without gaps. `values` are from 0 to 1, or with `differences` from -1 to 1. The
    adjusted Wald interval of a linear function of proportions (Price & Bonett 2004; of paired differences Bonett &
    Price 2012): each of m parts gets 2/m images more of either kind, with `differences` 1/m. `group`, int (n,):
    images of a group, in whichever parts, are one draw: the variance is that of the sums of groups, with Student's
    t of one less than their number (`effective`, by weight); what is added then counts as groups of `usual_size`,
    and the interval is not narrower than that of single images. NaN with fewer than two groups.
    """
    single = group is None
    number = np.arange(len(values)) if group is None else np.unique(group, return_inverse=True)[1]
    if number.max(initial=-1) < 1:
        return math.nan, math.nan
    alone = number.max() + 1 == len(values)
    many, images = int(part.max()) + 1, np.bincount(part)
    count = effective(np.bincount(number, 1 / images[part]))
    pairs, together = np.unique(np.stack([part, number]), axis=1, return_counts=True)
    size = np.bincount(pairs[0], together.astype(np.float64) ** 2, minlength=many) / images
    added, kinds = (1 / many, (-1, 1)) if differences else (2 / many, (0, 1))
    weight = images + 2 * added * size
    centre = (np.bincount(part, values) + added * size * sum(kinds)) / weight
    sums = np.bincount(number, (values - centre[part]) / (many * weight[part]))
    variance = (sums**2).sum() * (1 if alone else count / (count - 1))
    variance += sum((added * (size * (kind - centre) / (many * weight)) ** 2).sum() for kind in kinds)
    half = quantile(math.inf if alone else count - 1) * math.sqrt(variance)
    if not single:
        low, high = mean_of_parts(values, part, None, differences=differences)
        half = max(half, (high - low) / 2)
    mean = float(np.mean(np.bincount(part, values) / images))
    middle = float(centre.mean())
    return max(float(kinds[0]), min(middle - half, mean)), min(1.0, max(middle + half, mean))
