"""Balanced accuracy: the mean of the shares of fake and of real images that were called right."""

import numpy as np

from detector.stats.classification import confusion

COLUMNS = ("balanced_accuracy",)


def measure(label: np.ndarray, logit: np.ndarray) -> dict[str, float]:
    """The mean, or NaN where a class is missing."""
    counts = confusion(label, logit)
    fakes, reals = counts["tp"] + counts["fn"], counts["tn"] + counts["fp"]
    if not fakes or not reals:
        return {"balanced_accuracy": float("nan")}
    return {"balanced_accuracy": (counts["tp"] / fakes + counts["tn"] / reals) / 2}
