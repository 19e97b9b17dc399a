"""How sure a logit is: temperature scaling, fitted on validation images."""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import betaincinv

from detector import calls

LOWEST, HIGHEST = 0.05, 20.0
CONFIDENCE = 0.95  # that a band keeps to its error rate
SHARES = 20  # how many cuts are looked at for each verdict


def temperature(label: np.ndarray, logit: np.ndarray) -> float:
    """The number that logits are divided by so that probabilities fit the labels best (Guo et al. 2017).

    `label` int (n,), 1 = real; `logit` float (n,), above 0 = real. Minimises the log loss between 0.05 and 20:
    where no error is made, the best temperature would be 0. It changes no verdict.
    """
    sign = np.where(np.asarray(label) == 1, 1.0, -1.0)
    margin = sign * np.asarray(logit, dtype=np.float64)
    found = minimize_scalar(
        lambda power: np.logaddexp(0, -margin / np.exp(power)).mean(),
        bounds=(np.log(LOWEST), np.log(HIGHEST)),
        method="bounded",
    )
    return float(np.exp(found.x))


def band(label: np.ndarray, logit: np.ndarray, wanted: float) -> dict:
    """Which logits are too close to call, so that of the verdicts outside at most the share `wanted` is wrong.

    `label` int (n,), 1 = real; `logit` float (n,), above 0 = real; of images that played no part in training.

    A cut for each verdict, so that neither hides behind the other: of the images called fake (or real), the
    surest twentieth, two twentieths, … all are looked at. The bound on the rate of errors of each share is that of
    Clopper and Pearson (1934), one-sided, at a confidence of 1 - 0.05 / 20: with twenty looks, the one that is
    kept holds with 95 % (Bonferroni). Kept is the largest share whose bound is at most `wanted`; where none is,
    there are too few images or too many errors to show it, and the share with the lowest bound is kept.

    Returns `wanted`, `confidence`, and for `fake` and `real` the `cut` (logits up to it, or from it on, are sure;
    None where no bound is below one half: never sure), the `bound`, whether it is `reached`, and what that was
    found on: the images `called` so, those `kept` beyond the cut, and the `errors` among these.
    """
    label, logit = np.asarray(label), np.asarray(logit, dtype=np.float64)
    real, wrong = calls.real(logit), ~calls.right(label, logit)
    return {
        "wanted": wanted,
        "confidence": CONFIDENCE,
        "fake": _side(-logit[~real], wrong[~real], wanted, -1),
        "real": _side(logit[real], wrong[real], wanted, 1),
    }


def _side(strength: np.ndarray, wrong: np.ndarray, wanted: float, sign: int) -> dict:
    """Of one verdict: `strength` float (m,), the size of its logits; `wrong` boolean (m,)."""
    order = np.argsort(-strength, kind="stable")
    strength, errors = strength[order], np.cumsum(wrong[order])
    best = None
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


def error_bound(errors: int, count: int, alpha: float) -> float:
    """The rate of errors that `errors` of `count` leave possible: one-sided upper limit at confidence 1 - alpha.

    Clopper and Pearson (1934): the rate at which so few errors or fewer would have a chance of `alpha`.
    """
    return 1.0 if errors >= count else float(betaincinv(errors + 1, count - errors, 1 - alpha))
