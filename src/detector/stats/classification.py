"""Classification metrics at a threshold, from saved logits. The positive class is FAKE (label 0)."""

import numpy as np

from detector.core.errors import DetectorError
from detector.core.labels import FAKE
from detector.stats import decisions
from detector.stats.auc import auc
from detector.stats.intervals import wilson

POSITIVE = "fake"
METRIC_COLUMNS = (
    *("n", "accuracy", "accuracy_low", "accuracy_high", "precision", "recall", "f1", "auc"),
    *("tp", "fp", "tn", "fn"),
)


def confusion(label: np.ndarray, logit: np.ndarray) -> dict[str, int]:
    """Counts tp, fp, tn, fn, with fake as the positive class.

    A logit below 0, P(real) below one half, is called fake. `label` int (n,), 1 = real; `logit` float (n,). Raises
    `DetectorError` where a logit is no number; `predictions.check` names the variant and the image.
    """
    if odd := np.flatnonzero(~np.isfinite(logit)).tolist():
        raise DetectorError(
            f"logit of image {odd[0] + 1} of {len(logit)}: found {logit[odd[0]]}, expected a number"
        )
    fake = np.asarray(label) == FAKE
    called = ~decisions.real(np.asarray(logit))
    return {
        "tp": int((called & fake).sum()),
        "fp": int((called & ~fake).sum()),
        "tn": int((~called & ~fake).sum()),
        "fn": int((~called & fake).sum()),
    }


def measure(label: np.ndarray, logit: np.ndarray) -> dict[str, float]:
    """Metrics `METRIC_COLUMNS` of one test set; `label` int (n,), 1 = real; `logit` float (n,), above 0 = real.

    What is undefined is NaN, never 0: recall without fakes, precision where nothing is called fake, the area under
    the ROC curve where one class is missing, and everything where there is no image. Raises `DetectorError` where
    a logit is no number.
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


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
