"""significance.csv: each branch compared with the baseline and the dense control, with a verdict. No torch.

Each function takes predictions by variant and set (`valid` or a source's name), columns path, source, generator,
label and logit, and gives the rows of one table. It raises `DetectorError` where a logit is no number, or models
saw other images. Selection looks at `valid` alone; test images are only counted.
"""

import math
from collections.abc import Collection, Iterator

import numpy as np

from detector.experiment.variants import BASELINE, DENSE_CONTROL, VALID, Variant, names
from detector.stats.groups import known_groups
from detector.stats.intervals import independent, paired_interval, paired_interval_grouped
from detector.stats.predictions import Predictions, check, right, with_combined
from detector.stats.significance import equivalence, holm, images_needed, mcnemar, mcnemar_grouped, verdict

COLUMNS = (
    *("arch", "seed", "branch", "testset", "reference", "n", "accuracy", "reference_accuracy"),
    *(
        "difference",
        "difference_low",
        "difference_high",
        "both_wrong",
        "only_branch_wrong",
        "only_reference_wrong",
    ),
    *("mcnemar_p", "mcnemar_p_holm", "margin", "equivalence_p", "equivalence_p_holm", "n_needed", "verdict"),
    *("groups", "n_independent", "grouped_low", "grouped_high"),
)


def significance(predictions: Predictions, margin: float, systems: Collection[str] = ()) -> list[dict]:
    """Rows of significance.csv: each branch against its run's baseline and dense control, on each test set.

    `margin`: the difference of accuracies, as a fraction, from which on it matters. `systems`: names that stand in
    place of an architecture but have a baseline alone, which is compared with the baseline of each network of the
    same seed; `reference` is that network's name. p are corrected over the branches of one run, test set and
    reference, and over the systems of one seed, test set and reference. Where it is known which images belong
    together, p and verdict are of groups, and `groups`, `n_independent` (images drawn one by one that would say as
    much) and `grouped_…` are not empty.
    """
    check(predictions)
    families: dict[tuple, list[dict]] = {}
    for variant, sets in predictions.items():
        for other, reference in _references(variant, predictions, systems):
            theirs = with_combined(predictions[other])
            for name, table in with_combined(sets).items():
                if name != VALID:
                    calls = right(theirs[name]), right(table)
                    row = _comparison(*calls, margin)
                    if (group := known_groups(table)) is not None:
                        row |= _of_groups(*calls, group, row)
                    row |= {**names(variant), "testset": name, "reference": reference}
                    of = variant.run if variant.arch not in systems else ("", variant.seed)
                    families.setdefault((*of, name, reference), []).append(row)
    for family in families.values():
        for column in ("mcnemar_p", "equivalence_p"):
            for row, p in zip(family, holm([row[column] for row in family]), strict=True):
                row[f"{column}_holm"] = p
        for row in family:
            enough = row.get("n_independent", row["n"]) >= row["n_needed"]
            p = row["mcnemar_p_holm"], row["equivalence_p_holm"]
            row["verdict"] = verdict(row["difference"], *p, enough)
    return [row for family in families.values() for row in family]


def _references(
    variant: Variant, known: Collection[Variant], systems: Collection[str]
) -> Iterator[tuple[Variant, str]]:
    """What a variant is compared with, and what the table calls it."""
    if variant.arch in systems:
        for other in known:
            if other.arch not in systems and (other.seed, other.branch) == (variant.seed, BASELINE):
                yield other, other.arch
    elif variant.branch != BASELINE:
        for reference in (BASELINE, DENSE_CONTROL):
            if variant.branch != reference and (other := Variant(*variant.run, reference)) in known:
                yield other, reference


def _comparison(reference: np.ndarray, branch: np.ndarray, margin: float) -> dict:
    """The numbers of one row; bool (n,) twice, whether each image was called right."""
    n, gained, lost = len(branch), int((branch & ~reference).sum()), int((reference & ~branch).sum())
    low, high = paired_interval(reference, branch)
    return {
        "n": n,
        "accuracy": branch.mean() if n else np.nan,
        "reference_accuracy": reference.mean() if n else np.nan,
        "difference": (gained - lost) / n if n else np.nan,
        "difference_low": low,
        "difference_high": high,
        "both_wrong": int((~branch & ~reference).sum()),
        "only_branch_wrong": lost,
        "only_reference_wrong": gained,
        "mcnemar_p": mcnemar(gained, lost) if n else np.nan,
        "margin": margin,
        "equivalence_p": equivalence(n, gained, lost, margin),
        "n_needed": images_needed(n, gained, lost, margin),
    }


def _of_groups(reference: np.ndarray, branch: np.ndarray, group: np.ndarray, row: dict) -> dict:
    """What is different in a row of single images where those of a group are no independent draws."""
    count = independent(branch.astype(float) - reference, group, differences=True)
    gained, lost = (row[key] * count / row["n"] for key in ("only_reference_wrong", "only_branch_wrong"))
    low, high = paired_interval_grouped(reference, branch, group)
    return {
        "mcnemar_p": mcnemar_grouped(reference, branch, group),
        "equivalence_p": math.nan if math.isnan(count) else equivalence(count, gained, lost, row["margin"]),
        "groups": len(np.unique(group)),
        "n_independent": count,
        "grouped_low": low,
        "grouped_high": high,
    }
