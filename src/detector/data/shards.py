"""Shards: images inside Parquet and tar files, read in place; nothing is unpacked to the disk.

Where an image lies is said by two values of its record:

* tar: `shard`, the file below the root; `at`, the offset of the image's bytes, after its header,
* Parquet: `shard`, the file below the root, "#" and the column; `at`, the row.
"""

import bisect
import io
import itertools
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from detector.core.errors import DetectorError
from detector.data import archives
from detector.imaging.decoding import BadImageError

COLUMN = f"{archives.PARQUET}#"  # what is before it and its own suffix are the file
MAX_BYTES = 1 << 30  # of an image in a shard, which is held in memory
ROWS = 16  # of a column of images that are held at a time


class Content(io.BytesIO):
    """Bytes of an image; an error of Pillow calls them as it would the file of that path."""

    def __init__(self, content: bytes, path: Path) -> None:
        super().__init__(content)
        self._path = path

    def __repr__(self) -> str:
        return f"<_io.BufferedReader name={str(self._path)!r}>"


def content(root: Path, path: str, shard: str, at: int) -> Content | None:
    """The bytes of the image `path`, which lies at a place in a shard; None where it lies in none (`shard` "").

    Raises `BadImageError` for an image that is missing or too large there, `DetectorError` for a shard that cannot
    be read. Reading forwards in a shard of Parquet reads nothing twice.
    """
    if not shard:
        return None
    _, column, name = shard.rpartition(COLUMN)
    found = _of_parquet(root / file(shard), name, at) if column else _of_tar(root / shard, at)
    return Content(found, root / path)


def file(shard: str) -> str:
    """The file of a shard, below the root; "" where an image lies in none."""
    path, column, _ = shard.rpartition(COLUMN)
    return f"{path}{archives.PARQUET}" if column else shard


def order(table: pd.DataFrame) -> np.ndarray:
    """Rows of a scan in the order in which they are best read: as they are, or by their places in shards."""
    if not (table["shard"] != "").any():
        return np.arange(len(table))
    return np.lexsort((table["at"].to_numpy(), table["shard"].astype("category").cat.codes.to_numpy()))


def _of_tar(file: Path, at: int) -> bytes:
    try:
        with open(file, "rb") as stream:
            stream.seek(at - tarfile.BLOCKSIZE)
            size = tarfile.TarInfo.frombuf(stream.read(tarfile.BLOCKSIZE), "utf-8", "surrogateescape").size
            _check_size(size)
            found = stream.read(size)
    except (tarfile.TarError, OSError, ValueError) as error:
        raise _changed(file, f"byte {at}", error) from None
    if len(found) < size:
        raise _changed(file, f"byte {at}", "it is cut off")
    return found


def _check_size(size: int) -> None:
    if size > MAX_BYTES:
        raise BadImageError(f"{size} bytes in a shard are more than {MAX_BYTES}; store it as a file of its own")


def _changed(file: Path, place: str, error: object) -> DetectorError:
    return DetectorError(f"{file}: found no image at {place} ({error}); it was changed since the scan, run again")


class _Column:
    """A column of images in an open Parquet file, read in batches, forwards as long as it is asked forwards."""

    def __init__(self, file: Path, name: str) -> None:
        self._file, self._table = file, archives.table(file)
        groups = (self._table.metadata.row_group(i).num_rows for i in range(self._table.num_row_groups))
        self._starts = list(itertools.accumulate(groups, initial=0))
        self._name, self._group, self._first = name, -1, 0
        self._left: Iterator[Any] = iter(())
        self._batch: Any = ()

    def read(self, row: int) -> bytes:
        """The bytes in a row. Raises as `content` does."""
        group = bisect.bisect_right(self._starts, row) - 1
        inside = row - self._starts[group]
        if not 0 <= row < self._starts[-1]:
            raise _changed(self._file, f"row {row}", f"it has {self._starts[-1]}")
        if group != self._group or inside < self._first:
            self._left = archives.batches(
                self._file, self._table, [self._name], batch_size=ROWS, row_groups=[group]
            )
            self._group, self._first, self._batch = group, 0, ()
        while inside >= self._first + len(self._batch):
            self._first += len(self._batch)
            self._batch = next(self._left).column(0)
        value = self._batch[inside - self._first].as_py()
        if isinstance(value, dict):
            value = value["bytes"]
        if not value:
            raise BadImageError("no bytes in the table, which must hold the image itself")
        _check_size(len(value))
        return bytes(value)


_open: dict[tuple[object, ...], _Column] = {}  # the one that was read last


def _of_parquet(file: Path, name: str, row: int) -> bytes:
    try:
        stat = os.stat(file)
    except OSError as error:
        raise _changed(file, f"row {row}", error.strerror) from None
    key = (os.fspath(file), name, stat.st_size, stat.st_mtime_ns)
    if key not in _open:
        _open.clear()
        _open[key] = _Column(file, name)
    return _open[key].read(row)
