"""Images in Parquet files, in the layout of Hugging Face's data sets: a row for each, with bytes and label."""

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from detector.core.errors import DetectorError
from detector.data import archives, groups, labelling, lists, own, walk
from detector.data.records import Record, by_path
from detector.data.sources import folder

log = logging.getLogger(__name__)

TITLE = "images in Parquet files"
LAYOUT = """\
**/*.parquet, each with a column of images (their bytes, or a struct of bytes and path) and one of labels, and
optionally generator, group, split, date; a file or folder called like a split (train-00000.parquet) says it
the data set's own names of columns: columns: {image: img, label: is_fake}
what its labels mean: labels: {real: [0], fake: [1]}, needed where they are numbers without names"""
OBTAIN = "Put the files there, such as those of a data set's page on huggingface.co, or set the root to them."
TERMS = "Those of the data set, if it is another's; say here under which terms the images may be used."
LISTS = ()
OPTIONS = ("columns", "groups", "labels")
SPLITS, SHARED = own.SPLITS, own.SHARED
OFFICIAL: dict[tuple[str, int], int] = {}
split = own.split
ROWS = 1 << 14  # that are held as objects at a time


def scan(root: Path, options: Mapping) -> list[Record]:
    """List the images in all files below `root`, sorted by path.

    `options`: `columns`, by what they are for, the data set's names of `image` (default image), `path` (image.path
    where there is one; null: file and row name an image, as where the first row has no path), `label` and the
    optional ones (as they are called here); `labels`, the values that mean real and fake; `groups`, a rule for
    groups by path (`groups.grouped`), in place of a column.

    Raises `DetectorError` for a file that is no Parquet, lacks a column or would grow beyond reason when it is
    read, and for a row without a label, with a value that is none of those expected, or with a path that leads
    out, is there twice or no walk would yield (`walk.check_listed`).
    """
    root = Path(root)
    shards = archives.files(root, archives.PARQUET)
    rows = chain.from_iterable(_rows(root, shard, options) for shard in shards)
    label_of = labelling.reader(options)
    records: list[Record] = []
    seen: set[str] = set()
    named = None  # whether paths are those of the table
    for where, shard, at, row in rows:
        if named is None and not (named := bool(row.get("path"))):
            log.info("%s: found no path in the first row, so images are called by their file and row", root)
        if not named:
            row["path"] = f"{shard.rpartition(archives.PARQUET)[0]}/{at:07d}"
        record = lists.record_of(root, where, row, label_of)
        if named:
            walk.check_listed(where, record.path)
        if record.path in seen:
            raise DetectorError(
                f"{where}: the path {record.path} is there twice, expected each once; name another column in "
                "`columns: {path: …}` of the source, or null to call images by their file and row"
            )
        seen.add(record.path)
        official = record.official or archives.split_of(shard)
        records.append(replace(record, official=official, shard=shard, at=at))
    if not records:
        raise DetectorError(f"{root}: found no row in {len(shards)} file(s), expected one for each image")
    records = by_path(records)
    own.check_splits(root, records)
    records = groups.grouped(root, records, options.get("groups"), folder.group_of)
    log.info("%s: %d images in %d files", root, len(records), len(shards))
    return records


def _rows(root: Path, shard: str, options: Mapping) -> Iterator[tuple[str, str, int, dict[str, Any]]]:
    """Where it stands, shard and place of each row of a file, and its values by what they are for, no image's."""
    file = root / shard
    table = archives.table(file)
    schema = table.schema_arrow
    given = options.get("columns") or {}
    image = given.get("image", "image")
    wanted = labelling.columns(options)
    wanted["path"] = given.get("path", f"{image}.path") or ""
    leaves = {table.schema.column(number).path for number in range(len(table.schema))}
    bytes_of = f"{image}.bytes" if f"{image}.bytes" in leaves else image
    needed = [bytes_of, *(wanted[name] for name in wanted if wanted[name] and (name in given or name == "label"))]
    if missing := [name for name in needed if name not in leaves]:
        raise DetectorError(
            f"{file}: found the columns {', '.join(schema.names)}, expected {', '.join(missing)}; say what they "
            "are called in `columns` of the source"
        )
    archives.check_bombs(file, table, bytes_of)
    read = {name: column for name, column in wanted.items() if column in leaves}
    names = {name: _names(schema, column) for name, column in read.items()}
    place, at = f"{shard}#{bytes_of}", 0
    for batch in archives.batches(file, table, sorted(set(read.values())), batch_size=ROWS):
        for values in batch.to_pylist():
            row = {name: _named(_value(values, column), names[name]) for name, column in read.items()}
            yield f"{file}, row {at}", place, at, row
            at += 1


def _value(row: Mapping[str, Any], column: str) -> Any:
    """The value of a column, or of a field of one: image.path."""
    if column in row:
        return row[column]
    outer, _, inner = column.partition(".")
    return (row.get(outer) or {}).get(inner)


def _names(schema: Any, column: str) -> list[str]:
    """The names of a column's numbers, where the data set gives them (ClassLabel)."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return [str(name) for name in features[column]["names"]]
    except (KeyError, TypeError, ValueError):
        return []


def _named(value: Any, names: list[str]) -> Any:
    if not names or not isinstance(value, int):
        return value
    return names[value] if 0 <= value < len(names) else None
