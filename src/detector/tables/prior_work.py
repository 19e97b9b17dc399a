"""prior_work.csv, Table 7: accuracies that the study compares itself with, each with what this run measured.

The variants of this run follow. paper.yaml says which of them stand for which system of others.
"""

import fnmatch
from collections.abc import Mapping

import pandas as pd

from detector.experiment.variants import BASELINE, COMBINED
from detector.stats.groups import bounds

COLUMNS = (
    *("model", "train_test", "accuracy", "source"),
    *("family", "measured_system", "testset", "measured_accuracy", "measured_low", "measured_high"),
)
TESTED = "faces140k"  # the source that the study's Table 5 is about; without it, all test images together


def prior_work(accuracy: pd.DataFrame, manifest: pd.DataFrame, paper: Mapping) -> list[dict]:
    """Rows of Table 7: the study's prior work with what was measured of it, then this run's variants.

    `accuracy`: final_accuracy.csv, whose bounds are the measured ones, of groups where these are known. A quoted
    row stands as often as it has variants here, each of a seed; once, with nothing measured, where it has none.
    Only what was measured is of the same images, splits and search.
    """
    trained_on = " + ".join(manifest.loc[manifest["split"] == "train", "source"].unique())
    ours = [
        {
            "model": f"{row.arch} ({row.branch}, seed {row.seed})",
            "train_test": f"{trained_on} → {row.testset}",
            "accuracy": row.accuracy,
            "source": "this run",
        }
        for row in accuracy.itertuples()
    ]
    testset = TESTED if TESTED in set(accuracy["testset"]) else COMBINED
    tested = accuracy[accuracy["testset"] == testset]
    quoted = [row for one in (*paper["prior_work"], *paper["named"]) for row in _beside(one, tested)]
    return [*quoted, *ours]


def _beside(quoted: Mapping, tested: pd.DataFrame) -> list[dict]:
    """A quoted row beside each variant that stands for it, by its patterns, then as in `tested`."""
    row = {name: value for name, value in quoted.items() if name != "measured_by"}
    by = quoted.get("measured_by", {})
    found = tested[tested["branch"] == by.get("branch", BASELINE)]
    measured = [
        {
            "measured_system": f"{one['arch']} ({one['branch']}, seed {one['seed']})",
            "testset": one["testset"],
            "measured_accuracy": one["accuracy"],
            **dict(zip(("measured_low", "measured_high"), bounds(one, "accuracy", "grouped"), strict=True)),
        }
        for pattern in by.get("arch", ())
        for one in found.to_dict("records")
        if fnmatch.fnmatchcase(one["arch"], pattern)
    ]
    return [row | of for of in measured] or [row]
