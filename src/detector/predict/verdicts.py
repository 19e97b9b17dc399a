"""Verdicts: real, fake or unsure, decided from the logits of an image and of its changed copies."""

import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from PIL import Image

from detector.stats import decisions


class Verdict(StrEnum):
    """Verdict on an image; in JSON, CSV and text it is its value."""

    REAL = "real"
    FAKE = "fake"
    UNSURE = "unsure"


def _smaller(image: Image.Image) -> Image.Image:
    return image.resize([max(1, round(0.9 * side)) for side in image.size], Image.Resampling.BILINEAR)


def _saved_again(image: Image.Image) -> Image.Image:
    if max(image.size) > 65_500:  # what JPEG can hold
        return image
    with io.BytesIO() as file:
        image.save(file, "JPEG", quality=90, comment=b"")  # else the image's own, which can be too long
        with Image.open(file, formats=["JPEG"]) as again:
            return again.convert("RGB")


# What happens to any picture that is passed on, and must not change who made it.
CHANGES: Mapping[str, Callable[[Image.Image], Image.Image]] = {
    "made smaller by a tenth": _smaller,
    "saved again as JPEG of quality 90": _saved_again,
}


@dataclass(frozen=True)
class Band:
    """Band of unsure logits: up to `fake` surely fake, from `real` on surely real, in between unsure.

    `error`: upper confidence bound, on validation images, of the share of wrong verdicts beyond a cut, the worse
    of both; `wanted`: the bound that was asked for. A side that is never sure is -inf or inf, and without bound.
    """

    fake: float
    real: float
    error: float
    wanted: float

    @property
    def reached(self) -> bool:
        """Whether the wanted bound on errors was reached."""
        return self.error <= self.wanted

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> "Band":
        """Band from the facts that `calibration.band` returned."""
        fake, real = (facts[name] for name in (Verdict.FAKE, Verdict.REAL))
        bounds = [side["bound"] for side in (fake, real) if side["cut"] is not None]
        return cls(
            fake=-math.inf if fake["cut"] is None else fake["cut"],
            real=math.inf if real["cut"] is None else real["cut"],
            error=max(bounds, default=math.nan),
            wanted=facts["wanted"],
        )


def decide(logit: float, changed: Sequence[float], band: Band | None, small: str = "") -> tuple[Verdict, str]:
    """Decide the verdict on an image; also the reason of an unsure one, else "".

    `logit`: of the image; `changed`: of its copies in the order of `CHANGES`, empty where none was made; `small`:
    why it has too few pixels to be judged, "" where it has enough.
    """
    verdict = Verdict.REAL if decisions.real(logit) else Verdict.FAKE
    turned = [
        how for how, other in zip(CHANGES, changed, strict=False) if decisions.real(other) != decisions.real(logit)
    ]
    if small:
        return Verdict.UNSURE, f"{small}; rather {verdict}"
    if band is not None and band.fake < logit < band.real:
        return Verdict.UNSURE, f"too close a call; rather {verdict}"
    if turned:
        return Verdict.UNSURE, f"{verdict}, but not once it is {' or '.join(turned)}"
    return verdict, ""


@dataclass(frozen=True)
class Answer:
    """Answer for one image. With an `error` there is no verdict; `why` is the reason of an unsure one."""

    name: str
    verdict: Verdict | None
    probability_fake: float | None  # calibrated on validation images
    logit: float | None  # above 0 = rather real
    why: str = ""
    error: str = ""
    frames: int | None = None  # of a video that the logit is the mean of, where they are several
    # Where it was asked for: what the network sees, the evidence in colour, uint8 (n, n, 3).
    map: np.ndarray | None = field(default=None, compare=False)
