"""Registry of the kinds of data sets: each is a module of `sources` that lists a folder as `Record`s.

A source module holds

* `TITLE`, `LAYOUT`, `OBTAIN`: text for people (what it is, the folder layout expected, how to get it),
* `TERMS`: under which terms the images are given, and where that is said; model cards quote it,
* `SPLITS`: the split strategies it knows, the default first,
* `SHARED`: `{split: text}`, what training and test may share although no image is in both ({} if nothing),
* `OFFICIAL`: `{(split, label): count}` of the complete data set ({} if it has no fixed size); split is the
  data set's own (`Record.official`) where each item has one, else what the default strategy gives with the
  study's fractions `STUDY_FRACTIONS`,
* `OPTIONS`: keys of its config section that it takes and not every kind does (may be left out),
* `LISTS`: the names of the text files that it reads; others (`NOTES`) may change and nothing is scanned again,
* `FILES` and `PACKED` (may be left out): of a kind whose images an earlier run has scanned and packed, the files
  below the root that say so, and the array of pixels; it has `scanned(root)`, their scan, and
  `check(name, root, how)`, which raises `DetectorError` where they are packed otherwise,
* `scan(root, options) -> list[Record]`, sorted by path, raising `DetectorError`,
* `split(records, strategy, fractions, seed) -> list[str]`: a split name for each record, "" = left out.

A new kind is a new file in `sources`, found by its name: no file changes that the scan of another kind depends on.

Only the standard library is imported here and in the source modules, so that the Snakefile can ask them
what is missing without paying for pandas.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

from detector.core import discovery
from detector.core.errors import DetectorError, listing
from detector.core.labels import CLASSES
from detector.data.records import Record
from detector.data.splits import STUDY_FRACTIONS

PACKAGE = "detector.data.sources"
CONTRACT = ("TITLE", "LAYOUT", "OBTAIN", "TERMS", "SPLITS", "SHARED", "OFFICIAL", "LISTS", "scan", "split")


def kinds() -> tuple[str, ...]:
    """Names of all kinds of sources: the modules of `sources`."""
    return discovery.names(PACKAGE)


def module(kind: str) -> ModuleType:
    """Module of a kind of source. Raises `DetectorError` for an unknown kind.

    Imported by name so that a stage which scans one data set depends on that data set's module alone.
    """
    return discovery.load(PACKAGE, kind, "kind of source", CONTRACT)


def options_of(kind: str) -> tuple[str, ...]:
    """Keys of a source's config section that this kind takes and not every kind does."""
    return tuple(getattr(module(kind), "OPTIONS", ()))


def lists_of(options: Mapping) -> tuple[str, ...]:
    """Names of the text files that a scan of a source with this config section reads."""
    return (*module(options["type"]).LISTS, *([options["list"]] if options.get("list") else []))


def files_of(options: Mapping) -> tuple[str, ...]:
    """Names of the files at the root of a source that an earlier run wrote; () where images lie there."""
    return tuple(getattr(module(options["type"]), "FILES", ()))


def generators(options: Mapping) -> list[str]:
    """Names of the generators of a source with this config section, sorted, listed as a scan lists its images.

    Raises `DetectorError` as the scan of the kind does.
    """
    records = module(options["type"]).scan(Path(options["root"]), options)
    return sorted({record.generator for record in records} - {""})


def check_official(name: str, kind: str, records: Sequence[Record]) -> None:
    """Raise `DetectorError` naming each (split, class) whose count is not that of the complete data set.

    The splits compared are the data set's own where each item has one, otherwise those of the default strategy
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


def missing_roots(sources: Mapping[str, Mapping]) -> str:
    """Message that names every source whose root, `list` or `pairs` does not exist; "" if all do.

    `sources`: each source's config section (`type`, `root`, …) by its name.
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
        root, source = Path(options["root"]), module(options["type"])
        file = root / options["list"] if options.get("list") else None
        if files := files_of(options):
            file = next((root / name for name in (*files, source.PACKED) if not (root / name).is_file()), None)
        if root.is_dir() and (file is None or file.is_file()):
            continue
        if root.is_dir():
            found, key, place = "no such file", "root" if files else "list", file
        else:
            found, key, place = "a file, not a folder" if root.exists() else "nothing there", "root", root
        parts.append(
            f"{name}: {source.TITLE}\n"
            f"  looked in: {place} (found: {found}; set data.sources.{name}.{key} in the config)\n"
            f"  expected layout:\n{_indent(source.LAYOUT, 4)}\n"
            f"  how to obtain it:\n{_indent(source.OBTAIN, 4)}"
        )
    return "\n\n".join(parts)


def _indent(text: str, by: int) -> str:
    return "\n".join(" " * by + line for line in text.strip("\n").splitlines())
