"""Lists of images: a CSV or Parquet file with a path and a label per row, and what else is known of each.

Columns: `path`, relative to the folder of the file, with forward slashes; `label`, real or fake; and optionally
`generator`, `group` (several joined by "|"), `split` (train, valid or test) and `date` (ISO 8601). Others are
ignored. Standard library alone, and pyarrow where a list is Parquet.
"""

import csv
import datetime
import os
import posixpath
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from detector.core import extras
from detector.core.errors import DetectorError
from detector.core.labels import CLASS_WORDS, CLASSES, FAKE, REAL, SPLIT_NAMES, SPLIT_WORDS
from detector.data import walk
from detector.data.records import NO_GENERATOR, Record, by_path

REQUIRED, OPTIONAL = ("path", "label"), ("generator", "group", "split", "date")
SUFFIXES = frozenset({".csv", ".parquet"})
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}  # that programs write in place of commas
ROWS = 1 << 16  # of a Parquet file that are held as objects at a time


def read(file: Path) -> list[Record]:
    """Records of a list, sorted by path. Whether the files exist is not looked at.

    Raises `DetectorError`, which names the row, for a list that cannot be read or has no row, a column that is
    missing, a value that is none of those expected, a path that leads out of the list's folder, also by a link,
    a path that a walk of the folder would not yield (`walk.check_listed`), and a path that is there twice.
    """
    file = Path(file)
    root = file.parent
    seen: set[str] = set()
    folders: set[str] = set()
    records = []
    for where, row in _rows(file):
        record = record_of(root, where, row)
        walk.check_listed(where, record.path)
        if record.path in seen:
            raise DetectorError(f"{where}: {record.path} is in the list twice; leave one of them out")
        seen.add(record.path)
        folder = posixpath.dirname(record.path)
        if folder not in folders:
            walk.inside(root, root / folder)
            folders.add(folder)
        if os.path.islink(root / record.path):
            walk.inside(root, root / record.path)
        records.append(record)
    if not records:
        raise DetectorError(f"{file}: found no row in it, expected one for each image")
    return by_path(records)


def word(where: str, text: str) -> int:
    """The label that a text says. Raises `DetectorError` where it is no word for a class."""
    label = CLASS_WORDS.get(text.lower())
    if label is None:
        raise DetectorError(
            f"{where}: found label {text!r}, expected {CLASSES[REAL]} or {CLASSES[FAKE]} (a number means one "
            "thing in one data set and the opposite in another); write words"
        )
    return label


def record_of(
    root: Path, where: str, row: Mapping[str, object], label_of: Callable[[str, str], int] = word
) -> Record:
    """The record of a row, by the names of the columns; what is missing is empty.

    `where`: the words that say where the row stands. `label_of`: gives the label of (where, text). Raises
    `DetectorError` for a value that is none of those expected, and a path that leads out of `root`.
    """
    cells = {name: _text(where, name, row.get(name)) for name in (*REQUIRED, *OPTIONAL)}
    if not cells["path"]:
        raise DetectorError(f"{where}: the path is empty, expected a file below {root}")
    walk.inside_name(root, cells["path"], where)
    label = label_of(where, cells["label"])
    split = SPLIT_WORDS.get(cells["split"].lower(), "")
    if cells["split"] and not split:
        raise DetectorError(
            f"{where}: found split {cells['split']!r}, expected {', '.join(SPLIT_NAMES)} or nothing"
        )
    if cells["date"]:
        try:
            datetime.datetime.fromisoformat(cells["date"])
        except ValueError:
            raise DetectorError(
                f"{where}: found date {cells['date']!r}, expected one such as 2026-01-31 (ISO 8601)"
            ) from None
    return Record(
        posixpath.normpath(cells["path"]),
        label,
        sys.intern(cells["generator"] or NO_GENERATOR) if label == FAKE else "",
        cells["group"],
        split,
        date=cells["date"],
    )


def _text(where: str, name: str, value: object) -> str:
    """A cell as text; what is missing is ""."""
    if value is None or value != value:
        return ""
    if isinstance(value, datetime.date):
        return value.isoformat()
    if not isinstance(value, str | int):
        raise DetectorError(f"{where}: found {type(value).__name__} as {name}, expected text")
    text = str(value).strip()
    if not text.isprintable() and name != "path":
        raise DetectorError(f"{where}: found {text!r} as {name}, expected text on one line")
    return text


def _rows(file: Path) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Each row with the words that say where it stands."""
    if not file.is_file():
        raise DetectorError(f"{file}: found no such file, expected a list of images, CSV or Parquet")
    kind = file.suffix.lower()
    if kind not in SUFFIXES:
        raise DetectorError(
            f"{file}: found a file that ends in {kind!r}, expected {' or '.join(sorted(SUFFIXES))}"
        )
    yield from _rows_of_csv(file) if kind == ".csv" else _rows_of_parquet(file)


def _rows_of_csv(file: Path) -> Iterator[tuple[str, Mapping[str, object]]]:
    try:
        with open(file, newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines)
            _check_columns(file, reader.fieldnames or (), hint=commas(reader.fieldnames or ()))
            for row in reader:
                yield f"{file}, line {reader.line_num}", row
    except UnicodeDecodeError as error:
        raise DetectorError(f"{file}: it is not UTF-8 ({error.reason}); save it as that") from None
    except csv.Error as error:
        raise DetectorError(f"{file}, line {reader.line_num}: {error}; expected CSV with commas") from None


def _rows_of_parquet(file: Path) -> Iterator[tuple[str, Mapping[str, object]]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise extras.missing("pyarrow", f"the list {file}") from None
    try:
        with pyarrow.parquet.ParquetFile(file) as table:
            names = table.schema_arrow.names
            _check_columns(file, names)
            wanted = [name for name in (*REQUIRED, *OPTIONAL) if name in names]
            number = 0
            for batch in table.iter_batches(batch_size=ROWS, columns=wanted):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{file}, row {number}", row
    except (pyarrow.ArrowException, OSError) as error:
        raise DetectorError(f"{file}: it cannot be read as Parquet ({str(error).splitlines()[0]})") from None


def commas(names: Iterable[str]) -> str:
    """What to say of the columns of a CSV file that are separated by something else; "" where they are not."""
    header = ",".join(names)
    for separator, word in SEPARATORS.items():
        if "path" in (name.strip(' "') for name in header.split(separator)[:-1]):
            return f"; its columns are separated by {word}, expected commas: save it as CSV with commas"
    return ""


def _check_columns(file: Path, found: Iterable[str], hint: str = "") -> None:
    names = list(found)
    if missing := [name for name in REQUIRED if name not in names]:
        raise DetectorError(
            f"{file}: found the columns {', '.join(names) or 'none'}, expected {' and '.join(REQUIRED)}, "
            f"and optionally {', '.join(OPTIONAL)}; {' and '.join(missing)} is missing{hint}"
        )
