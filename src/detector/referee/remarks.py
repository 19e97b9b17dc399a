"""Remarks: what of an evaluation is empty or rests on too little, and why; sentences for the log and the page."""

import math
from collections.abc import Iterator, Sequence

import pandas as pd

from detector.core.labels import CLASSES, FAKE, REAL
from detector.referee.judged import CALIBRATED, CALIBRATION, TEST, Judged
from detector.stats.calibration import HIGHEST, at_highest, at_lowest

OTHER = {REAL: FAKE, FAKE: REAL}
CALLS = {
    REAL: "accuracy is the share of real images called real; one less that is the rate of false alarms",
    FAKE: "accuracy is the share of fakes that are found",
}
MORE = "give more images, or a larger share to --calibrate"


def remarks(
    images: pd.DataFrame, unreadable: int, models: Sequence[Judged], *, calibrate: bool = False
) -> list[str]:
    """Sentences without a full stop, the most important first; [] where there is nothing to remark.

    `images`: those that can be read, with `label` and `part`; `unreadable`: how many cannot; `calibrate`: whether
    thresholds were to be chosen.
    """
    return [*_unreadable(unreadable), *_one_class(images), *(_calibration(images, models) if calibrate else ())]


def _unreadable(count: int) -> Iterator[str]:
    if count:
        yield (
            f"{count:,} of the images cannot be read here (tables/errors.csv says why): no model was asked about "
            "these, and no rate counts them"
        )


def _one_class(images: pd.DataFrame) -> Iterator[str]:
    labels = images.loc[images["part"] == TEST, "label"]
    for label, word in CLASSES.items():
        if len(labels) and not (labels == label).any():
            other = OTHER[label]
            yield (
                f"found {len(labels):,} {CLASSES[other]} images to measure on and no {word} one: what needs both "
                "classes is empty or says nothing (AUC, average precision, equal error rate, balanced accuracy, "
                f"precision, F1, differences of areas, audit of metadata); {CALLS[other]}"
            )


def _calibration(images: pd.DataFrame, models: Sequence[Judged]) -> Iterator[str]:
    if images["label"].nunique() < len(CLASSES):
        yield "no threshold was chosen, which needs images of both classes"
        return
    chosen, label = (images["part"] == CALIBRATION).to_numpy(), images["label"].to_numpy()
    for model in models:
        own = label[chosen & model.scored]
        counts = f"{(own == REAL).sum():,} real and {(own == FAKE).sum():,} fake images to calibrate on"
        if math.isnan(model.cuts[CALIBRATED]):
            yield f"{model.name}: {counts} have a score, so no threshold was chosen, which needs both; {MORE}"
        elif at_lowest(model.temperature):
            yield (
                f"{model.name}: {counts} give no temperature: they are told apart without an error, so the nearer "
                f"to 0 the better; its scaled figures are left out; {MORE}"
            )
        elif at_highest(model.temperature):
            yield (
                f"{model.name}: {counts} give a temperature at its bound, {HIGHEST:g}: which side of one half a "
                "score lies on tells them apart no better than chance, and scaled figures say no more than that"
            )
