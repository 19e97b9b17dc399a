"""Outcome of a run: the bundle to take, and how often it is right, from the files that the run wrote."""

import csv
from dataclasses import dataclass
from pathlib import Path

from detector.core.errors import DetectorError
from detector.core.files import read_json
from detector.experiment.variants import COMBINED, Variant
from detector.predict import bundles


@dataclass(frozen=True)
class Outcome:
    """The bundle with the best validation accuracy, and its share of right calls of all test images (95 %)."""

    bundle: Path
    images: int
    accuracy: float
    low: float
    high: float


def best(results: Path) -> Outcome:
    """The best bundle below `results` by validation images, of equal ones the one with fewer weights.

    Test images decide nothing. Raises `DetectorError` where a run made none.
    """
    found = bundles.bundles(results)
    if not found:
        raise DetectorError(
            f"{results}: found no bundle, expected that of the run; see deploy.branches in its config"
        )
    facts = {bundle: read_json(bundle.parent / "meta.json") for bundle in found}
    first = max(sorted(found), key=lambda b: (facts[b]["valid_accuracy"], -facts[b]["nonzero_weights"]))
    variant = Variant.of(first.parent)
    table = first.parents[4] / "tables/final_accuracy.csv"
    with open(table, newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["testset"] == COMBINED]
    row = next(r for r in rows if (r["arch"], int(r["seed"]), r["branch"]) == (*variant.run, variant.branch))
    low, high = (float(row[f"accuracy_{end}"]) for end in ("low", "high"))
    return Outcome(first, int(row["n"]), float(row["accuracy"]), low, high)
