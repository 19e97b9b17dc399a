"""What a logit says of an image: real from 0 on, fake below. No other place of the library decides it."""

from typing import TypeVar

from detector.sources import REAL

Numbers = TypeVar("Numbers")  # a float, an array or a tensor


def real(logit: Numbers) -> Numbers:
    """Whether an image is called real. What is no number would be called fake: `saved` refuses it first."""
    return logit >= 0


def right(label: Numbers, logit: Numbers) -> Numbers:
    """Whether an image is called what it is; `label`: 1 = real, 0 = fake."""
    return real(logit) == (label == REAL)
