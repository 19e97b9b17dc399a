"""Data sets: one module a kind, each turning a folder into a list of `Record`.

A source module holds

* `TITLE`, `LAYOUT`, `OBTAIN`: text for people (what it is, the folder layout expected, how to get it),
* `SPLITS`: the split strategies it knows, the default first,
* `OFFICIAL`: `{(split, label): count}` of the complete data set ({} if it has no fixed size); split is the
  data set's own (`Record.official`) where each item has one, else what the default strategy gives with the
  study's fractions `STUDY_FRACTIONS`,
* `LISTS`: the names of the text files that it reads; others (`NOTES`) may change and nothing is scanned again,
* `scan(root, options) -> list[Record]`, sorted by path, raising `DetectorError`,
* `split(records, strategy, fractions, seed) -> list[str]`: a split name for each record, "" = left out.

A new kind is a new file here, found by its name: no file changes that the scan of another kind depends on.

Only the standard library is imported here and in the source modules, so that the Snakefile can ask them
what is missing without paying for pandas.
"""

import importlib
import os
import pkgutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from types import ModuleType

from detector.errors import DetectorError, listing

REAL, FAKE = 1, 0
CLASSES = {REAL: "real", FAKE: "fake"}  # in tables and texts
SPLIT_NAMES = ("train", "valid", "test")
STUDY_FRACTIONS = (0.8, 0.1, 0.1)  # train, valid, test
PAIRS = "@pairs/"  # how paths of photographs begin that lie in a source's `pairs` and not below its root
IMAGE_SUFFIXES = frozenset(
    {
        *(".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"),
        *(".avif", ".heic", ".heif", ".hif", ".jxl"),  # where they cannot be read, the error says what to do
    }
)
NOTES = frozenset({".txt", ".md", ".csv", ".json"})  # what data sets have beside images
# What file browsers, network disks and unpacking tools leave beside images, in lower case. Some of it is named
# like an image, or holds thumbnails of the images beside it.
CLUTTER = frozenset(
    {
        *("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "picasa.ini", "icon\r"),
        *("@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "@__thumb", "@tmp"),
        *("__macosx", "network trash folder", "temporary items", "$recycle.bin", "system volume information"),
        *("lost+found", "__pycache__"),
    }
)


@dataclass(frozen=True, order=True, slots=True)
class Record:
    """One image or video as a data set lists it, before anything is decoded."""

    path: str  # relative to the source's root, with forward slashes; after PAIRS: relative to its `pairs`
    label: int  # 1 = real, 0 = fake
    generator: str = ""  # what made a fake; "" for real images
    group: str = ""  # what must not be in two splits (person, prompt); several joined by "|"; "" = its own
    official: str = ""  # the data set's own split of this item: train, valid, test or ""
    frame: float | None = None  # position of the frame in a video, 0 = first, 1 = last; None for images


def is_clutter(name: str) -> bool:
    """Whether a file or folder of this name is nobody's image, whatever it holds: hidden ones, and `CLUTTER`."""
    return name.startswith(".") or name.lower() in CLUTTER


def kinds() -> tuple[str, ...]:
    """The kinds of sources there are: the modules of this folder."""
    return tuple(sorted(name for _, name, _ in pkgutil.iter_modules(__path__) if not name.startswith("_")))


def by_path(records: Iterable[Record]) -> list[Record]:
    """The records in the order of their paths, which differ; comparing whole records is ten times as slow."""
    return sorted(records, key=attrgetter("path"))


def module(kind: str) -> ModuleType:
    """The module of a kind of source.

    Imported by name so that a stage which scans one data set depends on that data set's module alone.
    """
    if kind not in kinds():
        raise DetectorError(f"unknown kind of source {kind!r}; expected one of {', '.join(kinds())}")
    return importlib.import_module(f"detector.sources.{kind}")


def check_official(name: str, kind: str, records: Sequence[Record]) -> None:
    """Raises DetectorError naming each (split, class) whose count is not that of the complete data set.

    The splits compared are the data set's own where each item has one, else those of the default strategy
    with the study's fractions; how many items they get does not depend on the seed.
    """
    source = module(kind)
    if not source.OFFICIAL:
        raise DetectorError(f"source {name}: kind {kind!r} has no official counts; remove 'expect: official'")
    own = [record.official for record in records]
    names = own if all(own) else source.split(records, source.SPLITS[0], STUDY_FRACTIONS, seed=0)
    found: dict[tuple[str, int], int] = dict.fromkeys(source.OFFICIAL, 0)
    for split_name, record in zip(names, records, strict=True):
        found[split_name, record.label] = found.get((split_name, record.label), 0) + 1
    wrong = [
        f"{split_name}, {CLASSES[label]}: found {count}, expected {source.OFFICIAL.get((split_name, label), 0)}"
        for (split_name, label), count in found.items()
        if count != source.OFFICIAL.get((split_name, label), 0)
    ]
    if wrong:
        raise DetectorError(
            f"source {name}: this is not the complete {source.TITLE}:\n{listing(wrong)}\n"
            "Complete it, or remove 'expect: official' to work with what is there."
        )


def located(path: str, pairs: str | os.PathLike | None) -> str:
    """What to join to the source's root to reach a record's file: the path itself, or an absolute one of `pairs`.

    Tables keep the record's path, so they do not depend on where on this machine the two folders lie.
    """
    return os.path.abspath(os.path.join(pairs, path.removeprefix(PAIRS))) if path.startswith(PAIRS) else path


def missing_roots(sources: Mapping[str, Mapping]) -> str:
    """One message that names every source whose root or `pairs` is not there; "" if all are.

    `sources` maps a source's name to its config section (`type`, `root`, …).
    """
    parts = []
    for name, options in sources.items():
        if options.get("pairs") and not Path(options["pairs"]).is_dir():
            parts.append(
                f"{name}: photographs that join its test set\n"
                f"  looked in: {options['pairs']} (found no folder; set data.sources.{name}.pairs in the "
                "config, or null for none)\n"
                "  expected layout:\n    any folders of images"
            )
        root = Path(options["root"])
        if root.is_dir():
            continue
        source = module(options["type"])
        found = "a file, not a folder" if root.exists() else "nothing there"
        parts.append(
            f"{name}: {source.TITLE}\n"
            f"  looked in: {root} (found: {found}; set data.sources.{name}.root in the config)\n"
            f"  expected layout:\n{_indent(source.LAYOUT, 4)}\n"
            f"  how to obtain it:\n{_indent(source.OBTAIN, 4)}"
        )
    return "\n\n".join(parts)


def _indent(text: str, by: int) -> str:
    return "\n".join(" " * by + line for line in text.strip("\n").splitlines())
