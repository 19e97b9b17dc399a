"""Labelled images to evaluate on: a folder by class, a list, or a source of a config."""

import contextlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from detector.core.errors import DetectorError
from detector.core.labels import SPLIT_NAMES
from detector.data import kinds, lists, remote, shards
from detector.data.records import Record, by_path

NO_SPLITS = (
    f"no image has a split: give a list a column split ({', '.join(SPLIT_NAMES)}), or lay the images of a folder "
    "into folders that are called so"
)
COLUMNS = ("path", "label", "generator", "group", "split", "date", "shard", "at")


@dataclass(frozen=True)
class Data:
    """Labelled images; `table` has COLUMNS, sorted by path: label 1 = real, split "" where none is known."""

    name: str
    root: Path  # what paths are relative to
    table: pd.DataFrame  # `shard` and `at`: where an image lies that is no file of its own (`data.shards`)

    @cached_property
    def _places(self) -> dict[str, tuple[str, int]]:
        return dict(zip(self.table["path"], zip(self.table["shard"], self.table["at"], strict=True), strict=True))

    def content(self, path: str) -> Path | shards.Content:
        """The file of an image, or its bytes where it lies in a shard. Raises as `shards.content` does."""
        return shards.content(self.root, path, *self._places[path]) or self.root / path

    @contextlib.contextmanager
    def file(self, path: str) -> Iterator[Path]:
        """Context in which there is a file of an image; of one in a shard a copy, with the name of its path."""
        content = self.content(path)
        if isinstance(content, Path):
            yield content
            return
        with tempfile.TemporaryDirectory(prefix="detector-evaluate-") as folder:
            made = Path(folder) / Path(path).name
            made.write_bytes(content.getvalue())
            yield made


def read(path: Path, split: str | None = None) -> Data:
    """Read a folder (of `data.sources.folder`) or a list (`data.lists`); with `split` of that alone.

    Raises `DetectorError` where there is neither, or as they do, and where the split has no image. A class
    may have none, and a file of a list may be missing: what comes of that is said later (`remarks`, `inspection`).
    """
    path = Path(path)
    if path.is_dir():
        return _data(path.resolve().name, path, kinds.module("folder").scan(path, {}), split)
    if path.exists():
        return _data(path.stem, path.parent, lists.read(path), split)
    raise DetectorError(
        f"{path}: found nothing there, expected a folder with real/ and fake/, or a list (CSV, Parquet) with the "
        "columns path and label"
    )


def of_source(name: str, config: Mapping, split: str | None = None) -> Data:
    """Read a source of a complete config, with the splits that a run would give it (limits aside).

    Raises `DetectorError` for a source that the config does not have, whose folder is not there, or of videos.
    """
    sources = config["data"]["sources"]
    if name not in sources:
        raise DetectorError(
            f"{name}: found no such folder, list or source; the config has the sources {', '.join(sources)}"
        )
    options = sources[name]
    if remote.is_remote(options["root"]):
        raise DetectorError(
            f"{name}: its root {options['root']} lies in object storage, expected a folder; give the copy that a "
            f"run keeps, {config['results']}/data/{name}/files, or a list of its files"
        )
    if missing := kinds.missing_roots({name: {**options, "pairs": None}}):
        raise DetectorError(missing)
    source, root = kinds.module(options["type"]), Path(options["root"])
    records = by_path(source.scan(root, options))
    if any(record.frame is not None for record in records):
        raise DetectorError(f"{name}: found videos, expected images; save the frames and list them")
    strategy = options.get("split") or source.SPLITS[0]
    names = source.split(records, strategy, tuple(config["data"]["fractions"]), config["data"]["seed"])
    return _data(name, root, records, split, names)


def walked(data: str, config: Mapping | None = None) -> list[tuple[str, Path]]:
    """Names and folders of what is taken for images whatever lies in it: none of a list, which names its images.

    `config`: a complete one where `data` is a source of it.
    """
    if config is None:
        return [("DATA", Path(data))] if Path(data).is_dir() else []
    options = config["data"]["sources"].get(data, {})
    named = {key: options.get(key) for key in ("root", "pairs")}
    if options.get("type") == "list":
        named["root"] = None
    return [(f"{key} of {data}", Path(at)) for key, at in named.items() if at and not remote.is_remote(at)]


def _data(
    name: str, root: Path, records: list[Record], split: str | None, names: Iterable[str] | None = None
) -> Data:
    table = pd.DataFrame(
        {
            "path": [record.path for record in records],
            "label": [record.label for record in records],
            "generator": [record.generator for record in records],
            "group": [record.group for record in records],
            "split": [record.official for record in records] if names is None else list(names),
            "date": [record.date for record in records],
            "shard": [record.shard for record in records],
            "at": [record.at for record in records],
        }
    )
    if split is not None:
        found = sorted(set(table["split"]) - {""})
        table = table[table["split"] == split].reset_index(drop=True)
        if table.empty:
            there = f"its images are of {' and '.join(found)}: name one of these" if found else NO_SPLITS
            raise DetectorError(f"{name}: found no image of the split {split}; {there}, or leave --split out")
    return Data(name, root, table)
