"""Listing folders, with errors that say what is missing: shared by the source modules."""

import os
from collections.abc import Iterable
from pathlib import Path

from detector.errors import DetectorError, listing

JPEG = frozenset({".jpg", ".jpeg"})
# What unpacking tools, desktops and data sets leave beside images.
CLUTTER_SUFFIXES = frozenset({".txt", ".md", ".csv", ".json"})
CLUTTER_NAMES = frozenset({"thumbs.db", "desktop.ini"})


def children(folder: Path) -> tuple[list[str], list[str]]:
    """(names of subfolders, names of files) of `folder`, sorted, without hidden ones and clutter."""
    folders, files = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                folders.append(entry.name)
            elif entry.name.lower() not in CLUTTER_NAMES and _suffix(entry.name) not in CLUTTER_SUFFIXES:
                files.append(entry.name)
    return sorted(folders), sorted(files)


def media(folder: Path, suffixes: frozenset[str], layout: str) -> list[str]:
    """The names of the files in a folder that must hold files with these suffixes and nothing else.

    Raises DetectorError, with `layout` as what was expected, where the folder is missing or empty or holds
    anything else.
    """
    if not folder.is_dir():
        raise DetectorError(f"{folder}: no such folder; expected layout:\n{layout}\nRestore it or fix the root.")
    folders, files = children(folder)
    check_suffixes(folder, files, suffixes)
    if folders:
        raise DetectorError(
            f"{folder}: found {len(folders)} unexpected folder(s), expected only files; move them away:\n"
            + listing(folders)
        )
    if not files:
        raise DetectorError(
            f"{folder}: found no {'/'.join(sorted(suffixes))} file in it; expected layout:\n{layout}\n"
            "Unpack the data set again."
        )
    return files


def check_suffixes(folder: Path, files: Iterable[str], suffixes: frozenset[str]) -> None:
    """Raises DetectorError naming the files that have none of these suffixes."""
    odd = [name for name in files if _suffix(name) not in suffixes]
    if odd:
        raise DetectorError(
            f"{folder}: found {len(odd)} file(s) that are not {'/'.join(sorted(suffixes))}; "
            f"move them away:\n{listing(odd)}"
        )


def require_folders(base: Path, expected: Iterable[str], layout: str, *, exact: bool = False) -> None:
    """Raises DetectorError naming the expected folders that are not in `base` (and, if `exact`, others)."""
    expected = list(expected)
    missing = [name for name in expected if not (base / name).is_dir()]
    if missing:
        raise DetectorError(
            f"{base}: missing folder(s) {', '.join(missing)}; expected layout:\n{layout}\n"
            "Complete the data set or fix the root."
        )
    extra = sorted(set(children(base)[0]) - set(expected)) if exact else []
    if extra:
        raise DetectorError(
            f"{base}: unknown folder(s) {', '.join(extra)}; expected only {', '.join(expected)}. Move them away."
        )


def locate(root: Path, inner: Iterable[str], sign: Iterable[str]) -> tuple[Path, str]:
    """Where below `root` a data set begins: the first of `inner` that holds any folder named in `sign`.

    Returns (that folder, its path relative to `root` with a trailing slash, "" for the root itself); the
    root itself where none fits, so that the error about what is missing names what the user wrote.
    """
    sign = list(sign)
    for name in inner:
        if any((root / name / part).is_dir() for part in sign):
            return root / name, f"{name}/"
    return root, ""


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()
