"""Results of a run that figures are drawn from, made up, and what is seen in a figure."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from detector.experiment.variants import Variant
from detector.tables.metrics import metrics

BRANCHES = ["baseline", "l1-00", "l1-10", "random-10"]
SHOWN = ["baseline", "l1-00", "l1-10", "l1-40", "l1-90", "matched-40", "random-40", "channels-40", "channels-80"]
DEPLOYED = [
    ("baseline", "fp32", 94.3, 110.0, 0.862),
    ("l1-40", "fp16", 24.7, 111.0, 0.870),
    ("l1-40", "int8", 15.3, 112.0, 0.866),
    ("channels-50", "int8", 8.2, 40.0, 0.846),
    ("random-40", "int8", 15.4, 113.0, 0.845),
]


def counted(tp: int, fn: int, fp: int, tn: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels and logits with these counts, fake being positive."""
    label = np.repeat([0, 0, 1, 1], [tp, fn, fp, tn])
    return label, np.repeat([-1.0, 1.0, -1.0, 1.0], [tp, fn, fp, tn])


def history(accuracies: list[float]) -> pd.DataFrame:
    loss = np.linspace(0.6, 0.1, len(accuracies))
    columns = {"train_loss": loss, "valid_loss": loss, "train_accuracy": accuracies, "valid_accuracy": accuracies}
    return pd.DataFrame({"epoch": np.arange(1, len(accuracies) + 1), **columns})


def trials(accuracies: list[float]) -> pd.DataFrame:
    count = len(accuracies)
    return pd.DataFrame(
        {
            "state": ["COMPLETE"] * (count - 1) + ["PRUNED"],
            "optimizer": (["SGD", "Adam"] * count)[:count],
            "learning_rate": np.logspace(-6, -4, count),
            "valid_accuracy": accuracies,
            "score": accuracies,
        }
    )


def accuracy_table(branches: list[str]) -> pd.DataFrame:
    rows = [(arch, seed, branch) for arch in ("resnet18", "resnet50") for seed in (0, 1) for branch in branches]
    table = pd.DataFrame(rows, columns=["arch", "seed", "branch"])
    accuracy = np.linspace(0.9, 1.0, len(table))
    table = table.assign(testset="faces140k", n=1234, accuracy=accuracy, delta_vs_dense_control=accuracy - 0.95)
    return table.assign(accuracy_low=accuracy - 0.02, accuracy_high=np.minimum(accuracy + 0.02, 1))


def deployment_table(rows: list[tuple]) -> pd.DataFrame:
    """`rows`: branch, precision, MB, ms, accuracy."""
    table = pd.DataFrame(rows, columns=["branch", "precision", "file_mb", "latency_ms_median", "accuracy"])
    return table.assign(arch="resnet50", seed=0, format="sparse", runtime="torch", batch=1, threads=2, n=2000)


def scored(seed: str, real: int = 60, fake: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Labels and logits that overlap, others for each seed."""
    rng = np.random.default_rng(list(seed.encode()))
    label = np.repeat([1, 0], [real, fake])
    return label, rng.normal(2 * label - 1, 2.0)


def texts(path: Path) -> list[str]:
    """The text elements of an SVG, in the order drawn."""
    return re.findall(r"<text[^>]*>([^<]+)</text>", path.read_text())


def twice(draw: Callable[[Path], None], folder: Path, suffix: str = "svg") -> Path:
    """The path of a figure that was drawn two times, to equal bytes."""
    paths = [folder / f"{i}.{suffix}" for i in range(2)]
    for path in paths:
        draw(path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    return paths[0]


def run_predictions(branches: Sequence[str]) -> dict[str, dict[str, pd.DataFrame]]:
    """Saved logits by branch and set: validation images, a set of both classes and one of fakes alone."""
    counts = {"valid": (80, 70), "faces": (60, 40), "fakes": (0, 30)}
    found: dict[str, dict[str, pd.DataFrame]] = {branch: {} for branch in branches}
    for branch, sets in found.items():
        for name, (real, fake) in counts.items():
            label, logit = scored(branch + name, real, fake)
            paths = [str(i) for i in range(len(label))]
            told = {"source": name, "path": paths, "generator": "", "group": ""}
            sets[name] = pd.DataFrame({**told, "label": label, "logit": logit})
    return found


def measured(predictions: dict[str, dict[str, pd.DataFrame]]) -> pd.DataFrame:
    """metrics.csv of these predictions at probability one half, by branch and test set."""
    rows = metrics({Variant("resnet18", 0, branch): sets for branch, sets in predictions.items()})
    return pd.DataFrame(rows).query("threshold == '0.5'").set_index(["branch", "testset"])
