"""Memory and time requests of a stage, by the size of its data set.

No stage imports this: what a job is given changes no result.
"""

import os
from pathlib import Path

MILLION = 1_000_000


def amount(base: float, million: float, images: int, attempt: int = 1) -> int:
    """Memory in MB, or time in minutes: `base` up to a million images, `million` more for each further million.

    Half as much again with each further attempt: most often a job was killed because it had too little.
    """
    return round((base + million * max(0.0, images / MILLION - 1)) * (attempt + 1) / 2)


def rows(table: Path | str) -> int | None:
    """Number of rows of a Parquet file, from its last bytes; None where it does not exist or is not readable."""
    import pyarrow
    from pyarrow import parquet

    try:
        return parquet.read_metadata(table).num_rows
    except (OSError, pyarrow.ArrowException):
        return None


def files_below(*roots: str | os.PathLike[str]) -> int:
    """Number of files below these folders."""
    return sum(len(names) for root in roots for _, _, names in os.walk(root))
