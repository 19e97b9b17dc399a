"""Listing folders, with errors that say what is missing: shared by the source modules."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from detector.errors import DetectorError, listing
from detector.sources import IMAGE_SUFFIXES

JPEG = frozenset({".jpg", ".jpeg"})
# What unpacking tools, desktops and data sets leave beside images.
CLUTTER_SUFFIXES = frozenset({".txt", ".md", ".csv", ".json"})
CLUTTER_NAMES = frozenset({"thumbs.db", "desktop.ini"})


def children(root: Path, folder: Path) -> tuple[list[str], list[str]]:
    """(names of subfolders, names of files) of `folder`, sorted, without hidden ones and clutter.

    Raises DetectorError where the folder itself or a link in it leads out of `root`.
    """
    inside(root, folder)
    folders, files = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            is_folder = entry.is_dir()
            if not is_folder and (entry.name.lower() in CLUTTER_NAMES or _suffix(entry.name) in CLUTTER_SUFFIXES):
                continue
            if entry.is_symlink():  # only links are resolved: of a million files none is asked for its real path
                inside(root, folder / entry.name)
            (folders if is_folder else files).append(entry.name)
    return sorted(folders), sorted(files)


def inside(root: Path, path: Path) -> None:
    """Raises DetectorError where `path` lies outside `root`, the links of both followed.

    A data set that was unpacked from an archive must not make us read, or copy into results, any other file.
    """
    real, home = os.path.realpath(path), os.path.realpath(root)
    if os.path.commonpath((real, home)) != home:
        raise DetectorError(
            f"{path}: leads out of the data set, to {real}; everything must lie in {home}. Move the real files "
            "there, or set the root to the folder that holds them."
        )


def inside_name(root: Path, name: str, where: str) -> None:
    """Raises DetectorError where a path that a list gives (line `where`) is absolute or climbs with `..`."""
    if name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/"):
        raise DetectorError(
            f"{where}: {name} leads out of the data set, to {os.path.normpath(os.path.join(root, name))}; paths "
            f"in a list are below {root}, without '..'. Restore the list, or move the real files there."
        )


def media(root: Path, folder: Path, suffixes: frozenset[str], layout: str) -> list[str]:
    """The names of the files in a folder that must hold files with these suffixes and nothing else.

    Raises DetectorError, with `layout` as what was expected, where the folder is missing or empty or holds
    anything else, and where a link leads out of `root`.
    """
    if not folder.is_dir():
        raise DetectorError(f"{folder}: no such folder; expected layout:\n{layout}\nRestore it or fix the root.")
    folders, files = children(root, folder)
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


def images(root: Path, folder: str = "", above: tuple[str, ...] = ()) -> Iterator[str]:
    """The paths, relative to `root`, of all images below `root / folder`; `above`: folders on the way.

    Raises DetectorError naming files that are no images, and a link that leads out of `root` or in a circle.
    """
    real = os.path.realpath(root / folder)
    if real in above:
        raise DetectorError(f"{root / folder}: this link leads back to {real}, in a circle. Remove it.")
    folders, files = children(root, root / folder)
    check_suffixes(root / folder, files, IMAGE_SUFFIXES)
    prefix = folder and f"{folder}/"
    for name in files:
        yield f"{prefix}{name}"
    for name in folders:
        yield from images(root, f"{prefix}{name}", (*above, real))


def check_suffixes(folder: Path, files: Iterable[str], suffixes: frozenset[str]) -> None:
    """Raises DetectorError naming the files that have none of these suffixes."""
    odd = [name for name in files if _suffix(name) not in suffixes]
    if odd:
        raise DetectorError(
            f"{folder}: found {len(odd)} file(s) that are not {'/'.join(sorted(suffixes))}; "
            f"move them away:\n{listing(odd)}"
        )


def require_folders(root: Path, base: Path, expected: Iterable[str], layout: str, *, exact: bool = False) -> None:
    """Raises DetectorError naming the expected folders that are not in `base` (and, if `exact`, others)."""
    expected = list(expected)
    missing = [name for name in expected if not (base / name).is_dir()]
    if missing:
        raise DetectorError(
            f"{base}: missing folder(s) {', '.join(missing)}; expected layout:\n{layout}\n"
            "Complete the data set or fix the root."
        )
    extra = sorted(set(children(root, base)[0]) - set(expected)) if exact else []
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
