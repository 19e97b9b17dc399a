"""Metrics that are one file each: the modules of `stats.metrics`, found by their names. No torch.

Such a module holds

* `COLUMNS`: the names of its columns in metrics.csv,
* `measure(label, logit) -> {column: number}`: label int (n,), 1 = real; logit float (n,) less the cut, above 0 =
  called real; NaN where it is undefined.

All are used. New columns come last in metrics.csv, in the order of the modules' names.
"""

from collections.abc import Sequence

import numpy as np

from detector.core import discovery
from detector.core.errors import DetectorError

PACKAGE = "detector.stats.metrics"
CONTRACT = ("COLUMNS", "measure")
WHAT = "metric"


def modules() -> list[str]:
    """Names of the modules, which the stage that uses them imports by name."""
    return [f"{PACKAGE}.{name}" for name in discovery.names(PACKAGE)]


def columns(taken: Sequence[str]) -> list[str]:
    """Names of all columns, in order. Raises `DetectorError` for one that is `taken`, or that two modules have."""
    found: list[str] = []
    for name in discovery.names(PACKAGE):
        for column in discovery.load(PACKAGE, name, WHAT, CONTRACT).COLUMNS:
            if column in found or column in taken:
                raise DetectorError(
                    f"{PACKAGE}.{name}: found {column!r} in COLUMNS, expected a name that no other column of "
                    "metrics.csv has; choose another"
                )
            found.append(column)
    return found


def measure(label: np.ndarray, logit: np.ndarray) -> dict[str, float]:
    """All columns of one set of images at one cut; label int (n,), 1 = real; logit float (n,) less the cut."""
    found: dict[str, float] = {}
    for name in discovery.names(PACKAGE):
        found |= discovery.load(PACKAGE, name, WHAT, CONTRACT).measure(label, logit)
    return found
