"""baseline_performance.csv, Table 3: the baselines on each set of images, beside the study's values."""

from collections.abc import Mapping

from detector.experiment.variants import BASELINE
from detector.stats.classification import POSITIVE, measure
from detector.stats.groups import known_groups, share_of_groups
from detector.stats.predictions import Predictions, check, right, with_combined

_RATES = ("accuracy", "precision", "recall", "f1")
COLUMNS = (
    *("arch", "seed", "dataset", "n", "accuracy", "accuracy_low", "accuracy_high", *_RATES[1:], "auc", "positive"),
    *(f"paper_{name}" for name in _RATES),
    *("groups", "grouped_low", "grouped_high"),
)


def baseline_performance(predictions: Predictions, paper: Mapping) -> list[dict]:
    """Rows of Table 3: the baselines on the combined validation set, each test set, and all test sets together.

    `predictions`: by variant and set (`valid` or a source's name), columns source, path, group, label and logit.
    Raises `DetectorError` where a logit is no number.
    """
    check(predictions)
    rows = []
    for variant, sets in predictions.items():
        if variant.branch != BASELINE:
            continue
        for name, table in with_combined(sets).items():
            theirs = paper["baseline"].get(name, {})
            rows.append(
                {
                    "arch": variant.arch,
                    "seed": variant.seed,
                    "dataset": name,
                    **measure(table["label"], table["logit"]),
                    **share_of_groups(right(table), known_groups(table)),
                    "positive": POSITIVE,
                    **{f"paper_{rate}": theirs.get(rate) for rate in _RATES},
                }
            )
    return rows
