"""Results of an evaluation: rows of its tables, computed from scores."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from detector.core.labels import CLASSES, REAL
from detector.referee.contenders import COMMAND, SCORES
from detector.referee.judged import CALIBRATED, EVERY, OWN, SCORED, TEST, Judged, counted
from detector.stats import areas, decisions, metric_modules
from detector.stats.auc import auc
from detector.stats.calibration import probabilities
from detector.stats.classification import POSITIVE, measure
from detector.stats.groups import apart, known
from detector.stats.intervals import paired_interval, paired_interval_grouped
from detector.stats.ranking import auc_interval, delong, ranking
from detector.stats.significance import holm, mcnemar, mcnemar_grouped
from detector.tables.per_generator import ALL, REALS, share_right, shown

_GROUPS = ("groups", "grouped_low", "grouped_high")  # of an accuracy, or a difference of two
_AREA = ("auc", "auc_low", "auc_high", "auc_grouped_low", "auc_grouped_high")
RANKING = (
    *(*_AREA, "average_precision", "eer", "tpr_at_1_percent_fpr"),
    *("brier", "brier_scaled", "log_loss", "log_loss_scaled", "ece", "ece_scaled", "temperature"),
)
AT_CUT = (
    *("accuracy", "accuracy_low", "accuracy_high", *_GROUPS, "balanced_accuracy", "precision", "recall", "f1"),
    *("tp", "fp", "tn", "fn"),
)
METRICS = (
    *("model", "threshold", "images", "cut", "n", "n_real", "n_fake", "failed", "unreadable"),
    *(*AT_CUT, *RANKING, "positive"),
)
PER_GENERATOR = (
    *("model", "threshold", "images", "generator", "n", "failed", "accuracy", "accuracy_low", "accuracy_high"),
    *(*_GROUPS, *_AREA),
)
_SHARE = ("n", "n_real", "n_fake", "failed", "accuracy", "accuracy_low", "accuracy_high")
PER_GROUP = ("model", "threshold", "images", "group", *_SHARE)
PER_DATE = ("model", "threshold", "images", "date", *_SHARE, *_GROUPS, *_AREA)
COMPARISONS = (
    *("first", "second", "images", "n", "left_out", "groups", "auc_first", "auc_second"),
    *("auc_difference", "auc_low", "auc_high", "p_delong", "p_delong_holm"),
    *("auc_grouped_low", "auc_grouped_high", "p_auc_grouped", "p_auc_grouped_holm"),
    *("threshold", "only_first_right", "only_second_right"),
    *("accuracy_difference", "accuracy_low", "accuracy_high", "p_mcnemar", "p_mcnemar_holm"),
    *("grouped_low", "grouped_high", "p_accuracy_grouped", "p_accuracy_grouped_holm"),
)
COST = ("model", "images", "ms_per_image", "ms_median", "files", "megabytes")
ERRORS = ("model", "perturbation", "path", "reason")
ROBUSTNESS = (
    *("model", "perturbation", "n", "failed", *_AREA),
    *("auc_change", "auc_change_low", "auc_change_high", "p_delong", "p_delong_holm"),
    *("auc_change_grouped_low", "auc_change_grouped_high", "p_auc_grouped", "p_auc_grouped_holm"),
    *("threshold", "accuracy", "accuracy_low", "accuracy_high", *_GROUPS),
)


def metrics(found: Sequence[Judged], images: pd.DataFrame, unreadable: int = 0) -> Iterator[dict]:
    """Rows of metrics.csv: each model on the test part, at both thresholds; empty where there is none.

    `unreadable`: images that no model was asked about.
    """
    test, label, group = _tested(images)
    for way, models in counted(found, images):
        for model in models:
            kept = test & model.scored
            own = label[kept]
            same: dict = {"model": model.name, "images": way, "n": len(own)}
            same |= {"failed": int((test & model.failed).sum()), "unreadable": unreadable, "positive": POSITIVE}
            same |= {f"n_{word}": int((own == kind).sum()) for kind, word in CLASSES.items()}
            same |= {**_area(own, -model.score[kept], _of(group, kept)), **ranking(own, -model.score[kept])}
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
                    if len(own):
                        row |= share_right(decisions.right(own, logit), images["group"][kept])
                    row |= {"cut": repr(float(cut)), **measure(own, logit), **metric_modules.measure(own, logit)}
                yield row


def per_generator(found: Sequence[Judged], images: pd.DataFrame) -> Iterator[dict]:
    """Rows of per_generator.csv: right calls on all, real images and each generator's; areas."""
    test, label, group = _tested(images)
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
                same |= _area(label[against], -model.score[against], _of(group, against))
                for threshold, cut in model.cuts.items():
                    row = {**same, "threshold": threshold}
                    if not math.isnan(cut) and kept.any():
                        right = decisions.right(label[kept], model.logits(cut)[kept])
                        row |= share_right(right, images["group"][kept])
                    yield row


def _tested(images: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Which images are tests, bool (n,), the labels, and the numbers of groups, int (n,), where one is known."""
    group = apart(images["group"]) if known(images["group"]) else None
    return (images["part"] == TEST).to_numpy(), images["label"].to_numpy(), group


def _of(group: np.ndarray | None, kept: np.ndarray) -> np.ndarray | None:
    return None if group is None else group[kept]


def _area(label: np.ndarray, logit: np.ndarray, group: np.ndarray | None) -> dict[str, float]:
    """Columns `_AREA`; those by groups only where groups are known."""
    low, high = auc_interval(label, logit)
    row = {"auc": auc(label, logit), "auc_low": low, "auc_high": high}
    if group is not None:
        row["auc_grouped_low"], row["auc_grouped_high"] = areas.area(label, logit, group)[1:]
    return row


def per_group(found: Sequence[Judged], images: pd.DataFrame) -> Iterator[dict]:
    """Rows of per_group.csv: shares of right calls of each group, where groups are known."""
    places = _places(images["group"].str.split("|"))
    for way, models in counted(found, images):
        for model in models:
            for threshold, cut in model.cuts.items():
                if not math.isnan(cut):
                    for row in _shares(model, images.assign(group=""), places, way, threshold):
                        yield {"group": row.pop("place"), **row}


def per_date(found: Sequence[Judged], images: pd.DataFrame) -> Iterator[dict]:
    """Rows of per_date.csv: shares of right calls, and areas, of each year, where dates are known.

    Of each month where all dates are of one year. Images without a date are in no row.
    """
    years = images["date"].str[:4]
    period = years if len(set(years) - {""}) > 1 else images["date"].str[:7]
    test, label, group = _tested(images)
    places = _places(period.map(lambda name: [name]))
    for way, models in counted(found, images):
        for model in models:
            found_areas = {}
            for name, at in places.items():
                kept = at[(test & model.scored)[at]]
                found_areas[name] = _area(label[kept], -model.score[kept], _of(group, kept))
            for threshold in model.cuts:
                for row in _shares(model, images, places, way, threshold):
                    date = row.pop("place")
                    yield {**row, "date": date, **found_areas[date]}


def _places(names: pd.Series) -> dict[str, np.ndarray]:
    """Rows of each name, `names` being a list of them for each image, without the empty name."""
    flat = names.explode()
    flat = flat[flat != ""]
    return {name: np.unique(index) for name, index in sorted(flat.groupby(flat).groups.items())}


def _shares(
    model: Judged, images: pd.DataFrame, places: Mapping[str, np.ndarray], way: str, threshold: str
) -> Iterator[dict]:
    """Shares of right calls of test images, a row for each of `places`; only counts without a threshold."""
    test, label = (images["part"] == TEST).to_numpy(), images["label"].to_numpy()
    cut, failed = model.cuts[threshold], model.failed
    right = decisions.right(label, model.logits(cut))
    for name, at in places.items():
        of = at[test[at]]
        kept = of[model.scored[of]]
        if not len(of):
            continue
        row = {"model": model.name, "threshold": threshold, "images": way, "place": name, "n": len(kept)}
        row |= {f"n_{word}": int((label[kept] == kind).sum()) for kind, word in CLASSES.items()}
        row |= {"failed": int(failed[of].sum())}
        if len(kept) and not math.isnan(cut):
            row |= share_right(right[kept], images["group"].iloc[kept])
        yield row


def comparisons(found: Sequence[Judged], images: pd.DataFrame) -> list[dict]:
    """Rows of comparisons.csv: each two models on the test images that both scored, and on all.

    DeLong's test of the areas and McNemar's exact test of the right calls, each adjusted over all pairs (Holm).
    Where groups are known, both again with groups in place of images; `groups` is how many sets of images share
    none. Areas need no threshold, and stand in the row of either. `left_out`: test images that are not counted.
    """
    test, label, group = _tested(images)
    rows = []
    for way, models in counted(found, images):
        for first, second in combinations(models, 2):
            kept = test & first.scored & second.scored
            own, scores = label[kept], [model.score[kept] for model in (first, second)]
            numbers = _of(group, kept)
            area = delong(own, -scores[0], -scores[1])
            same = {
                **{"first": first.name, "second": second.name, "images": way, "n": int(kept.sum())},
                **{"left_out": int((test & ~kept).sum())},
                **{"auc_first": auc(own, -scores[0]), "auc_second": auc(own, -scores[1])},
                **{"auc_difference": area["difference"], "auc_low": area["low"], "auc_high": area["high"]},
                "p_delong": area["p"],
            }
            if numbers is not None:
                low, high, p = areas.difference(own, -scores[0], -scores[1], numbers)
                same |= {"groups": len(np.unique(numbers)), "auc_grouped_low": low, "auc_grouped_high": high}
                same |= {"p_auc_grouped": p}
            for threshold in (OWN, CALIBRATED):
                row: dict = {**same, "threshold": threshold}
                cuts = [model.cuts[threshold] for model in (first, second)]
                if not any(map(math.isnan, cuts)) and len(own):
                    one, other = (decisions.right(own, cut - each) for cut, each in zip(cuts, scores, strict=True))
                    row |= _calls(one, other, numbers)
                rows.append(row)
    for way in (SCORED, EVERY):
        for threshold in (OWN, CALIBRATED):
            alike = [row for row in rows if (row["images"], row["threshold"]) == (way, threshold)]
            for name in ("p_delong", "p_mcnemar", "p_auc_grouped", "p_accuracy_grouped"):
                _adjust(alike, name)
    return rows


def _calls(one: np.ndarray, other: np.ndarray, group: np.ndarray | None) -> dict[str, float]:
    """Comparison of the right calls of two models, by images and, where they are known, by groups."""
    lost, gained = int((one & ~other).sum()), int((other & ~one).sum())
    low, high = paired_interval(one, other)
    by_groups: dict[str, float] = {}
    if group is not None:
        bounds = zip(_GROUPS[1:], paired_interval_grouped(one, other, group), strict=True)
        by_groups = {**dict(bounds), "p_accuracy_grouped": mcnemar_grouped(one, other, group)}
    return {
        **{"only_first_right": lost, "only_second_right": gained, "p_mcnemar": mcnemar(gained, lost)},
        **{"accuracy_difference": float(other.mean() - one.mean()), "accuracy_low": low, "accuracy_high": high},
        **by_groups,
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
    test, label, group = _tested(images)
    for name, model in {perturbation_of_none: clean, **changed}.items():
        kept = test & clean.scored & model.scored
        own = label[kept]
        same: dict = {"model": clean.name, "perturbation": name, "n": len(own)}
        same |= {"failed": int((test & ~kept).sum()), **_area(own, -model.score[kept], _of(group, kept))}
        if name != perturbation_of_none:
            area = delong(own, -clean.score[kept], -model.score[kept])
            same |= {"auc_change": area["difference"], "auc_change_low": area["low"]}
            same |= {"auc_change_high": area["high"], "p_delong": area["p"]}
            if group is not None:
                low, high, p = areas.difference(own, -clean.score[kept], -model.score[kept], group[kept])
                same |= {"auc_change_grouped_low": low, "auc_change_grouped_high": high, "p_auc_grouped": p}
        for threshold, cut in clean.cuts.items():
            row = {**same, "threshold": threshold}
            if not math.isnan(cut) and len(own):
                right = decisions.right(own, cut - model.score[kept])
                row |= share_right(right, images["group"][kept])
            yield row


def adjusted(rows: Sequence[dict]) -> list[dict]:
    """The rows of robustness.csv with Holm's adjustment over all models and perturbations."""
    for threshold in (OWN, CALIBRATED):
        for name in ("p_delong", "p_auc_grouped"):
            _adjust([row for row in rows if row["threshold"] == threshold], name)
    return list(rows)
