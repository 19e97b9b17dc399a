"""robustness.csv: what perturbed images cost each branch, and whether more than its reference. No torch.

A branch that is more often wrong on perturbed images need not be more brittle: it may have been worse before. So
the question is about a difference of differences, on the same images (docs/robustness.md).
"""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from detector.core.labels import FAKE
from detector.data import splits
from detector.experiment.variants import BASELINE, COMBINED, DENSE_CONTROL
from detector.imaging.perturbations import CLEAN, Steps, kind, text, value
from detector.stats.auc import auc
from detector.stats.changes import extra_equivalence, extra_interval, extra_p
from detector.stats.groups import known_groups, share_of_groups
from detector.stats.intervals import independent, paired_interval, paired_interval_grouped, wilson
from detector.stats.predictions import require_numbers, require_same_images, right
from detector.stats.significance import holm, images_needed, verdict

Parts = Mapping[str, pd.DataFrame]  # logits by branch
COLUMNS = (
    *("arch", "seed", "branch", "testset", "perturbation", "kind", "value", "steps", "n"),
    *("accuracy", "accuracy_low", "accuracy_high", "recall_fake", "recall_real", "auc"),
    *("change", "change_low", "change_high", "auc_change", "reference", "reference_change"),
    *("extra", "extra_low", "extra_high", "extra_p", "extra_p_holm"),
    *("margin", "equivalence_p", "equivalence_p_holm", "n_needed", "verdict"),
    *("groups", "n_independent", "grouped_low", "grouped_high"),
    *("change_grouped_low", "change_grouped_high", "extra_grouped_low", "extra_grouped_high"),
)


def robustness(
    runs: Mapping[tuple[str, int], pd.DataFrame],
    table: Mapping[str, Steps],
    margin: float,
    sizes: Mapping[str, int],
    systems: Collection[str] = (),
) -> list[dict]:
    """Rows of robustness.csv: each branch on each perturbation and test set, once for each reference it has.

    `runs`: by (architecture, seed) the logits of `probe`, a row for each branch and image, columns branch, source,
    path, generator, group, label, `clean` and one for each perturbation of `table`. `margin`: the difference of
    changes, as a fraction, from which on it matters. `sizes`: how many test images each source has, drawn or not.
    `systems`: names that stand in place of an architecture but have a baseline alone, which is compared with the
    baseline of each network of the same seed; `reference` is that network's name. p are corrected over branches
    and perturbations of one run, test set and reference, and over systems and perturbations of one seed, test set
    and reference. Where it is known which images belong together, p and verdict are of groups, and `groups`,
    `n_independent` (images drawn one by one that would say as much of `extra`) and `…grouped_…` are not empty.
    Raises `DetectorError` where what is compared saw other images, or a logit is no number.
    """
    branches = {
        run: {branch: part.reset_index(drop=True) for branch, part in logits.groupby("branch", sort=False)}
        for run, logits in runs.items()
    }
    rows: list[dict] = []
    families: dict[tuple, list[dict]] = {}
    for (arch, seed), logits in runs.items():
        parts, references = _compared_with((arch, seed), branches, systems)
        for name, part in parts.items():
            first = next(iter(parts))
            who, other = (
                f"{arch}, seed {seed}, {each}, perturbed.parquet"
                if each in references
                else f"{each}, seed {seed}, {BASELINE}, perturbed.parquet"
                for each in (name, first)
            )
            require_same_images(part, who, parts[first], other)
            for column in (CLEAN, *table):
                require_numbers(part, who, column)
        counted = _in_proportion(next(iter(parts.values())), sizes) if parts else None
        for testset in (*logits["source"].unique(), COMBINED):
            shown = {
                name: part[counted if testset == COMBINED else part["source"] == testset]
                for name, part in parts.items()
            }
            for row in _of_set(shown, references, table, margin):
                rows.append({"arch": arch, "seed": seed, "testset": testset, **row})
                if "reference" in row:
                    of = (arch, seed) if arch not in systems else ("", seed)
                    families.setdefault((*of, testset, row["reference"]), []).append(rows[-1])
    for family in families.values():
        for column in ("extra_p", "equivalence_p"):
            for row, p in zip(family, holm([row[column] for row in family]), strict=True):
                row[f"{column}_holm"] = p
        for row in family:
            p = row["extra_p_holm"], row["equivalence_p_holm"]
            row["verdict"] = _in_words(
                verdict(row["extra"], *p, row.get("n_independent", row["n"]) >= row["n_needed"])
            )
    return rows


def _compared_with(
    run: tuple[str, int], branches: Mapping[tuple[str, int], Parts], systems: Collection[str]
) -> tuple[Parts, Mapping[str, Sequence[str]]]:
    """Logits of a run's branches, of a system also of networks by their names; the references of each branch."""
    own = branches[run]
    if run[0] not in systems:
        known = [name for name in (BASELINE, DENSE_CONTROL) if name in own]
        return own, {name: [other for other in known if name not in (other, BASELINE)] for name in own}
    networks = {
        arch: parts[BASELINE]
        for (arch, seed), parts in branches.items()
        if arch not in systems and seed == run[1] and BASELINE in parts
    }
    return {**own, **networks}, dict.fromkeys(own, list(networks))


def _in_proportion(part: pd.DataFrame, sizes: Mapping[str, int]) -> np.ndarray:
    """Images that count where sources are taken together: the same share of each one's test images. Bool (n,)."""
    drawn = part["source"].value_counts()
    share = min(count / sizes[source] for source, count in drawn.items())
    counted = pd.Series(False, index=part.index)
    for source, rows in part.groupby("source"):
        strata = list(zip(rows["label"].tolist(), rows["generator"], strict=True))
        kept = splits.subset(strata, list(rows["path"]), round(share * sizes[source]), seed=0)
        counted[rows.index] = rows["path"].isin(kept)
    return counted.to_numpy()


def _of_set(
    parts: Parts,
    references: Mapping[str, Sequence[str]],
    table: Mapping[str, Steps],
    margin: float,
) -> list[dict]:
    """Rows of the branches that `references` names, each compared with what it says; p as they are."""
    changes = {
        name: {change: right(part, change).astype(np.int64) - right(part, CLEAN) for change in table}
        for name, part in parts.items()
    }
    group = next(map(known_groups, parts.values()), None)  # None too where there is no branch
    rows = []
    for branch, others in references.items():
        for name in (CLEAN, *table):
            row = {"branch": branch, **_measured(parts[branch], name, table, group)}
            compared = others if name != CLEAN else []
            rows += [
                row | _compared(changes[branch][name], changes[other][name], margin, group) | {"reference": other}
                for other in compared
            ] or [row]
    return rows


def _measured(part: pd.DataFrame, name: str, table: Mapping[str, Steps], group: np.ndarray | None) -> dict:
    """The numbers of one branch and perturbation that need no reference; `group` int (n,), of each image."""
    before, after, label = right(part, CLEAN), right(part, name), part["label"].to_numpy()
    accuracy = after.mean() if len(after) else math.nan
    row: dict[str, Any] = {"perturbation": name, "kind": CLEAN, "n": len(after), "accuracy": accuracy}
    row["accuracy_low"], row["accuracy_high"] = wilson(accuracy, len(after))
    for column, of_class in (("recall_fake", label == FAKE), ("recall_real", label != FAKE)):
        row[column] = after[of_class].mean() if of_class.any() else math.nan
    row |= share_of_groups(after, group)
    row["auc"] = auc(label, part[name])
    if name != CLEAN:
        steps = table[name]
        row |= {"kind": kind(steps), "value": value(steps), "steps": text(steps)}
        row["change"] = accuracy - before.mean() if len(before) else math.nan
        row["change_low"], row["change_high"] = paired_interval(before, after)
        if group is not None:
            both = paired_interval_grouped(before, after, group)
            row["change_grouped_low"], row["change_grouped_high"] = both
        row["auc_change"] = row["auc"] - auc(label, part[CLEAN])
    return row


def _compared(ours: np.ndarray, theirs: np.ndarray, margin: float, group: np.ndarray | None) -> dict:
    """The numbers that need a reference; int (n,) from -1 to 1, how each image's being right changed."""
    extra = ours - theirs
    n = len(extra)
    row: dict[str, Any] = {
        "reference_change": theirs.mean() if n else math.nan,
        "extra": extra.mean() if n else math.nan,
        "margin": margin,
        "n_needed": images_needed(n, int((extra**2).sum()), 0, margin),
    }
    row["extra_low"], row["extra_high"] = extra_interval(extra)
    count = None
    if group is not None:
        row["n_independent"] = count = independent(extra.astype(float), group, differences=True)
        row["extra_grouped_low"], row["extra_grouped_high"] = extra_interval(extra, count)
    row["extra_p"], row["equivalence_p"] = extra_p(extra, count), extra_equivalence(extra, margin, count)
    return row


def _in_words(found: str) -> str:
    """A verdict about accuracies as one about their changes: what loses more is more brittle."""
    for old, new in (("better", "less brittle"), ("worse", "more brittle"), ("equivalent", "as brittle")):
        found = found.replace(old, new)
    return found
