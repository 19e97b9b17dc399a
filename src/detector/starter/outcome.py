"""Outcome of a run: the bundle to take, and how often it is right, from the files that the run wrote."""

import csv
from dataclasses import dataclass
from pathlib import Path

from detector.core import parquet
from detector.core.errors import DetectorError
from detector.core.files import read_json
from detector.experiment.variants import COMBINED, VALID, Variant
from detector.predict import bundles
from detector.stats.groups import bounds
from detector.stats.metrics import balanced_accuracy


@dataclass(frozen=True)
class Outcome:
    """The bundle that is best on validation images, and its share of right calls of all test images.

    `low`, `high`: its 95 % interval, of groups of images where these are known, NaN where there is one group.
    `fakes`, `reals`: how many of them were called right, and how many there are.
    """

    bundle: Path
    images: int
    accuracy: float
    low: float
    high: float
    fakes: tuple[int, int]
    reals: tuple[int, int]


def best(results: Path) -> Outcome:
    """The best bundle below `results` by validation images, of equal ones the one with fewer weights.

    The best is that of the highest mean of the shares of fake and of real images that are called right. Test
    images decide nothing. Raises `DetectorError` where a run made none.
    """
    found = bundles.bundles(results)
    if not found:
        raise DetectorError(
            f"{results}: found no bundle, expected that of the run; see deploy.branches in its config"
        )
    first = max(sorted(found), key=lambda bundle: _merits(bundle.parent))
    variant = Variant.of(first.parent)
    table = first.parents[4] / "tables/final_accuracy.csv"
    with open(table, newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["testset"] == COMBINED]
    row = next(r for r in rows if (r["arch"], int(r["seed"]), r["branch"]) == (*variant.run, variant.branch))
    numbers = {
        name: float(value or "nan") for name, value in row.items() if name.endswith(("groups", "_low", "_high"))
    }
    low, high = bounds(numbers, "accuracy", "grouped")
    tp, fn, tn, fp = (int(row[name]) for name in ("tp", "fn", "tn", "fp"))
    return Outcome(first, int(row["n"]), float(row["accuracy"]), low, high, (tp, tp + fn), (tn, tn + fp))


def _merits(variant: Path) -> tuple[float, int]:
    """Balanced accuracy on the validation images, and minus the number of weights that are left."""
    valid = parquet.read(variant / f"predictions/{VALID}.parquet")
    found = balanced_accuracy.measure(valid["label"].to_numpy(), valid["logit"].to_numpy())
    return found["balanced_accuracy"], -read_json(variant / "meta.json")["nonzero_weights"]
