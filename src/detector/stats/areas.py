"""Areas under ROC curves and their differences where images of a group are no independent draws.

What each image has to do with the error of an area is its influence (DeLong et al. 1988), that of a group the sum
over its images (Obuchowski 1997). `group`, int (n,), says which belong together, None that each is by itself. Each
class needs two groups: of the images of one person nothing can be said about another.
"""

import math

import numpy as np
from scipy.special import expit, stdtr
from scipy.special import logit as logodds

from detector.core.labels import FAKE
from detector.stats import intervals, ranking


def area(label: np.ndarray, logit: np.ndarray, group: np.ndarray | None = None) -> tuple[float, float, float]:
    """Area under the ROC curve with its 95 % interval, by the influence of each image or group of images.

    `label` int (n,), 1 = real; `logit` float (n,); `group` int (n,): images of one group are no independent draws.
    NaN where a class is missing; the interval also where classes do not overlap, or a class has one group.
    """
    if len(np.unique(label)) < 2:
        return math.nan, math.nan, math.nan
    found, parts = influence(label, logit)
    return found, *interval(found, parts, label, group)


def difference(
    label: np.ndarray, first: np.ndarray, second: np.ndarray, group: np.ndarray
) -> tuple[float, float, float]:
    """95 % interval of the area of `second` less that of `first`, and the two-sided p of no difference.

    `ranking.delong` with groups in place of single images, and Student's t for few of them. `label` int (n,),
    1 = real; logits of the same images, float (n,) each; `group` int (n,). NaN where a class is missing or has one
    group, and where neither area varies but they differ.
    """
    if len(np.unique(label)) < 2:
        return math.nan, math.nan, math.nan
    (one, of_first), (other, of_second) = influence(label, first), influence(label, second)
    return around(other - one, of_second - of_first, label, group)


def influence(label: np.ndarray, logit: np.ndarray) -> tuple[float, np.ndarray]:
    """Area under the ROC curve, and what each image has to do with its error, float (n,) (DeLong et al. 1988)."""
    fake = label == FAKE
    of_fakes, of_reals = ranking.placements(fake, logit)
    found, parts = float(of_fakes.mean()), np.zeros(len(logit))
    parts[fake] = (of_fakes - found) / len(of_fakes)
    parts[~fake] = (of_reals - found) / len(of_reals)
    return found, parts


def around(
    value: float, parts: np.ndarray, label: np.ndarray, group: np.ndarray | None
) -> tuple[float, float, float]:
    """95 % interval of a difference of areas, by that of the influences, float (n,); p of no difference."""
    error, free = _error(parts, label, group)
    if error > 0:
        half = intervals.quantile(free) * error
        return value - half, value + half, 2 * float(stdtr(free, -abs(value) / error))
    return (value, value, 1.0) if error == value == 0 else (math.nan, math.nan, math.nan)


def interval(value: float, parts: np.ndarray, label: np.ndarray, group: np.ndarray | None) -> tuple[float, float]:
    """The same of an area, on the scale of log odds (Pepe 2003); NaN where classes do not overlap."""
    error, free = _error(parts, label, group)
    if not error > 0 or not 0 < value < 1:
        return math.nan, math.nan
    odds, half = logodds(value), intervals.quantile(free) * error / (value * (1 - value))
    return float(expit(odds - half)), float(expit(odds + half))


def _error(parts: np.ndarray, label: np.ndarray, group: np.ndarray | None) -> tuple[float, float]:
    """Standard error by the influence of each image, or of each group of them, and its degrees of freedom.

    Means of few draws vary more than their squares say, so those of each class are corrected by its number of
    groups, and degrees of freedom are Satterthwaite's (1946). Of groups whose interval would be narrower than that
    of single images: as of these. NaN where a class has one group.
    """
    single = _of_groups(parts, label, np.arange(len(parts)))[0], math.inf
    number = None if group is None else np.unique(group, return_inverse=True)[1]
    if number is None or number.max() + 1 == len(parts):
        return single
    grouped = _of_groups(parts, label, number)
    if math.isnan(grouped[0]):
        return grouped
    return max(single, grouped, key=lambda found: intervals.quantile(found[1]) * found[0])


def _of_groups(parts: np.ndarray, label: np.ndarray, number: np.ndarray) -> tuple[float, float]:
    """The standard error by sums over groups, and its degrees of freedom."""
    sums, variances, free = np.zeros(number.max() + 1), [], []
    for kind in np.unique(label):
        chosen = label == kind
        counts = np.bincount(number[chosen])
        count = intervals.effective(counts[counts > 0])
        if not count > 1:
            return math.nan, math.nan
        own = np.bincount(number[chosen], parts[chosen], len(sums)) * math.sqrt(count / (count - 1))
        sums += own  # of groups with images of both classes the two go together
        variances.append(float((own**2).sum()))
        free.append(count - 1)
    whole = sum(variances)
    if whole == 0:
        return 0.0, math.inf
    satterthwaite = whole**2 / sum(v**2 / f for v, f in zip(variances, free, strict=True))
    return math.sqrt((sums**2).sum()), satterthwaite
