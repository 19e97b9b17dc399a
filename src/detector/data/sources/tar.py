"""Images in tar files: of the layout of WebDataset, a label beside each image, or in folders by class."""

import io
import json
import logging
import posixpath
import tarfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from detector.core.errors import DetectorError
from detector.data import archives, groups, labelling, lists, own, walk
from detector.data.records import Record, by_path
from detector.data.sources import folder
from detector.imaging.suffixes import IMAGE_SUFFIXES

log = logging.getLogger(__name__)

TITLE = "images in tar files"
LAYOUT = """\
**/*.tar, uncompressed, with images and beside each, under the same name up to the first dot, its label:
NAME.cls, NAME.json (its key label; optionally generator, group, split, date) or NAME.txt
or with images in folders by class, as of the kind folder: real/**, fake/GENERATOR/**
a file or folder called like a split (train-000.tar) says it
the data set's own keys in NAME.json: columns: {label: is_fake}
what its labels mean: labels: {real: [0], fake: [1]}"""
OBTAIN = "Put the files there, or set the root to where they are."
TERMS = "Those of the data set, if it is another's; say here under which terms the images may be used."
LISTS = ()
OPTIONS = ("columns", "groups", "labels")
SPLITS, SHARED = own.SPLITS, own.SHARED
OFFICIAL: dict[tuple[str, int], int] = {}
split = own.split
TEXTS = (".cls", ".json", ".txt")  # what may say a label
MAX_TEXT = 1 << 20  # bytes of one


def scan(root: Path, options: Mapping) -> list[Record]:
    """List the images in all archives below `root`, sorted by path: their names in the archives.

    The label is what the .cls beside an image says, or the key of the .json, or the folders that hold it
    (`folder.scan`), or the .txt, the first that there is. `options`: `columns`, the data set's keys of a .json, by
    what they are for; `labels`, the values that mean real and fake; `groups`, a rule for groups by path
    (`groups.grouped`), in place of a key.

    Raises `DetectorError` as `archives.members` does, for a name that is there twice, for files of other kinds,
    and for an image without a label or with a value that is none of those expected.
    """
    root = Path(root)
    shards = archives.files(root, archives.TAR)
    places: dict[str, tuple[str, int]] = {}
    records: list[Record] = []
    tree: dict[str, list[str]] = {}  # names of images by the folders that say what they are
    label_of, columns = labelling.reader(options), labelling.columns(options)
    for shard in shards:
        images, texts = _members(root / shard, columns)
        named = Counter(map(_key, images))
        for path, at in images.items():
            where = f"{root / shard}: {path}"
            if path in places:
                raise DetectorError(
                    f"{where} is in {root / places[path][0]} too, expected each name once; make the archives "
                    "anew with names that differ"
                )
            places[path] = (shard, at)
            row = _said(path, texts.get(_key(path), {}))
            if row is None:
                tree.setdefault(posixpath.dirname(path), []).append(posixpath.basename(path))
                continue
            if named[_key(path)] > 1:
                raise DetectorError(
                    f"{where} is one of {named[_key(path)]} images called {_key(path)}, expected one beside its "
                    "label; leave masks and the like out of the archives"
                )
            records.append(lists.record_of(root, where, {**row, "path": path}, label_of))
    if not places:
        raise DetectorError(f"{root}: found no image in {len(shards)} archive(s); expected layout:\n{LAYOUT}")
    if tree:
        records += folder.placed(root, ((name, [], files) for name, files in sorted(tree.items())), {})
    found = []
    for record in by_path(records):
        shard, at = places[record.path]
        found.append(replace(record, official=record.official or archives.split_of(shard), shard=shard, at=at))
    own.check_splits(root, found)
    found = groups.grouped(root, found, options.get("groups"), folder.group_of)
    log.info("%s: %d images in %d archives", root, len(found), len(shards))
    return found


def _key(path: str) -> str:
    """What an image and its label are called alike: all up to the first dot of the name."""
    head, name = posixpath.split(path)
    return posixpath.join(head, name.split(".")[0])


def _said(path: str, texts: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the texts beside an image say, by column; None where the folders on the way to it are to say it."""
    more = texts.get(".json", {})
    if ".cls" in texts:
        return {**more, "label": texts[".cls"]}
    if more.get("label") is not None:
        return dict(more)
    if ".txt" in texts and not folder.says_class(path):
        return {**more, "label": texts[".txt"]}
    return None


def _members(file: Path, columns: Mapping[str, str]) -> tuple[dict[str, int], dict[str, dict[str, Any]]]:
    """Images of an archive with the offsets of their bytes, and texts by key and suffix."""
    images: dict[str, int] = {}
    texts: dict[str, dict[str, Any]] = {}
    for member, stream in archives.members(file):
        path = posixpath.normpath(member.name)
        if any(walk.is_clutter(part) for part in path.split("/")):
            continue
        suffix = posixpath.splitext(path)[1].lower()
        beside = texts.setdefault(_key(path), {}) if suffix in TEXTS else {}
        if path in images or suffix in beside:
            raise DetectorError(f"{file}: {path} is there twice, expected each name once; make the archive anew")
        if suffix in IMAGE_SUFFIXES:
            walk.check_listed(str(file), path)
            images[path] = member.offset_data
        elif suffix in TEXTS:
            beside[suffix] = _text(f"{file}: {path}", member, stream, columns if suffix == ".json" else None)
        elif suffix not in walk.NOTES:
            walk.check_listed(f"{file}, in which {', '.join(TEXTS)} may be beside images", path)
    return images, texts


def _text(
    where: str, member: tarfile.TarInfo, stream: io.BufferedReader, columns: Mapping[str, str] | None
) -> str | dict[str, Any]:
    """The first line of a text, or of a JSON text the values of these columns."""
    if member.size > MAX_TEXT:
        raise DetectorError(f"{where}: found {member.size:,} bytes, expected a label of {MAX_TEXT:,} at most")
    stream.seek(member.offset_data)
    try:
        text = stream.read(member.size).decode()
        if columns is None:
            return (text.strip().splitlines() or [""])[0]
        values = json.loads(text)
        return {name: values.get(column) for name, column in columns.items()}
    except (ValueError, AttributeError, RecursionError) as error:
        expected = "UTF-8" if columns is None else "a JSON object, in UTF-8"
        raise DetectorError(f"{where}: found what is no text ({error}), expected {expected}; mend it") from None
