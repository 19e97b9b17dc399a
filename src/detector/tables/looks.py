"""looks.csv: what several looks at an image cost and give, against one. No torch."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from detector.experiment.variants import names
from detector.stats.auc import auc
from detector.stats.groups import known_groups
from detector.stats.intervals import paired_interval, paired_interval_grouped
from detector.stats.predictions import ONE_LOOK, Predictions, check, require_numbers, right, with_combined

COLUMNS = (
    *("arch", "seed", "branch", "testset", "looks", "n", "accuracy", "accuracy_one_look"),
    *("difference", "difference_low", "difference_high", "auc", "auc_one_look"),
    *("latency_ms_median", "latency_ms_median_one_look", "times_slower", "batch", "device", "threads"),
    *("groups", "difference_grouped_low", "difference_grouped_high"),
)


def looks(predictions: Predictions, latencies: Mapping[tuple[str, int], pd.DataFrame]) -> list[dict]:
    """Rows of looks.csv: each variant on the validation images and each test set, by its looks and by the middle.

    `predictions`: with the column `ONE_LOOK` beside `logit`; `latencies`: latency.csv by (arch, seed), with the
    time of all looks. `difference` is of accuracies, with a paired 95 % interval over images, and one over
    groups of images where these are known.

    Raises `DetectorError` where a logit is no number, or models saw other images.
    """
    check(predictions)
    rows = []
    for variant, sets in predictions.items():
        timed = latencies[variant.run].set_index("branch").loc[variant.branch]
        cost = {
            "looks": timed["looks"],
            "latency_ms_median": timed["looks_ms_median"],
            "latency_ms_median_one_look": timed["latency_ms_median"],
            "times_slower": timed["looks_ms_median"] / timed["latency_ms_median"],
            **timed[["batch", "device", "threads"]].to_dict(),
        }
        for name, table in with_combined(sets).items():
            require_numbers(table, f"{variant}, {name}", ONE_LOOK)
            label, all_, one = table["label"].to_numpy(), right(table), right(table, ONE_LOOK)
            low, high = paired_interval(one, all_)
            accuracy, before = (found.mean() if len(table) else np.nan for found in (all_, one))
            of_groups: dict[str, Any] = {}
            if (group := known_groups(table)) is not None:
                of_groups["groups"] = len(np.unique(group))
                bounds = paired_interval_grouped(one, all_, group)
                of_groups["difference_grouped_low"], of_groups["difference_grouped_high"] = bounds
            rows.append(
                {
                    **names(variant),
                    **{"testset": name, "n": len(table)},
                    **{"accuracy": accuracy, "accuracy_one_look": before, "difference": accuracy - before},
                    **{"difference_low": low, "difference_high": high},
                    "auc": auc(label, table["logit"].to_numpy()),
                    "auc_one_look": auc(label, table[ONE_LOOK].to_numpy()),
                    **cost,
                    **of_groups,
                }
            )
    return rows
