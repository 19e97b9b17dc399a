"""The study's tables, from result files. Columns `paper_*` hold the study's value, empty where it gives none.

No torch here: a table is rebuilt in a second. Accuracies and shares are fractions of 1; the positive class is
fake. What is undefined is empty in the CSV.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.numpy import load_file

from detector import saved
from detector.files import replacing
from detector.metrics import METRIC_COLUMNS, POSITIVE, measure
from detector.sources import FAKE, REAL, SPLIT_NAMES

BASELINE, DENSE_CONTROL, VALID, COMBINED = "baseline", "l1-00", "valid", "combined"
MATCHED = (
    "matched-"  # and the percent of the branch whose optimizer and learning rate a control was fine-tuned with
)
_RATES = ("accuracy", "precision", "recall", "f1")


@dataclass(frozen=True)
class Variant:
    """A trained model by its place in the tree: runs/{arch}/seed{seed}/{branch}."""

    arch: str
    seed: int
    branch: str

    @classmethod
    def of(cls, folder: Path | str) -> "Variant":
        arch, seed, branch = Path(folder).parts[-3:]
        return cls(arch, int(seed.removeprefix("seed")), branch)

    def __str__(self) -> str:
        return f"{self.arch}, seed {self.seed}, {self.branch}"

    @property
    def run(self) -> tuple[str, int]:
        return self.arch, self.seed

    @property
    def sparsity_percent(self) -> int:
        """Percent of what `percent_of` says that the branch's name says is pruned."""
        if self.branch == BASELINE or self.branch.startswith(MATCHED):
            return 0  # the percent in a matched control's name is that of the branch it is matched with
        return int(self.branch.rsplit("-", 1)[1])

    @property
    def percent_of(self) -> str:
        """`weights`: conv and fc weights that are zero; `parameters`: all, gone with their channels."""
        return "parameters" if self.branch.startswith("channels-") else "weights"


def write(rows: Sequence[Mapping], columns: Sequence[str], path: Path | str) -> None:
    """A CSV with exactly these columns; None and NaN become empty; floats with six digits."""
    with replacing(path) as temporary, open(temporary, "w", newline="") as handle:
        writer = csv.DictWriter(handle, columns, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({name: _cell(row.get(name)) for name in columns})


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
    saved.check(predictions)
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
    saved.check(predictions)
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


EFFICIENCY_COLUMNS = (
    *("arch", "seed", "branch", "sparsity_percent", "percent_of", "nonzero_weights", "total_parameters"),
    *("file_mib", "parameters_removed", "channels_removed", "macs_removed"),
    *("latency_ms_median", "latency_ms_p90", "batch", "device", "threads"),
    *("paper_nonzero_weights", "paper_file_mib", "paper_latency_ms"),
)


def efficiency(
    models: Mapping[Variant, Path],
    metas: Mapping[Variant, Mapping],
    latencies: Mapping[tuple[str, int], pd.DataFrame],
    paper: Mapping,
) -> list[dict]:
    """Table 6: what each model weighs and how long it takes.

    Counted in the files themselves: `nonzero_weights` of the conv and fc weights (what the study counts),
    `total_parameters` of all that trains. `latencies`: latency.csv by (arch, seed). The shares that are removed
    are of the run's baseline, from `metas`, the content of meta.json: a weight that is merely zero is still there.
    """
    rows = []
    for variant, path in models.items():
        weights, parameters = _counts(load_file(path))
        timed = latencies[variant.run].set_index("branch").loc[variant.branch]
        theirs = paper["efficiency"].get(variant.branch, {})
        own, dense = metas[variant], metas[Variant(*variant.run, BASELINE)]
        removed = {
            name: 1 - own[key] / dense[key]
            for name, key in (("parameters", "total_parameters"), ("channels", "channels"), ("macs", "macs"))
        }
        rows.append(
            {
                "arch": variant.arch,
                "seed": variant.seed,
                "branch": variant.branch,
                "sparsity_percent": variant.sparsity_percent,
                "percent_of": variant.percent_of,
                "nonzero_weights": weights,
                "total_parameters": parameters,
                "file_mib": round(path.stat().st_size / 2**20, 3),
                **{f"{name}_removed": share for name, share in removed.items()},
                **timed[["latency_ms_median", "latency_ms_p90", "batch", "device", "threads"]].to_dict(),
                "paper_nonzero_weights": theirs.get("nonzero_weights"),
                "paper_file_mib": theirs.get("file_mib"),
                "paper_latency_ms": theirs.get("latency_ms"),
            }
        )
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


def with_combined(sets: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The sets, and all test sets together as `combined`."""
    tests = [table for name, table in sets.items() if name != VALID]
    return {**sets, COMBINED: pd.concat(tests, ignore_index=True)}


def _counts(tensors: Mapping[str, np.ndarray]) -> tuple[int, int]:
    """Non-zero conv and fc weights, and all parameters, of a state dict.

    Conv and fc weights are the tensors of two and more dimensions; batch normalisation's running statistics
    are no parameters.
    """
    parameters = {
        name: tensor
        for name, tensor in tensors.items()
        if not name.endswith(("running_mean", "running_var", "num_batches_tracked"))
    }
    weights = sum(int(np.count_nonzero(t)) for t in parameters.values() if t.ndim >= 2)
    return weights, sum(t.size for t in parameters.values())


def _cell(value: object) -> object:
    if value is None or (isinstance(value, float | np.floating) and np.isnan(value)):
        return ""
    return f"{value:.6g}" if isinstance(value, float | np.floating) else value
