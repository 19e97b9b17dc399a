"""prior_work.csv, Table 7: accuracies that the study compares itself with, then those of this run."""

from collections.abc import Mapping

import pandas as pd

COLUMNS = ("model", "train_test", "accuracy", "source")


def prior_work(accuracy: pd.DataFrame, manifest: pd.DataFrame, paper: Mapping) -> list[dict]:
    """Rows of Table 7: the study's prior work, then this run's variants on each test set.

    `accuracy`: final_accuracy.csv. Only rows with the same `train_test` are about the same images.
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
    return [*paper["prior_work"], *ours]
