"""Numbers about accuracy, from saved logits. The positive class is FAKE (label 0) throughout."""

import math

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from detector import calls
from detector.errors import DetectorError
from detector.sources import FAKE

POSITIVE = "fake"
METRIC_COLUMNS = (
    *("n", "accuracy", "accuracy_low", "accuracy_high", "precision", "recall", "f1", "auc"),
    *("tp", "fp", "tn", "fn"),
)
Z95 = 1.959964  # two-sided 95 % point of the normal distribution


def confusion(label: np.ndarray, logit: np.ndarray) -> dict[str, int]:
    """Counts tp, fp, tn, fn. An image is called fake where its logit is below 0, P(real) below one half.

    Raises `DetectorError` where a logit is no number; who reads it from a file says whose (`saved.check`).
    """
    if odd := np.flatnonzero(~np.isfinite(logit)).tolist():
        raise DetectorError(f"found no number as the logit of image {odd[0] + 1} of {len(logit)}, expected one")
    fake = np.asarray(label) == FAKE
    called = ~calls.real(np.asarray(logit))
    return {
        "tp": int((called & fake).sum()),
        "fp": int((called & ~fake).sum()),
        "tn": int((~called & ~fake).sum()),
        "fn": int((~called & fake).sum()),
    }


def measure(label: np.ndarray, logit: np.ndarray) -> dict[str, float]:
    """`METRIC_COLUMNS` for one test set; `label` int (n,), 1 = real; `logit` float (n,), above 0 = real.

    What is undefined is NaN, never 0: recall without fakes, precision where nothing is called fake, the area
    under the ROC curve where one class is missing, and everything where there is no image.
    """
    label, logit = np.asarray(label), np.asarray(logit, dtype=np.float64)
    counts = confusion(label, logit)
    tp, fp, tn, fn = (counts[k] for k in ("tp", "fp", "tn", "fn"))
    accuracy = _ratio(tp + tn, len(label))
    low, high = wilson(accuracy, len(label))
    return {
        "n": len(label),
        "accuracy": accuracy,
        "accuracy_low": low,
        "accuracy_high": high,
        "precision": _ratio(tp, tp + fp),
        "recall": _ratio(tp, tp + fn),
        "f1": _ratio(2 * tp, 2 * tp + fp + fn),
        "auc": auc(label, logit),
        **counts,
    }


def auc(label: np.ndarray, logit: np.ndarray) -> float:
    """Area under the ROC curve: the chance that a fake scores as more fake than a real image, ties one half.

    By ranks, as the Mann-Whitney statistic (Hanley & McNeil 1982). NaN where one class is missing. Not
    scikit-learn's, which gives the same number (a test compares them) after three seconds of imports.
    """
    fake = np.asarray(label) == FAKE
    fakes, reals = int(fake.sum()), int((~fake).sum())
    if not fakes or not reals:
        return float("nan")
    ranks = pd.Series(-np.asarray(logit, dtype=np.float64)).rank(method="average").to_numpy()
    return float((ranks[fake].sum() - fakes * (fakes + 1) / 2) / (fakes * reals))


def wilson(accuracy: float, n: float) -> tuple[float, float]:
    """The 95 % score interval of a proportion (Wilson 1927); it stays within 0 and 1. NaN where `n` is 0."""
    if not n:
        return math.nan, math.nan
    centre = (accuracy + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 / (1 + Z95**2 / n) * math.sqrt(accuracy * (1 - accuracy) / n + Z95**2 / (4 * n**2))
    # Both bounds hold the proportion; at 0 and 1 rounding would move it out by 1e-17.
    return max(0.0, min(centre - half, accuracy)), min(1.0, max(centre + half, accuracy))


def wilson_grouped(right: np.ndarray, group: np.ndarray) -> tuple[float, float]:
    """The 95 % score interval of a proportion where images of one group (a person, a prompt) share their fate.

    right: bool (n,). group: int (n,), numbers from 0 without gaps. Wilson's interval for as many single images as
    are worth the `n`: n over the design effect (Rao & Scott 1992; not below 1), times (t with n − 1 over t with
    groups − 1 degrees of freedom)² for few groups (Korn & Graubard 1998). Where all are right, or none, nothing
    tells how alike images of a group are, and each group counts as one. NaN with fewer than two groups.
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


def front(cost: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Which points no other beats (Pareto's front): boolean (n,), of `cost` and `value` float (n,).

    A point is beaten by one that costs no more and is worth no less, and differs in one of the two. NaN is beaten.
    """
    cost, value = np.asarray(cost, dtype=np.float64), np.asarray(value, dtype=np.float64)
    worse = (cost[:, None] >= cost) & (value[:, None] <= value)
    beaten = worse & ((cost[:, None] > cost) | (value[:, None] < value))
    return ~beaten.any(axis=1) & ~np.isnan(cost + value)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
