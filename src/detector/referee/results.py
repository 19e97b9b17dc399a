"""Results of an evaluation: rows of its tables, computed from scores."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.special import logit as logodds

from detector.core.labels import CLASSES, REAL
from detector.data import splits
from detector.referee.contenders import COMMAND, SCORES, Contender
from detector.referee.scoring import Score
from detector.stats import decisions, metric_modules
from detector.stats.auc import auc
from detector.stats.calibration import at_lowest, probabilities, temperature
from detector.stats.classification import POSITIVE, measure
from detector.stats.intervals import paired_interval
from detector.stats.ranking import auc_interval, best_cut, delong, ranking
from detector.stats.significance import holm, mcnemar
from detector.tables.per_generator import ALL, REALS, apart, share_right, shown

CALIBRATION, TEST = "calibration", "test"  # parts
OWN, CALIBRATED = "own", CALIBRATION  # thresholds: stated with the model, chosen on the calibration part
SCORED, EVERY = "scored", "all"  # images that count: those with a score, or all, a failure being a wrong call
FOLDS = 5
RANKING = (
    *("auc", "auc_low", "auc_high", "average_precision", "eer", "tpr_at_1_percent_fpr"),
    *("brier", "brier_scaled", "log_loss", "log_loss_scaled", "ece", "ece_scaled", "temperature"),
)
AT_CUT = (
    *("accuracy", "accuracy_low", "accuracy_high", "balanced_accuracy", "precision", "recall", "f1"),
    *("tp", "fp", "tn", "fn"),
)
METRICS = (
    *("model", "threshold", "images", "cut", "n", "n_real", "n_fake", "failed", "unreadable"),
    *(*AT_CUT, *RANKING, "positive"),
)
PER_GENERATOR = (
    *("model", "threshold", "images", "generator", "n", "failed", "accuracy", "accuracy_low", "accuracy_high"),
    *("groups", "grouped_low", "grouped_high", "auc", "auc_low", "auc_high"),
)
_SHARE = ("n", "n_real", "n_fake", "failed", "accuracy", "accuracy_low", "accuracy_high")
PER_GROUP = ("model", "threshold", "images", "group", *_SHARE)
PER_DATE = ("model", "threshold", "images", "date", *_SHARE, "auc", "auc_low", "auc_high")
COMPARISONS = (
    *(
        "first",
        "second",
        "images",
        "n",
        "left_out",
        "auc_first",
        "auc_second",
        "auc_difference",
        "auc_low",
        "auc_high",
    ),
    *("p_delong", "p_delong_holm", "threshold", "only_first_right", "only_second_right"),
    *("accuracy_difference", "accuracy_low", "accuracy_high", "p_mcnemar", "p_mcnemar_holm"),
)
COST = ("model", "images", "ms_per_image", "ms_median", "files", "megabytes")
ERRORS = ("model", "perturbation", "path", "reason")
ROBUSTNESS = (
    *("model", "perturbation", "n", "failed", "auc", "auc_low", "auc_high"),
    *("auc_change", "auc_change_low", "auc_change_high", "p_delong", "p_delong_holm"),
    *("threshold", "accuracy", "accuracy_low", "accuracy_high"),
)


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


def judged(contender: Contender, images: pd.DataFrame, scores: Mapping[str, Score]) -> Judged:
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


def metrics(found: Sequence[Judged], images: pd.DataFrame, unreadable: int = 0) -> Iterator[dict]:
    """Rows of metrics.csv: each model on the test part, at both thresholds; empty where there is none.

    `unreadable`: images that no model was asked about.
    """
    test, label = (images["part"] == TEST).to_numpy(), images["label"].to_numpy()
    for way, models in counted(found, images):
        for model in models:
            kept = test & model.scored
            own = label[kept]
            same: dict = {"model": model.name, "images": way, "n": len(own)}
            same |= {"failed": int((test & model.failed).sum()), "unreadable": unreadable, "positive": POSITIVE}
            same |= {f"n_{word}": int((own == kind).sum()) for kind, word in CLASSES.items()}
            same |= {"auc": auc(own, -model.score[kept]), **ranking(own, -model.score[kept])}
            if model.are_probabilities:
                same |= probabilities(own, model.odds[kept])
                if model.scales:
                    scaled = probabilities(own, model.odds[kept] / model.temperature)
                    same |= {"temperature": model.temperature}
                    same |= {f"{key}_scaled": value for key, value in scaled.items()}
            for threshold, cut in model.cuts.items():
                row = {**same, "threshold": threshold}
                if not math.isnan(cut):
                    logit = model.logits(cut)[kept]
                    row |= {"cut": repr(float(cut)), **measure(own, logit), **metric_modules.measure(own, logit)}
                yield row


def per_generator(found: Sequence[Judged], images: pd.DataFrame) -> Iterator[dict]:
    """Rows of per_generator.csv: right calls on all, real images and each generator's; areas."""
    test, label = (images["part"] == TEST).to_numpy(), images["label"].to_numpy()
    real, maker = label == REAL, images["generator"].to_numpy()
    kinds = [(ALL, np.ones(len(images), bool)), (REALS, real)]
    kinds += [(shown(name), ~real & (maker == name)) for name in sorted(set(maker[~real]))]
    for way, models in counted(found, images):
        for model in models:
            for kind, chosen in kinds:
                if not (test & chosen).any():
                    continue
                kept = test & model.scored & chosen
                against = test & model.scored & (chosen | real) if kind != REALS else kept
                same: dict = {"model": model.name, "images": way, "generator": kind}
                same |= {"n": int(kept.sum()), "failed": int((test & model.failed & chosen).sum())}
                same |= _area(label[against], -model.score[against])
                for threshold, cut in model.cuts.items():
                    row = {**same, "threshold": threshold}
                    if not math.isnan(cut) and kept.any():
                        right = decisions.right(label[kept], model.logits(cut)[kept])
                        row |= share_right(right, images["group"][kept])
                    yield row


def _area(label: np.ndarray, logit: np.ndarray) -> dict[str, float]:
    low, high = auc_interval(label, logit)
    return {"auc": auc(label, logit), "auc_low": low, "auc_high": high}


def per_group(found: Sequence[Judged], images: pd.DataFrame) -> Iterator[dict]:
    """Rows of per_group.csv: shares of right calls of each group, where groups are known."""
    places = _places(images["group"].str.split("|"))
    for way, models in counted(found, images):
        for model in models:
            for threshold, cut in model.cuts.items():
                if not math.isnan(cut):
                    yield from _shares(model, images, places, way, threshold)


def per_date(found: Sequence[Judged], images: pd.DataFrame) -> Iterator[dict]:
    """Rows of per_date.csv: shares of right calls, and areas, of each year, where dates are known.

    Of each month where all dates are of one year. Images without a date are in no row.
    """
    years = images["date"].str[:4]
    period = years if len(set(years) - {""}) > 1 else images["date"].str[:7]
    test, label = (images["part"] == TEST).to_numpy(), images["label"].to_numpy()
    places = _places(period.map(lambda name: [name]))
    for way, models in counted(found, images):
        for model in models:
            areas = {}
            for name, at in places.items():
                kept = at[(test & model.scored)[at]]
                areas[name] = _area(label[kept], -model.score[kept])
            for threshold in model.cuts:
                for row in _shares(model, images, places, way, threshold):
                    date = row.pop("group")
                    yield {**row, "date": date, **areas[date]}


def _places(names: pd.Series) -> dict[str, np.ndarray]:
    """Rows of each name, `names` being a list of them for each image, without the empty name."""
    flat = names.explode()
    flat = flat[flat != ""]
    return {name: np.unique(index) for name, index in sorted(flat.groupby(flat).groups.items())}


def _shares(
    model: Judged, images: pd.DataFrame, places: Mapping[str, np.ndarray], way: str, threshold: str
) -> Iterator[dict]:
    """Shares of right calls of each group of test images; only counts where there is no such threshold."""
    test, label = (images["part"] == TEST).to_numpy(), images["label"].to_numpy()
    cut, failed = model.cuts[threshold], model.failed
    right = decisions.right(label, model.logits(cut))
    for name, at in places.items():
        of = at[test[at]]
        kept = of[model.scored[of]]
        if not len(of):
            continue
        row = {"model": model.name, "threshold": threshold, "images": way, "group": name, "n": len(kept)}
        row |= {f"n_{word}": int((label[kept] == kind).sum()) for kind, word in CLASSES.items()}
        row |= {"failed": int(failed[of].sum())}
        if len(kept) and not math.isnan(cut):
            row |= share_right(right[kept], pd.Series([""] * len(kept)))
        yield row


def comparisons(found: Sequence[Judged], images: pd.DataFrame) -> list[dict]:
    """Rows of comparisons.csv: each two models on the test images that both scored, and on all.

    DeLong's test of the areas and McNemar's exact test of the right calls, each adjusted over all pairs (Holm).
    Areas need no threshold, and stand in the row of either. `left_out`: test images that are not counted.
    """
    test, label = (images["part"] == TEST).to_numpy(), images["label"].to_numpy()
    rows = []
    for way, models in counted(found, images):
        for first, second in combinations(models, 2):
            kept = test & first.scored & second.scored
            own, scores = label[kept], [model.score[kept] for model in (first, second)]
            area = delong(own, -scores[0], -scores[1])
            same = {
                **{"first": first.name, "second": second.name, "images": way, "n": int(kept.sum())},
                **{"left_out": int((test & ~kept).sum())},
                **{"auc_first": auc(own, -scores[0]), "auc_second": auc(own, -scores[1])},
                **{"auc_difference": area["difference"], "auc_low": area["low"], "auc_high": area["high"]},
                "p_delong": area["p"],
            }
            for threshold in (OWN, CALIBRATED):
                row: dict = {**same, "threshold": threshold}
                cuts = [model.cuts[threshold] for model in (first, second)]
                if not any(map(math.isnan, cuts)) and len(own):
                    one, other = (decisions.right(own, cut - each) for cut, each in zip(cuts, scores, strict=True))
                    row |= _calls(one, other)
                rows.append(row)
    for way in (SCORED, EVERY):
        for threshold in (OWN, CALIBRATED):
            alike = [row for row in rows if (row["images"], row["threshold"]) == (way, threshold)]
            _adjust(alike, "p_delong")
            _adjust(alike, "p_mcnemar")
    return rows


def _calls(one: np.ndarray, other: np.ndarray) -> dict[str, float]:
    """Comparison of the right calls of two models."""
    lost, gained = int((one & ~other).sum()), int((other & ~one).sum())
    low, high = paired_interval(one, other)
    return {
        **{"only_first_right": lost, "only_second_right": gained, "p_mcnemar": mcnemar(gained, lost)},
        **{"accuracy_difference": float(other.mean() - one.mean()), "accuracy_low": low, "accuracy_high": high},
    }


def _adjust(rows: Sequence[dict], name: str) -> None:
    """Add Holm's adjustment of a column, in place, over the rows that have it."""
    known = [row for row in rows if not math.isnan(row.get(name, math.nan))]
    for row, value in zip(known, holm([row[name] for row in known]).tolist(), strict=True):
        row[f"{name}_holm"] = value


def cost(found: Iterable[Judged]) -> Iterator[dict]:
    """Rows of cost.csv: time from question to answer, decoding included, and the size of what was asked.

    What a program loads is not known, so nothing is said of its size.
    """
    for model in found:
        row: dict = {"model": model.name, "images": int(model.scored.sum())}
        if model.contender.kind != SCORES:
            spent = 1000 * model.seconds[model.scored]
            files = model.contender.files if model.contender.kind != COMMAND else []
            row |= {"ms_per_image": spent.mean(), "ms_median": np.median(spent)} if len(spent) else {}
            row |= (
                {"files": len(files), "megabytes": sum(file.stat().st_size for file in files) / 1e6}
                if files
                else {}
            )
        yield row


def errors(model: Judged, images: pd.DataFrame, perturbation: str) -> Iterator[dict]:
    """Rows of errors.csv: the images that a contender gave no number for."""
    for path, error in zip(images["path"], model.error, strict=True):
        if error:
            yield {"model": model.name, "perturbation": perturbation, "path": path, "reason": error}


def robustness(
    clean: Judged, changed: Mapping[str, Judged], images: pd.DataFrame, perturbation_of_none: str
) -> Iterator[dict]:
    """Rows of robustness.csv: a model on perturbed test images, at its thresholds of the clean ones."""
    test, label = (images["part"] == TEST).to_numpy(), images["label"].to_numpy()
    for name, model in {perturbation_of_none: clean, **changed}.items():
        kept = test & clean.scored & model.scored
        own = label[kept]
        same: dict = {"model": clean.name, "perturbation": name, "n": len(own)}
        same |= {"failed": int((test & ~kept).sum()), **_area(own, -model.score[kept])}
        if name != perturbation_of_none:
            area = delong(own, -clean.score[kept], -model.score[kept])
            same |= {"auc_change": area["difference"], "auc_change_low": area["low"]}
            same |= {"auc_change_high": area["high"], "p_delong": area["p"]}
        for threshold, cut in clean.cuts.items():
            row = {**same, "threshold": threshold}
            if not math.isnan(cut) and len(own):
                right = decisions.right(own, cut - model.score[kept])
                row |= share_right(right, pd.Series([""] * len(own)))
            yield row


def adjusted(rows: Sequence[dict]) -> list[dict]:
    """The rows of robustness.csv with Holm's adjustment over all models and perturbations."""
    for threshold in (OWN, CALIBRATED):
        _adjust([row for row in rows if row["threshold"] == threshold], "p_delong")
    return list(rows)
