"""Area under the ROC curve."""

import numpy as np

from detector.core.labels import FAKE


def auc(label: np.ndarray, logit: np.ndarray) -> float:
    """Area under the ROC curve: the chance that a fake scores as more fake than a real image, ties one half.

    `label` int (n,), 1 = real; `logit` float (n,). By ranks, as the Mann-Whitney statistic (Hanley & McNeil 1982).
    NaN where one class is missing. Not scikit-learn's, which gives the same number (a test compares them) after
    three seconds of imports.
    """
    fake = np.asarray(label) == FAKE
    fakes, reals = int(fake.sum()), int((~fake).sum())
    if not fakes or not reals:
        return float("nan")
    of_reals = ranks(np.asarray(logit, dtype=np.float64))[~fake]
    return float((of_reals.sum() - reals * (reals + 1) / 2) / (fakes * reals))


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1 on, float (n,); of equal values the mean of theirs, which is a whole number or a half."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    found: np.ndarray = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return found
