"""Periods: windows of time between dates, and which images fall into which."""

import datetime
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from detector.data.records import file_of

UNDATED = ""


def names(edges: Sequence[str]) -> list[str]:
    """Names of the windows that `edges`, ascending days such as 2025-01-31, cut time into; one more than edges."""
    between = [f"{first} to {last}" for first, last in zip(edges, edges[1:], strict=False)]
    return [f"before {edges[0]}", *between, f"from {edges[-1]}"]


def days(dates: pd.Series) -> np.ndarray:
    """Days of dates, text (n,) as 2025-01-31; `UNDATED` where there is none. A day is that which the date says."""
    found = {
        text: datetime.datetime.fromisoformat(text).date().isoformat() if text else UNDATED for text in set(dates)
    }
    return np.array([found[text] for text in dates], dtype=object)


def number(dates: pd.Series, edges: Sequence[str]) -> np.ndarray:
    """Number of the window of each date, int (n,): how many edges are not after it; -1 where there is none."""
    day = days(dates)
    return np.where(day == UNDATED, -1, sum((day >= edge).astype(int) for edge in edges))


def of_images(images: pd.DataFrame, scans: Mapping[str, pd.DataFrame]) -> pd.Series:
    """Dates of images of a manifest or of predictions, by `source` and `path`: text (n,), as in the scans."""
    known = {
        (source, file_of(path)): date
        for source, scan in scans.items()
        for path, date in zip(scan["path"], scan["date"], strict=True)
        if date
    }
    pairs = zip(images["source"], images["path"].map(file_of), strict=True)
    return pd.Series([known.get(pair, UNDATED) for pair in pairs], index=images.index, dtype=object)
