"""Decision rule: a logit of 0 or more means real, below 0 fake. No other module decides it."""

from typing import overload

import numpy as np

from detector.core.labels import CLASSES, FAKE, REAL


@overload
def real(logit: float) -> bool: ...
@overload
def real(logit: np.ndarray) -> np.ndarray: ...
def real(logit: float | np.ndarray) -> bool | np.ndarray:  # or a tensor, from a tensor
    """Whether an image is called real. NaN would be called fake: `predictions.require_numbers` refuses it."""
    return logit >= 0


@overload
def right(label: int, logit: float) -> bool: ...
@overload
def right(label: np.ndarray, logit: np.ndarray) -> np.ndarray: ...
def right(label: int | np.ndarray, logit: float | np.ndarray) -> bool | np.ndarray:
    """Whether an image is called correctly; `label`: 1 = real, 0 = fake."""
    return real(logit) == (label == REAL)


REMEDY = (
    "Give it more images, as many real as fake ones (or train.balance and train.select), more epochs and "
    "patience, or another learning rate, before its numbers are read."
)


def doubt(reals: int, fakes: int, called_real: int, rights: int, images: str) -> str:
    """Warning about a network that never calls one class, or is right no more often than one that never does.

    `reals` and `fakes`: counts of `images` (what they are, in words), of which `called_real` were called real and
    `rights` correctly. "" where there is no doubt, or where one class is missing.
    """
    count, most = reals + fakes, max(reals, fakes)
    if not reals or not fakes:
        return ""
    always = f"{100 * most / count:.1f} % of these are {CLASSES[REAL if reals == most else FAKE]}"
    if called_real in (0, count):
        never, said = (CLASSES[REAL], CLASSES[FAKE]) if called_real == 0 else (CLASSES[FAKE], CLASSES[REAL])
        return f"it never calls one of the {count:,} {images} {never}: all are {said} to it ({always})"
    if rights <= most:
        return f"it is right about {100 * rights / count:.1f} % of the {count:,} {images}, while {always}"
    return ""
