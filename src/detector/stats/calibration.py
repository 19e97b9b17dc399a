"""Calibration: temperature scaling of logits and the band of unsure verdicts, fitted on validation images."""

from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit

from detector.core.labels import FAKE
from detector.stats import decisions
from detector.stats.intervals import error_bound

LOWEST, HIGHEST = 0.05, 20.0
CONFIDENCE = 0.95  # that a band keeps to its error rate
SHARES = 20  # how many cuts are looked at for each verdict
BINS = 15  # of the calibration error


def temperature(label: np.ndarray, logit: np.ndarray) -> float:
    """Temperature that scales logits so that probabilities fit the labels best (Guo et al. 2017).

    `label` int (n,), 1 = real; `logit` float (n,), above 0 = real, to be divided by the result. Minimises the log
    loss between 0.05 and 20: without errors the best temperature would be 0. It changes no verdict. NaN where
    there are no images, or a logit is NaN.
    """
    sign = np.where(np.asarray(label) == 1, 1.0, -1.0)
    margin = sign * np.asarray(logit, dtype=np.float64)
    if not len(margin) or np.isnan(margin).any():
        return float("nan")
    found = minimize_scalar(
        lambda power: np.logaddexp(0, -margin / np.exp(power)).mean(),
        bounds=(np.log(LOWEST), np.log(HIGHEST)),
        method="bounded",
    )
    return float(np.exp(found.x))


def at_lowest(temperature: float) -> bool:
    """Whether it is the lowest allowed: that of images told apart without an error, which no temperature fits."""
    return temperature < LOWEST * 1.01


def at_highest(temperature: float) -> bool:
    """Whether it is the highest allowed: that of logits whose sign tells the classes no better than chance."""
    return temperature > HIGHEST / 1.01


def band(label: np.ndarray, logit: np.ndarray, wanted: float) -> dict[str, Any]:
    """Find the band of unsure logits, outside of which at most the share `wanted` of verdicts is wrong.

    `label` int (n,), 1 = real; `logit` float (n,), above 0 = real; of images that played no part in training.

    Each verdict has a cut of its own, so that neither hides behind the other: of the images called fake (or real),
    the surest twentieth, two twentieths, … all are tested. The bound on the error rate of each share is that of
    Clopper and Pearson (1934), one-sided, at a confidence of 1 - 0.05 / 20: with twenty tests, the one that is
    kept holds with 95 % (Bonferroni). The largest share whose bound is at most `wanted` is kept; where there is
    none, there are too few images or too many errors to show it, and the share with the lowest bound is kept.

    Returns `wanted`, `confidence`, and for `fake` and `real` the `cut` (logits up to it, or from it on, are sure;
    None where no bound is below one half: never sure), the `bound`, whether it is `reached`, and what it rests on:
    the images `called` so, those `kept` beyond the cut, and the `errors` among these.
    """
    label, logit = np.asarray(label), np.asarray(logit, dtype=np.float64)
    real, wrong = decisions.real(logit), ~decisions.right(label, logit)
    return {
        "wanted": wanted,
        "confidence": CONFIDENCE,
        "fake": _side(-logit[~real], wrong[~real], wanted, -1),
        "real": _side(logit[real], wrong[real], wanted, 1),
    }


def _side(strength: np.ndarray, wrong: np.ndarray, wanted: float, sign: int) -> dict[str, Any]:
    """Cut of one verdict: `strength` float (m,), the magnitude of its logits; `wrong` boolean (m,)."""
    order = np.argsort(-strength, kind="stable")
    strength, errors = strength[order], np.cumsum(wrong[order])
    best: dict[str, Any] | None = None
    for part in range(1, SHARES + 1) if len(order) else ():
        cut = strength[max(1, part * len(order) // SHARES) - 1]
        kept = int(np.searchsorted(-strength, -cut, side="right"))  # of equal logits all or none
        look = {
            "cut": sign * float(cut),
            "bound": error_bound(int(errors[kept - 1]), kept, (1 - CONFIDENCE) / SHARES),
            "kept": kept,
            "errors": int(errors[kept - 1]),
        }
        if best is None or look["bound"] <= max(best["bound"], wanted):
            best = look
    if best is None or best["bound"] >= 0.5:
        best = {"cut": None, "bound": None, "kept": 0, "errors": 0}
    reached = best["bound"] is not None and best["bound"] <= wanted
    return {**best, "reached": reached, "called": len(order)}


def reliability(label: np.ndarray, logit: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reliability diagram: for each bin of the `ece` mean probability of fake, share of fakes, images.

    `label` int (n,), 1 = real; `logit` float (n,). Returns three arrays (bins,): float, float, int.
    """
    fake, logit = np.asarray(label) == FAKE, np.asarray(logit, dtype=np.float64)
    order = np.argsort(logit, kind="stable")
    bins = [part for part in np.array_split(order, BINS) if len(part)]
    chance, share = expit(-logit), _shared(logit, fake)
    return (
        np.array([chance[part].mean() for part in bins]),
        np.array([share[part].mean() for part in bins]),
        np.array([len(part) for part in bins], dtype=int),
    )


def _shared(logit: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values of images, float (n,), in place of each the mean over all images of its logit.

    Which of these come before an edge of bins would hang on the order in which the images are listed.
    """
    _, place, counts = np.unique(logit, return_inverse=True, return_counts=True)
    means: np.ndarray = np.bincount(place, weights=values) / counts
    return means[place]


def probabilities(label: np.ndarray, logit: np.ndarray) -> dict[str, float]:
    """Errors of the probabilities that the logits stand for: `brier`, `log_loss` (nats) and `ece`.

    `label` int (n,), 1 = real; `logit` float (n,). Brier 1950; the expected calibration error is the mean distance
    of probability and frequency of fakes over 15 bins with equally many images, by rank of the logit (Naeini et
    al. 2015; equal mass as in Nixon et al. 2019). Where an edge of bins cuts through images of equal logits, both
    bins have their mean.
    """
    fake, logit = np.asarray(label) == FAKE, np.asarray(logit, dtype=np.float64)
    if not len(logit):
        return dict.fromkeys(("brier", "log_loss", "ece"), float("nan"))
    gap = expit(-logit) - fake
    bins = np.array_split(_shared(logit, gap)[np.argsort(logit, kind="stable")], BINS)
    return {
        "brier": float((gap**2).mean()),
        "log_loss": float(np.logaddexp(0, np.where(fake, logit, -logit)).mean()),
        "ece": float(sum(abs(part.sum()) for part in bins) / len(gap)),
    }
