"""Folders of images by class and, optionally, by split and generator: the user's own data."""

import logging
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from detector.core.errors import DetectorError
from detector.core.labels import CLASS_WORDS, FAKE, REAL, SPLIT_WORDS
from detector.core.labels import CLASSES as CLASS_NAMES
from detector.data import groups, own, walk
from detector.data.records import NO_GENERATOR, Record, by_path
from detector.imaging.suffixes import IMAGE_SUFFIXES

log = logging.getLogger(__name__)

TITLE = "your own images"
LAYOUT = """\
real/**   fake/*   fake/GENERATOR/**
images: jpg, jpeg, png, webp, bmp, tif, tiff, gif, avif, heic, heif, hif, jxl
Folders of splits may hold these, or lie in them: train/, valid/ (or val/, validation/) and test/.
Generators may hold the classes: GENERATOR/real/**, GENERATOR/fake/**.
Classes may be called 0_real/ and 1_fake/, or nature/ and ai/; small and capital letters are the same.
One class is enough; hidden files, clutter and .txt, .md, .csv, .json files are ignored.
With `label: real` or `label: fake` all images are of that class: root/**, root/GENERATOR/**."""
OBTAIN = "Put your images there, or set the root to where they are."
TERMS = "Yours; say here under which terms the images may be used."
LISTS = ()
LABELS = {name: label for label, name in CLASS_NAMES.items()}  # what `label` can say
OPTIONS = ("groups", "label")
SPLITS, SHARED = own.SPLITS, own.SHARED
OFFICIAL: dict[tuple[str, int], int] = {}
split = own.split


@dataclass(frozen=True, slots=True)
class _Place:
    """What the names of the folders on the way to an image say; what none of them says is "" or None."""

    label: int | None = None
    class_folder: str = ""  # as it is called
    class_path: str = ""  # from the root
    split_folder: str = ""  # as it is called
    generator: str = ""
    above: bool = False  # whether another folder than of a split holds that of the class
    inner: str = ""  # the last folder, as it is called, where it is of no class, split or generator

    @classmethod
    def of(cls, folder: str, known_label: int | None = None) -> "_Place":
        """The first name of a class counts, the first of a split, and of all else the first is the generator.

        `known_label`: that of all images, whatever folders are called.
        """
        label, class_folder, class_path, split_folder, generator, above = known_label, "", "", "", "", False
        inner = ""
        names = folder.split("/") if folder else []
        for count, name in enumerate(names, 1):
            inner = ""
            known = _class_of(name)
            if label is None and known is not None:
                label, class_folder, class_path = known, name, "/".join(names[:count])
            elif known is not None and known_label is not None:
                pass  # says again what is known
            elif not split_folder and name.lower() in SPLIT_WORDS:
                split_folder = name
            elif not generator:
                generator, above = name, label is None
                inner = name if label == REAL else ""
            else:
                inner = name
        if label == REAL:
            generator = ""
        elif label == FAKE:
            generator = sys.intern(generator or NO_GENERATOR)  # one string for all folders of a generator
        return cls(label, class_folder, class_path, split_folder, generator, above, sys.intern(inner))

    @property
    def official(self) -> str:
        return SPLIT_WORDS.get(self.split_folder.lower(), "")


def scan(root: Path, options: Mapping) -> list[Record]:
    """List all images below `root`, sorted by path; `official` is the split folder, "" where there is none.

    `options`: `groups`, the rule for groups by path (`groups.grouped`), of which "parent" means folders of no
    class, split or generator; `label`, the class of all images, of which no folder need speak then. The log says
    what each folder is taken for. Raises `DetectorError` naming any folder or file that it cannot place, where
    folders could mean two things, for a tree without images, and for a rule that gives no group.
    """
    return placed(Path(root), walk.tree(Path(root)), options)


def says_class(path: str) -> bool:
    """Whether a folder on the way to an image is called like a class."""
    return _Place.of(path.rpartition("/")[0]).label is not None


def group_of(path: str) -> str:
    """The name of the folder that holds an image, "" where that is of a class, split or generator."""
    folder = path.rpartition("/")[0]
    place = _Place.of(folder)
    name = folder.rpartition("/")[2]
    return place.inner if place.label is not None else sys.intern("" if name.lower() in SPLIT_WORDS else name)


def placed(root: Path, tree: Iterable[tuple[str, list[str], list[str]]], options: Mapping) -> list[Record]:
    """The records of a tree: each folder's path below `root`, its subfolders' and its files' names.

    Raises `DetectorError` as `scan` does.
    """
    records: list[Record] = []
    known = LABELS.get(options.get("label", ""))
    places: dict[str, _Place] = {}  # of folders of a class and in one
    used: dict[str, _Place] = {}  # of those with images
    odd: list[str] = []
    for folder, folders, files in tree:
        place = _Place.of(folder, known)
        _check_label(root, folder, known)
        if place.label is None:
            odd += [f"{folder}/{name}".lstrip("/") for name in files]
            odd += [f"{folder}/"] if folder and not folders and not files else []
            continue
        walk.check_suffixes(root / folder, files, IMAGE_SUFFIXES)
        places[folder] = place
        if files:
            used[folder] = place
        label, generator, official = place.label, place.generator, place.official
        prefix = folder and f"{folder}/"
        records += [Record(f"{prefix}{name}", label, generator, official=official) for name in files]
    _check_placed(root, odd, places)
    filled = {place.class_path for place in used.values()}
    for folder in sorted({place.class_path for place in places.values()} - filled):
        if known is None:
            raise DetectorError(
                f"{root / folder}: no images in it; expected layout:\n{LAYOUT}\nFill the folder, or move it away."
            )
    if not records:
        raise DetectorError(f"{root}: found no images; expected layout:\n{LAYOUT}\n{OBTAIN}")
    _check_one_meaning(root, used)
    log.info("%s: %s", root, _meaning(used))
    parent = {folder: place.inner for folder, place in used.items()}
    records = groups.grouped(root, records, options.get("groups"), lambda path: parent[path.rpartition("/")[0]])
    return by_path(records)


def _class_of(name: str) -> int | None:
    """The label that a folder's name says, 0_real too; None where it is no word for a class."""
    return CLASS_WORDS.get(re.sub(r"^\d+[_-]", "", name.lower()))


def _check_label(root: Path, folder: str, known: int | None) -> None:
    """Raises DetectorError for a folder that is called like the other class than all images are to be of."""
    said = _class_of(folder.rpartition("/")[2])
    if known is not None and said is not None and said != known:
        raise DetectorError(
            f"{root / folder}: found a folder called like {CLASS_NAMES[said]} images where all are to be "
            f"{CLASS_NAMES[known]}; move it away, or rename it"
        )


def _check_placed(root: Path, odd: Sequence[str], places: Mapping[str, _Place]) -> None:
    """Raises DetectorError naming what lies in no folder of a class, by the folder that holds all of it."""
    on_the_way = {""}  # to folders of classes
    for place in places.values():
        parts = place.class_path.split("/")
        on_the_way |= {"/".join(parts[:count]) for count in range(len(parts))}
    tops: dict[str, None] = {}  # in order, each once
    for path in odd:
        parts = path.split("/")
        inner = (count for count in range(1, len(parts)) if "/".join(parts[:count]) not in on_the_way)
        count = next(inner, None)
        tops["/".join(parts[:count]) + "/" if count else path] = None
    if tops:
        raise DetectorError(
            f"{root}: cannot place {', '.join(list(tops)[:10])}; expected layout:\n{LAYOUT}\n"
            "Rename or move what does not belong."
        )


def _check_one_meaning(root: Path, places: Mapping[str, _Place]) -> None:
    """Raises DetectorError where folders with images could be taken for two things."""
    backwards = list(places.items())[::-1]  # of several folders the first one is named
    for label in (REAL, FAKE):
        names = {place.class_folder.lower(): folder for folder, place in places.items() if place.label == label}
        if len(names) > 1:
            _two_meanings(root, names.values(), "are of one class by two names", "Rename one, or move it away.")
    split = {bool(place.split_folder): folder for folder, place in backwards}
    if len(split) > 1:
        _two_meanings(
            root,
            (split[True], split[False]),
            "disagree: the first is in a folder of a split, the second in none",
            "Give every image a split or none; rename a folder that only happens to be called like one.",
        )
    above = {place.above: folder for folder, place in backwards}
    if len(above) > 1:
        _two_meanings(
            root,
            (above[True], above[False]),
            "disagree: only the first has a generator's folder above that of its class",
            "Move the second into one, or the first away.",
        )


def _two_meanings(root: Path, folders: Iterable[str], why: str, remedy: str) -> None:
    names = " and ".join(f"{folder}/" for folder in folders)
    raise DetectorError(f"{root}: {names} {why}; expected layout:\n{LAYOUT}\n{remedy}")


def _meaning(places: Mapping[str, _Place]) -> str:
    """What folders were taken for, in one line."""
    classes = {
        f"{place.class_folder}/ = {CLASS_NAMES[place.label]}"
        if place.class_folder
        else f"all {CLASS_NAMES[place.label]}"
        for place in places.values()
        if place.label is not None
    }
    found = {f"{place.split_folder}/ = {place.official}" for place in places.values() if place.split_folder}
    made = sorted({place.generator for place in places.values()} - {""})
    generators = f"{', '.join(made[:10])}{', …' if len(made) > 10 else ''}"
    return "; ".join(
        [
            ", ".join(sorted(classes)),
            ", ".join(sorted(found)) or "no folders of splits",
            *([f"{len(made)} generator{'s' if len(made) > 1 else ''}: {generators}"] if made else []),
        ]
    )
