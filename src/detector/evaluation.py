"""What saved logits prove: comparisons with a verdict, more metrics, and each generator by itself. No torch.

Each function takes predictions by variant and set (`valid` or a source's name), columns path, source, generator,
label and logit, and gives the rows of one table. It raises `DetectorError` where a logit is no number, or models
saw other images. Selection looks at `valid` alone; test images are only counted.
"""

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from detector.calibration import temperature
from detector.metrics import POSITIVE, measure, wilson, wilson_grouped
from detector.saved import check, right
from detector.scores import best_cut, probabilities, ranking
from detector.significance import equivalence, holm, images_needed, mcnemar, paired_interval, verdict
from detector.sources import CLASSES, FAKE, REAL
from detector.tables import BASELINE, DENSE_CONTROL, VALID, Variant, with_combined

Predictions = Mapping[Variant, Mapping[str, pd.DataFrame]]

SIGNIFICANCE_COLUMNS = (
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
)


def significance(predictions: Predictions, margin: float) -> list[dict]:
    """Rows of significance.csv: each branch against its run's baseline and dense control, on each test set.

    `margin`: the difference of accuracies, as a fraction, from which on it matters. p are corrected over the
    branches of one run, test set and reference.
    """
    check(predictions)
    families: dict[tuple, list[dict]] = {}
    for variant, sets in predictions.items():
        for reference in (BASELINE, DENSE_CONTROL):
            other = Variant(*variant.run, reference)
            if variant.branch in (BASELINE, reference) or other not in predictions:
                continue
            theirs = with_combined(predictions[other])
            for name, table in with_combined(sets).items():
                if name != VALID:
                    row = _comparison(right(theirs[name]), right(table), margin)
                    row |= {**_names(variant), "testset": name, "reference": reference}
                    families.setdefault((*variant.run, name, reference), []).append(row)
    for family in families.values():
        for column in ("mcnemar_p", "equivalence_p"):
            for row, p in zip(family, holm([row[column] for row in family]), strict=True):
                row[f"{column}_holm"] = p
        for row in family:
            enough = row["n"] >= row["n_needed"]
            p = row["mcnemar_p_holm"], row["equivalence_p_holm"]
            row["verdict"] = verdict(row["difference"], *p, enough)
    return [row for family in families.values() for row in family]


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


METRICS_COLUMNS = (
    *("arch", "seed", "branch", "testset", "threshold", "cut_logit", "n"),
    *("accuracy", "accuracy_low", "accuracy_high", "balanced_accuracy", "precision", "recall", "f1"),
    *("auc", "auc_low", "auc_high", "average_precision", "eer", "tpr_at_1_percent_fpr", "temperature"),
    *("brier", "brier_scaled", "log_loss", "log_loss_scaled", "ece", "ece_scaled", "positive"),
)


def metrics(predictions: Predictions) -> list[dict]:
    """Rows of metrics.csv: each variant on each test set, at probability one half and at the cut of `valid`.

    An image is called fake where its logit is below `cut_logit`. Cut and temperature come from the validation
    images alone. Where these hold one class, there is no cut, and what depends on it is empty.
    """
    check(predictions)
    rows = []
    for variant, sets in predictions.items():
        valid = sets[VALID]
        cuts = {"0.5": 0.0, "valid": best_cut(valid["label"], valid["logit"])}
        heat = temperature(valid["label"], valid["logit"]) if len(valid) else np.nan
        for name, table in with_combined(sets).items():
            if name == VALID:
                continue
            label, logit = table["label"].to_numpy(), table["logit"].to_numpy(dtype=np.float64)
            scaled = probabilities(label, logit / heat)
            same = {
                **_names(variant),
                "testset": name,
                "temperature": heat,
                "positive": POSITIVE,
                **ranking(label, logit),
                **probabilities(label, logit),
                **{f"{key}_scaled": value for key, value in scaled.items()},
            }
            whole = measure(label, logit)
            for threshold, cut in cuts.items():
                found = {key: whole[key] for key in ("n", "auc")} if np.isnan(cut) else measure(label, logit - cut)
                rows.append({**same, **found, "threshold": threshold, "cut_logit": cut, **_balanced(found)})
    return rows


def _balanced(found: Mapping) -> dict[str, float]:
    """The mean of the shares of fake and of real images that were called right, where there are both."""
    reals = found.get("tn", 0) + found.get("fp", 0)
    return {"balanced_accuracy": (found["recall"] + found["tn"] / reals) / 2} if reals else {}


# In the column generator: all images of a test set, and its real ones. Before a generator of such a name: FAKES.
ALL, REALS, FAKES = "all", CLASSES[REAL], f"{CLASSES[FAKE]}: "
PER_GENERATOR_COLUMNS = (
    *("arch", "seed", "branch", "testset", "generator", "held_out", "n"),
    *("accuracy", "accuracy_low", "accuracy_high", "groups", "grouped_low", "grouped_high"),
)


def per_generator(predictions: Predictions, hold_out: Collection[str] = ()) -> list[dict]:
    """Rows of per_generator.csv: the share called right of all images of a source, of its real ones and of each
    generator's, with an interval for single images and one for groups of images.

    `hold_out`: generators kept from training; `held_out` is yes or no, and empty where images are not all fakes of
    one generator. A generator that is called like another row stands behind `fake: `. `groups` and its interval
    are empty where the source knows no groups.
    """
    check(predictions)
    rows = []
    for variant, sets in predictions.items():
        for name, table in sets.items():
            if name == VALID:
                continue
            real, maker = (table["label"] == REAL).to_numpy(), table["generator"]
            correct, group = right(table), table["group"]
            parts = [(ALL, "", np.ones(len(table), bool)), (REALS, "", real)]
            for made_by in sorted(set(maker[~real])):
                held = "yes" if made_by in hold_out else "no"
                parts.append((_shown(made_by), held, ~real & (maker == made_by).to_numpy()))
            for kind, held, chosen in parts:
                if chosen.any():
                    row = {"generator": kind, "held_out": held, **_share(correct[chosen], group[chosen])}
                    rows.append({**_names(variant), "testset": name, **row})
    return rows


def _shown(generator: str) -> str:
    """A generator's name as no other row has it, whatever somebody called a folder."""
    return f"{FAKES}{generator}" if generator in (ALL, REALS) or generator.startswith(FAKES) else generator


def _share(correct: np.ndarray, group: pd.Series) -> dict:
    low, high = wilson(share := float(correct.mean()), len(correct))
    row = {"n": len(correct), "accuracy": share, "accuracy_low": low, "accuracy_high": high}
    if (group == "").all():
        return row
    members = apart(group)
    low, high = wilson_grouped(correct, members)
    return row | {"groups": int(members.max()) + 1, "grouped_low": low, "grouped_high": high}


def apart(groups: pd.Series) -> np.ndarray:
    """int (n,): images that share a group, directly or through others, have one number; from 0 without gaps.

    `groups`: names joined by |, as a swap's two people; an image without one is by itself.
    """
    names = groups.reset_index(drop=True).str.split("|").explode()
    names = names[names != ""]
    image, name = names.index.to_numpy(), pd.factorize(names)[0] + len(groups)
    size = len(groups) + names.nunique()
    edges = coo_array((np.ones(len(names), bool), (image, name)), shape=(size, size))
    return np.unique(connected_components(edges, directed=False)[1][: len(groups)], return_inverse=True)[1]


def _names(variant: Variant) -> dict:
    return {"arch": variant.arch, "seed": variant.seed, "branch": variant.branch}
