"""CSV files, written atomically."""

import csv
import os
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from detector.core.files import replacing


def write_table(table: pd.DataFrame, path: str | os.PathLike) -> None:
    """Write a table atomically as CSV with all digits of its floats; None and NaN become empty fields."""
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")


def write_csv(rows: Sequence[Mapping], columns: Sequence[str], path: str | os.PathLike) -> None:
    """Write rows atomically as CSV with exactly these columns.

    None and NaN become empty fields; floats have six significant digits.
    """
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, columns, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({name: _cell(row.get(name)) for name in columns})


def _cell(value: object) -> object:
    if value is None or (isinstance(value, float | np.floating) and np.isnan(value)):
        return ""
    return f"{value:.6g}" if isinstance(value, float | np.floating) else value
