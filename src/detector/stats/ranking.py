"""Ranking metrics: ROC, AUC, average precision, equal error rate, best cut. The positive class is FAKE (label 0).

`label` int (n,), 1 = real, and `logit` float (n,), the more below 0 the more fake, throughout. What is undefined
is NaN. scikit-learn has most of this, after three seconds of imports; the tests compare.
"""

from statistics import NormalDist

import numpy as np
from scipy.special import expit, ndtr
from scipy.special import logit as logodds

from detector.core.labels import FAKE
from detector.stats.auc import auc, ranks

ROUNDS = 1000  # resamples of a bootstrap
_CHUNK = 2**15  # numbers of a bootstrap held at a time: what fits into a cache is faster


def roc(label: np.ndarray, logit: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """ROC curve as counts: real and fake images called fake, int (k + 1,) each, and the cuts, float (k,).

    `label` int (n,), 1 = real; `logit` float (n,). The k cuts are the distinct logits, ascending; the counts at i
    are those after i of them are called fake, from none to all.
    """
    values, code = np.unique(np.asarray(logit, dtype=np.float64), return_inverse=True)
    fake = np.asarray(label) == FAKE
    counts = [np.bincount(code[chosen], minlength=len(values)) for chosen in (~fake, fake)]
    false, true = (np.concatenate([[0], np.cumsum(count)]) for count in counts)
    return false, true, values


def ranking(label: np.ndarray, logit: np.ndarray) -> dict[str, float]:
    """Metrics `auc_low`, `auc_high`, `average_precision`, `eer` and `tpr_at_1_percent_fpr` of one set of images.

    `label` int (n,), 1 = real; `logit` float (n,). Average precision is the mean of the precisions at the cuts,
    weighted by the recall each adds (scikit-learn's). The equal error rate is where the straight lines between the
    points of the ROC curve meet the line of equal rates. `tpr_at_1_percent_fpr` is the highest recall at a cut
    that calls at most 1 % of the real images fake; NaN with fewer than 100 of them, where one would be more. All
    are NaN where one class is missing.
    """
    false, true, _ = roc(label, logit)
    reals, fakes = false[-1], true[-1]
    names = ("auc_low", "auc_high", "average_precision", "eer", "tpr_at_1_percent_fpr")
    if not reals or not fakes:
        return dict.fromkeys(names, float("nan"))
    precision = true[1:] / (true[1:] + false[1:])
    allowed = np.searchsorted(false, reals // 100, side="right") - 1
    values = (
        *auc_interval(label, logit),
        float((np.diff(true) * precision).sum() / fakes),
        float(np.interp(0, false / reals + true / fakes - 1, false / reals)),
        float(true[allowed] / fakes) if reals >= 100 else float("nan"),
    )
    return dict(zip(names, values, strict=True))


def auc_interval(
    label: np.ndarray, logit: np.ndarray, rounds: int = ROUNDS, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Interval of the area under the ROC curve: bootstrap, real and fake images drawn apart (Efron 1979).

    `label` int (n,), 1 = real; `logit` float (n,). The spread of the resamples, taken on the scale of log odds
    (Pepe 2003): their percentiles hold an area near 1 too rarely (docs/statistics.md). The same input gives the
    same interval. NaN where a class has fewer than two images, and where no resample differs, as for classes that
    do not overlap: that is not certainty.
    """
    fake = np.asarray(label) == FAKE
    values, code = np.unique(np.asarray(logit, dtype=np.float64), return_inverse=True)
    classes = [code[~fake], code[fake]]
    if min(map(len, classes)) < 2:
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    step = max(1, _CHUNK // len(code))
    found = np.concatenate(
        [_resampled(rng, classes, len(values), min(step, rounds - at)) for at in range(0, rounds, step)]
    )
    if np.ptp(found) == 0:
        return float("nan"), float("nan")
    area = auc(label, logit)
    half = NormalDist().inv_cdf((1 + level) / 2) * found.std(ddof=1) / (area * (1 - area))
    odds = logodds(area)
    return float(expit(odds - half)), float(expit(odds + half))


def _resampled(rng: np.random.Generator, classes: list[np.ndarray], distinct: int, rounds: int) -> np.ndarray:
    """The area of `rounds` resamples; `classes`: ranks of the real and of the fake images."""
    real, fake = (
        np.bincount(
            (
                code[rng.integers(len(code), size=(rounds, len(code)))] + distinct * np.arange(rounds)[:, None]
            ).ravel(),
            minlength=rounds * distinct,
        ).reshape(rounds, distinct)
        for code in classes
    )
    # Real images above each fake one, ties one half.
    above = len(classes[0]) - np.cumsum(real, axis=1) + real / 2
    areas: np.ndarray = (fake * above).sum(axis=1) / (len(classes[0]) * len(classes[1]))
    return areas


def best_cut(label: np.ndarray, logit: np.ndarray) -> float:
    """Logit below which to call an image fake for the best balanced accuracy, halfway between two images.

    `label` int (n,), 1 = real; `logit` float (n,). Of equally good ones that closest to 0. Rounded to the six
    digits that a table shows, so that the written cut gives the written results. NaN where one class is missing or
    all logits are the same: no cut tells such images apart.
    """
    false, true, values = roc(label, logit)
    if not false[-1] or not true[-1] or len(values) == 1:
        return float("nan")
    cuts = np.concatenate([[values[0] - 1], (values[1:] + values[:-1]) / 2, [values[-1] + 1]])
    gain = true * false[-1] - false * true[-1]  # whole numbers: ties are exact
    best = cuts[gain == gain.max()]
    return float(f"{best[np.argmin(np.abs(best))]:.6g}")


def delong(label: np.ndarray, first: np.ndarray, second: np.ndarray) -> dict[str, float]:
    """Difference of two correlated areas under ROC curves (DeLong et al. 1988), by ranks (Sun & Xu 2014).

    `label` int (n,), 1 = real; `first`, `second`: logits of the same images by two models, float (n,). Returns
    `difference`, area of the second less that of the first, its 95 % interval `low` and `high`, and the two-sided
    `p` of no difference. All NaN where a class has fewer than two images; interval and p where neither area varies
    (classes that do not overlap) but they differ.
    """
    fake = np.asarray(label) == FAKE
    names = ("difference", "low", "high", "p")
    if min(int(fake.sum()), int((~fake).sum())) < 2:
        return dict.fromkeys(names, float("nan"))
    of_fakes, of_reals = (
        np.stack(parts) for parts in zip(placements(fake, first), placements(fake, second), strict=True)
    )
    difference = float(of_fakes[1].mean() - of_fakes[0].mean())
    variance = float(sum(np.var(part[1] - part[0], ddof=1) / part.shape[1] for part in (of_fakes, of_reals)))
    if variance == 0:
        same = difference == 0
        values = (difference, 0.0, 0.0, 1.0) if same else (difference, *([float("nan")] * 3))
        return dict(zip(names, values, strict=True))
    half = NormalDist().inv_cdf(0.975) * variance**0.5
    p = 2 * float(ndtr(-abs(difference) / variance**0.5))
    return dict(zip(names, (difference, difference - half, difference + half, p), strict=True))


def placements(fake: np.ndarray, logit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of real images that score below each fake, and of fakes above each real one; ties one half."""
    score = -np.asarray(logit, dtype=np.float64)
    among_all, among_fakes, among_reals = map(ranks, (score, score[fake], score[~fake]))
    of_fakes: np.ndarray = (among_all[fake] - among_fakes) / (~fake).sum()
    of_reals: np.ndarray = 1 - (among_all[~fake] - among_reals) / fake.sum()
    return of_fakes, of_reals
