"""final_accuracy.csv, Table 5: every variant on every test set, beside the study's accuracies."""

from collections.abc import Mapping

from detector.experiment.variants import BASELINE, DENSE_CONTROL, VALID, Variant
from detector.stats.classification import METRIC_COLUMNS, POSITIVE, measure
from detector.stats.groups import known_groups, share_of_groups
from detector.stats.predictions import Predictions, check, right, with_combined

COLUMNS = (
    *("arch", "seed", "branch", "testset", *METRIC_COLUMNS, "positive"),
    *("delta_vs_baseline", "delta_vs_dense_control", "paper_accuracy"),
    *("groups", "grouped_low", "grouped_high"),
)


def final_accuracy(predictions: Predictions, paper: Mapping) -> list[dict]:
    """Rows of Table 5 and Fig 5: every variant on every test set, and its differences from two references.

    The deltas are differences of accuracies on the same images, as fractions. An empty `delta_vs_dense_control`
    says that the run has no dense control, empty `groups` and `grouped_…` that no source knows which images belong
    together. Raises `DetectorError` where two variants saw other images, or a logit is no number.
    """
    check(predictions)
    measured = {
        (variant, name): {
            **measure(table["label"], table["logit"]),
            **share_of_groups(right(table), known_groups(table)),
        }
        for variant, sets in predictions.items()
        for name, table in with_combined(sets).items()
        if name != VALID
    }
    rows = []
    for (variant, name), numbers in measured.items():
        row = {
            "arch": variant.arch,
            "seed": variant.seed,
            "branch": variant.branch,
            "testset": name,
            **numbers,
            "positive": POSITIVE,
            "paper_accuracy": paper["accuracy"].get(name, {}).get(variant.branch),
        }
        for column, branch in (("delta_vs_baseline", BASELINE), ("delta_vs_dense_control", DENSE_CONTROL)):
            reference = measured.get((Variant(*variant.run, branch), name))
            row[column] = reference and numbers["accuracy"] - reference["accuracy"]
        rows.append(row)
    return rows
