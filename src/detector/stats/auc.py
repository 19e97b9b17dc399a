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
    _, place, counts = np.unique(np.asarray(logit, dtype=np.float64), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]  # of equal logits the mean of theirs; halves are exact
    return float((ranks[~fake].sum() - reals * (reals + 1) / 2) / (fakes * reals))
