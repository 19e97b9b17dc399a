"""ablation.csv: each branch's gain over the baseline, split into more training and pruning. No torch."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from detector.experiment import architectures
from detector.experiment.variants import BASELINE, DENSE_CONTROL, VALID, Branch, Variant
from detector.stats import crossed_effects
from detector.stats.groups import known_groups
from detector.stats.predictions import check, right, with_combined
from detector.training.recipe import found

COLUMNS = (
    *(
        "arch",
        "seed",
        "branch",
        "testset",
        "part",
        "control",
        "same_settings",
        "teacher",
        "n",
        "seeds",
        "difference",
    ),
    *("images_low", "images_high", "seeds_low", "seeds_high", "both_low", "both_high", "margin", "verdict"),
    *("groups", "images_grouped_low", "images_grouped_high", "both_grouped_low", "both_grouped_high"),
)
ALL = "all"  # in place of a seed


def ablation(
    predictions: Mapping[Variant, Mapping[str, pd.DataFrame]], metas: Mapping[Variant, Mapping], margin: float
) -> list[dict]:
    """Rows of ablation.csv: each branch's gain over the baseline, and by each control the two parts of it.

    `predictions`: by variant and set (`valid` or a source's name), columns path, source, label and logit; `metas`:
    the content of meta.json by variant; `margin`: the difference of accuracies, as a fraction, from which on it
    matters.

    `more training` is control less baseline, `pruning` branch less control: they add up to `total`. The controls
    are the dense control and each matched one that had the branch's own settings, all that its search found and
    its teacher, in all seeds that the row is about. Rows of each seed, then of all together. A network that starts
    from weights (NETWORK@INIT), beside the same from scratch, has further rows: `start` is each branch less that
    branch from scratch, whose network `control` names. Where it is known which images belong together, the verdict
    is of groups, and `groups` and `…_grouped_…` are not empty. Raises `DetectorError` where two models saw other
    images, or a logit is no number.
    """
    check(predictions)
    right_of = {
        (variant, name): right(table)
        for variant, sets in predictions.items()
        for name, table in with_combined(sets).items()
        if name != VALID
    }
    group_of = {
        name: known_groups(table)
        for sets in list(predictions.values())[:1]
        for name, table in with_combined(sets).items()
    }
    rows = []
    for arch in dict.fromkeys(variant.arch for variant in predictions):
        seeds = list(dict.fromkeys(variant.seed for variant in predictions if variant.arch == arch))
        names = list(dict.fromkeys(variant.branch for variant in predictions if variant.arch == arch))
        controls = [name for name in names if Branch.of(name).is_control]
        for branch in (name for name in names if name != BASELINE and name not in controls):
            for testset in dict.fromkeys(name for _, name in right_of):
                for seed, runs in (*((seed, [seed]) for seed in seeds), (ALL, seeds)):
                    for part, control, second, first, same in _parts(metas, arch, runs, branch, controls):
                        row = {"arch": arch, "seed": seed, "branch": branch, "testset": testset, "part": part}
                        before, after = (
                            [right_of[Variant(arch, run, name), testset] for run in runs]
                            for name in (first, second)
                        )
                        taught = _teacher([metas[Variant(arch, run, branch)] for run in runs])
                        how = {"control": control, "same_settings": same, "teacher": taught}
                        rows.append({**row, **how, **_numbers(before, after, group_of[testset], margin)})
        rows += _starts(right_of, group_of, metas, arch, margin)
    return rows


def _starts(
    right_of: Mapping[tuple[Variant, str], np.ndarray],
    group_of: Mapping[str, np.ndarray | None],
    metas: Mapping[Variant, Mapping],
    arch: str,
    margin: float,
) -> Iterator[dict]:
    """Rows of what an architecture's start gains, for each branch and seed that there is from scratch too."""
    scratch = architectures.scratch(arch)
    pairs = {
        variant: Variant(scratch, variant.seed, variant.branch)
        for variant in metas
        if variant.arch == arch != scratch and Variant(scratch, variant.seed, variant.branch) in metas
    }
    for branch in dict.fromkeys(variant.branch for variant in pairs):
        seeds = [variant.seed for variant in pairs if variant.branch == branch]
        for testset in dict.fromkeys(name for _, name in right_of):
            for seed, runs in (*((seed, [seed]) for seed in seeds), (ALL, seeds)):
                first, second = ([Variant(name, run, branch) for run in runs] for name in (scratch, arch))
                same = ""
                if branch != BASELINE:
                    settings = [[_settings(metas[one]) for one in side] for side in (first, second)]
                    same = "yes" if settings[0] == settings[1] else "no"
                before, after = ([right_of[one, testset] for one in side] for side in (first, second))
                yield {
                    **{"arch": arch, "seed": seed, "branch": branch, "testset": testset, "part": "start"},
                    **{"control": scratch, "same_settings": same},
                    "teacher": _teacher([metas[one] for one in second]),
                    **_numbers(before, after, group_of[testset], margin),
                }


def _parts(
    metas: Mapping, arch: str, seeds: Sequence[int], branch: str, controls: Sequence[str]
) -> Iterator[tuple[str, str, str, str, str]]:
    """The part's name, its control, what is compared with what, and whether branch and control had one setting."""
    yield "total", "", branch, BASELINE, ""
    for control in controls:
        ours, theirs = (
            [_settings(metas[Variant(arch, seed, name)]) for seed in seeds] for name in (branch, control)
        )
        same = ours == theirs
        said = "yes" if same else "no"
        if same or control == DENSE_CONTROL:
            yield "more training", control, control, BASELINE, said
            yield "pruning", control, branch, control, said


def _settings(meta: Mapping) -> tuple[dict, str | None]:
    """Settings of a fine-tuning that another one can share: all that its search found, and its teacher's name."""
    return found(meta["hyperparameters"]), (meta.get("teacher") or {}).get("name")


def _teacher(metas: Sequence[Mapping]) -> str:
    """Whose logits the branch learned from beside the labels. "" for none, and for older results."""
    return ", ".join(dict.fromkeys(taught["name"] for meta in metas if (taught := meta.get("teacher"))))


def _numbers(
    first: Sequence[np.ndarray], second: Sequence[np.ndarray], group: np.ndarray | None, margin: float
) -> dict:
    """Of one row; bool (n,) for each seed, whether each image was called right, and int (n,), its group."""
    differences = np.subtract(second, first, dtype=np.int8)
    seeds, n = differences.shape
    intervals = {
        "images": crossed_effects.over_images(differences),
        "seeds": crossed_effects.over_seeds(differences),
        "both": crossed_effects.over_both(differences),
    }
    of_groups = {} if group is None else {"groups": len(np.unique(group))}
    if group is not None:
        intervals["images_grouped"] = crossed_effects.over_images(differences, group)
        intervals["both_grouped"] = crossed_effects.over_both(differences, group)
    decisive = ("both" if seeds > 1 else "images") + ("_grouped" if of_groups else "")
    verdict = _verdict(*intervals[decisive], margin) if n else ""
    if verdict and seeds == 1:
        verdict += " (one training run)"
    return {
        "n": n,
        "seeds": seeds,
        "difference": differences.mean() if n else np.nan,
        **{
            f"{name}_{end}": at
            for name, both in intervals.items()
            for end, at in zip(("low", "high"), both, strict=True)
        },
        "margin": margin,
        "verdict": verdict,
        **of_groups,
    }


def _verdict(low: float, high: float, margin: float) -> str:
    """Verdict of an interval, in the words of significance.csv; NaN, of one group, decides nothing."""
    direction = "better" if low > 0 else "worse" if high < 0 else ""
    if -margin < low and high < margin:
        return f"equivalent: {direction} within the margin" if direction else "equivalent"
    return direction or "undecided"
