"""The study's tables, from result files. Columns `paper_*` hold the study's value, empty where it gives none.

No torch here: a table is rebuilt in a second. Accuracies and shares are fractions of 1; the positive class is
fake. What is undefined is empty in the CSV.
"""

from collections.abc import Mapping

import pandas as pd

from detector.core.labels import FAKE, REAL, SPLIT_NAMES
from detector.experiment.variants import BASELINE, COMBINED, DENSE_CONTROL, VALID, Variant
from detector.stats import predictions as predictions_stats
from detector.stats.classification import METRIC_COLUMNS, POSITIVE, measure
from detector.stats.predictions import with_combined

_RATES = ("accuracy", "precision", "recall", "f1")


COMPOSITION_COLUMNS = (
    *("source", "strategy", "split", "real", "fake", "total"),
    *("paper_real", "paper_fake", "paper_total"),
)


def composition(manifest: pd.DataFrame, strategies: Mapping[str, str], paper: Mapping) -> list[dict]:
    """Table 1: images of each source and split, and a `combined` row a split.

    `manifest`: columns source, split, label; `strategies`: how each source was split.
    """
    rows = []
    for source in (*strategies, COMBINED):
        chosen = manifest if source == COMBINED else manifest[manifest["source"] == source]
        for split in SPLIT_NAMES:
            label = chosen.loc[chosen["split"] == split, "label"]
            real, fake = int((label == REAL).sum()), int((label == FAKE).sum())
            theirs = paper["composition"].get(source, {}).get(split)
            rows.append(
                {
                    "source": source,
                    "strategy": strategies.get(source, ""),
                    "split": split,
                    "real": real,
                    "fake": fake,
                    "total": real + fake,
                    "paper_real": theirs and theirs[0],
                    "paper_fake": theirs and theirs[1],
                    "paper_total": theirs and sum(theirs),
                }
            )
    return rows


BASELINE_COLUMNS = (
    *("arch", "seed", "dataset", "n", "accuracy", "accuracy_low", "accuracy_high", *_RATES[1:], "auc", "positive"),
    *(f"paper_{name}" for name in _RATES),
)


def baseline_performance(predictions: Mapping[Variant, Mapping[str, pd.DataFrame]], paper: Mapping) -> list[dict]:
    """Table 3: the baselines on the combined validation set, each test set, and all test sets together.

    `predictions`: by variant and set (`valid` or a source's name), columns source, path, label and logit. Raises
    `DetectorError` where a logit is no number.
    """
    predictions_stats.check(predictions)
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
                    "positive": POSITIVE,
                    **{f"paper_{rate}": theirs.get(rate) for rate in _RATES},
                }
            )
    return rows


HYPERPARAMETER_COLUMNS = (
    *("arch", "seed", "branch", "sparsity_percent", "percent_of", "optimizer", "learning_rate"),
    *("valid_accuracy", "trials", "paper_optimizer", "paper_learning_rate"),
)


def best_hyperparameters(searches: Mapping[Variant, Mapping], paper: Mapping) -> list[dict]:
    """Table 4: what each branch's search found; `searches`: the content of best.json by variant."""
    rows = []
    for variant, best in searches.items():
        theirs = paper["hyperparameters"].get(variant.branch, {})
        rows.append(
            {
                "arch": variant.arch,
                "seed": variant.seed,
                "branch": variant.branch,
                "sparsity_percent": variant.sparsity_percent,
                "percent_of": variant.percent_of,
                **{name: best[name] for name in ("optimizer", "learning_rate", "valid_accuracy", "trials")},
                "paper_optimizer": theirs.get("optimizer"),
                "paper_learning_rate": theirs.get("learning_rate"),
            }
        )
    return rows


ACCURACY_COLUMNS = (
    *("arch", "seed", "branch", "testset", *METRIC_COLUMNS, "positive"),
    *("delta_vs_baseline", "delta_vs_dense_control", "paper_accuracy"),
)


def final_accuracy(predictions: Mapping[Variant, Mapping[str, pd.DataFrame]], paper: Mapping) -> list[dict]:
    """Table 5 and Fig 5: every variant on every test set, and the difference to its run's two references.

    The deltas are differences of accuracies on the same images, as fractions. An empty
    `delta_vs_dense_control` says that the run has no dense control. Raises `DetectorError` where two variants saw
    other images, or a logit is no number.
    """
    predictions_stats.check(predictions)
    measured = {
        (variant, name): measure(table["label"], table["logit"])
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


PRIOR_WORK_COLUMNS = ("model", "train_test", "accuracy", "source")


def prior_work(accuracy: pd.DataFrame, manifest: pd.DataFrame, paper: Mapping) -> list[dict]:
    """Table 7: what the study compares itself with, then this run's variants on each test set.

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
