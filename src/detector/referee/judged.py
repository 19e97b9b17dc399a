"""Scores of contenders in the order of the images, parts of these, and what is fitted on the calibration part."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.special import logit as logodds

from detector.core.labels import REAL
from detector.data import splits
from detector.referee.contenders import Contender
from detector.referee.scoring import Score
from detector.stats.calibration import at_lowest, temperature
from detector.stats.groups import apart
from detector.stats.ranking import best_cut

CALIBRATION, TEST = "calibration", "test"  # parts
OWN, CALIBRATED = "own", CALIBRATION  # thresholds: stated with the model, chosen on the calibration part
SCORED, EVERY = "scored", "all"  # images that count: those with a score, or all, a failure being a wrong call
FOLDS = 5


@dataclass(frozen=True)
class Judged:
    """Scores of one contender on all images, in their order; NaN where there is none."""

    contender: Contender
    score: np.ndarray  # float64 (n,)
    seconds: np.ndarray
    error: list[str]
    cuts: Mapping[str, float]  # by threshold; NaN where there is none
    temperature: float  # NaN where scores are no probabilities or there is no calibration part

    @property
    def name(self) -> str:
        """Its name in tables."""
        return self.contender.name

    @property
    def scored(self) -> np.ndarray:
        """Which images have a score, bool (n,)."""
        return np.isfinite(self.score)

    @property
    def failed(self) -> np.ndarray:
        """Which images it gave no score for, bool (n,); also where failures were given the worst score."""
        return np.array([bool(error) for error in self.error], dtype=bool)

    @property
    def are_probabilities(self) -> bool:
        """Whether all scores can be read as probabilities of a fake."""
        found = self.score[self.scored]
        return len(found) > 0 and bool((found >= 0).all() and (found <= 1).all())

    @property
    def scales(self) -> bool:
        """Whether the calibration part gave a temperature of use: one without an error gives none."""
        return not math.isnan(self.temperature) and not at_lowest(self.temperature)

    def logits(self, cut: float) -> np.ndarray:
        """Scores as this project's logits: below 0 where they are above the cut, which means fake."""
        return cut - self.score

    @property
    def odds(self) -> np.ndarray:
        """Scores that are probabilities as logits: log odds of real. 0 and 1 are taken as next to them."""
        tiny = np.finfo(np.float64).eps
        return -logodds(np.clip(self.score, tiny, 1 - tiny))


def judge(contender: Contender, images: pd.DataFrame, scores: Mapping[str, Score]) -> Judged:
    """Bring scores by path into the order of `images`, and fit on the calibration part what is fitted there."""
    none = Score(None, math.nan, "not asked")
    rows = [scores.get(path, none) for path in images["path"]]
    score = np.array([math.nan if row.score is None else row.score for row in rows])
    plain = Judged(
        contender, score, np.array([row.seconds for row in rows]), [row.error for row in rows], {}, math.nan
    )
    own = math.nan if contender.threshold is None else contender.threshold
    part = plain.scored & (images["part"] == CALIBRATION).to_numpy()
    label = images["label"].to_numpy()[part]
    scale, cut = math.nan, math.nan
    if len(np.unique(label)) == 2:
        # Of equally good cuts the nearest to 0: here, to the contender's own threshold, or to where it may be.
        middle = own if not math.isnan(own) else 0.5 if plain.are_probabilities else float(np.median(score[part]))
        cut = middle - best_cut(label, middle - score[part])
        if plain.are_probabilities:
            scale = temperature(label, plain.odds[part])
    return Judged(contender, score, plain.seconds, plain.error, {OWN: own, CALIBRATED: cut}, scale)


def worst_for_failed(model: Judged, label: np.ndarray) -> Judged:
    """The same with the worst score of all where it failed: a fake below every real image, and the reverse."""
    worst = np.where(label == REAL, 1.0, -1.0) * np.finfo(np.float64).max
    return replace(model, score=np.where(model.failed, worst, model.score))


def counted(found: Sequence[Judged], images: pd.DataFrame) -> Iterator[tuple[str, Sequence[Judged]]]:
    """Ways to count images without a score: left out, and, where any model failed on a test image, as wrong calls.

    Who fails on hard images alone is flattered by the first, and who fails for another reason (a format that it
    does not read) is blamed by the second, so both are told, of each model.
    """
    yield SCORED, found
    if any(model.failed[(images["part"] == TEST).to_numpy()].any() for model in found):
        label = images["label"].to_numpy()
        yield EVERY, [worst_for_failed(model, label) for model in found]


def components(images: pd.DataFrame) -> np.ndarray:
    """Number the sets of images that must not be torn apart, int (n,): a group, or equal pixels."""
    same = "=" + images["pixels"].map("{:016x}".format)
    return apart(images["group"].where(images["group"] == "", images["group"] + "|") + same)


def _strata(images: pd.DataFrame, number: np.ndarray) -> tuple[list[str], list[tuple]]:
    """For each component its first path and what it is of."""
    table = images[["path", "label", "generator"]].assign(number=number).sort_values("path")
    first = table.groupby("number").first()
    mixed = table.groupby("number")["label"].nunique() > 1
    strata = [
        ("mixed",) if both else (label, generator)
        for label, generator, both in zip(first["label"], first["generator"], mixed, strict=True)
    ]
    return first["path"].tolist(), strata


def parts(images: pd.DataFrame, share: float, seed: int = 0) -> list[str]:
    """Part of each image, `calibration` or `test`: a share of the components of each class and generator."""
    if not share:
        return [TEST] * len(images)
    number = components(images)
    keys, strata = _strata(images, number)
    names = splits.stratified(strata, keys, (0.0, share, 1 - share), seed)
    return [CALIBRATION if names[keys[at]] == "valid" else TEST for at in number]


def folds(images: pd.DataFrame, seed: int = 0) -> np.ndarray:
    """Fold of each image, int (n,), 0 to FOLDS - 1: components of each class and generator in turn."""
    number = components(images)
    keys, strata = _strata(images, number)
    of: dict[str, int] = {}
    for stratum in set(strata):
        members = [key for key, own in zip(keys, strata, strict=True) if own == stratum]
        of |= {key: place % FOLDS for place, key in enumerate(splits.ordered(members, seed))}
    return np.array([of[keys[at]] for at in number])
