"""Parquet files: tables with one row per image, written atomically."""

import os

import pandas as pd

from detector.core.files import replacing


def read(path: str | os.PathLike) -> pd.DataFrame:
    """Read a Parquet file as a table. Raises as `pandas.read_parquet` does."""
    return pd.read_parquet(path)


def write(table: pd.DataFrame, path: str | os.PathLike) -> None:
    """Write a table atomically as Parquet; equal tables give equal bytes."""
    with replacing(path) as part:
        table.to_parquet(part, index=False)
