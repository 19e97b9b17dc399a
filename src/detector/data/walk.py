"""Folder listing for source modules, with errors that say what is missing."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from detector.core.errors import DetectorError, listing
from detector.imaging.suffixes import IMAGE_SUFFIXES

JPEG = frozenset({".jpg", ".jpeg"})
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


def children(root: Path, folder: Path) -> tuple[list[str], list[str]]:
    """Names of the subfolders and names of the files of `folder`, sorted, without clutter and notes.

    Raises `DetectorError` where the folder cannot be listed, it or a link in it leads out of `root`, or a name is
    no valid text.
    """
    inside(root, folder)
    folders, files, _ = _listed(root, folder)
    return folders, files


def _listed(root: Path, folder: Path) -> tuple[list[str], list[str], set[str]]:
    """List as `children` does, with the subfolders that are links; whether `folder` itself leads out is not
    checked.
    """
    folders: list[str] = []
    files: list[str] = []
    links: set[str] = set()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if is_clutter(entry.name):
                    continue
                is_folder = entry.is_dir()
                if not is_folder and _suffix(entry.name) in NOTES:
                    continue
                check_name(folder, entry.name)
                if entry.is_symlink():  # the others, a million perhaps, are not asked for their real paths
                    inside(root, folder / entry.name)
                    links.add(entry.name)
                (folders if is_folder else files).append(entry.name)
    except OSError as error:
        raise DetectorError(
            f"{folder}: cannot be listed: {error.strerror}. Give yourself the right to read it, or move it away."
        ) from error
    return sorted(folders), sorted(files), links


def check_name(folder: Path, name: str) -> None:
    """Raise `DetectorError` for a name that is no valid text: tables, logs and pages hold names as UTF-8."""
    try:
        name.encode()  # of a name in ASCII next to nothing: Python knows that it is
    except UnicodeEncodeError:
        readable = os.fsencode(name).decode(errors="backslashreplace")
        raise DetectorError(
            f"{folder}: the name of {readable} is not UTF-8, so no table can hold it. Rename it (for "
            "names of old systems: `convmv -f latin1 -t utf8 -r --notest FOLDER`), or move it away."
        ) from None


def inside(root: Path, path: Path) -> None:
    """Raise `DetectorError` where `path` lies outside `root`, with the links of both followed.

    A data set that was unpacked from an archive must not make us read, or copy into results, any other file.
    """
    real, home = os.path.realpath(path), os.path.realpath(root)
    if os.path.commonpath((real, home)) != home:
        raise DetectorError(
            f"{path}: leads out of the data set, to {real}; everything must lie in {home}. Move the real files "
            "there, or set the root to the folder that holds them."
        )


def check_output(option: str, out: Path, folders: Iterable[tuple[str, Path]]) -> None:
    """Raise `DetectorError` where a folder to write into lies among images, or is a file.

    `option`: what names `out`; `folders`: what names each of images, and the folder.
    """
    real = Path(os.path.realpath(out))
    for name, folder in folders:
        if real.is_relative_to(os.path.realpath(folder)):
            raise DetectorError(
                f"{option}: found {out}, which lies in {name}, {folder}; name a folder beside it, since all "
                "that is below a folder of images is taken for its images"
            )
    if out.exists() and not out.is_dir():
        raise DetectorError(f"{option}: found the file {out}, expected a folder, or nothing where to make one")


def inside_name(root: Path, name: str, line: str) -> None:
    """Raise `DetectorError` where a path that a list gives (`line` of it) is absolute or climbs with `..`."""
    if os.path.isabs(name):
        within = os.path.relpath(os.path.normpath(name), os.path.abspath(root))
        if not within.startswith(os.pardir):
            raise DetectorError(
                f"{line}: found the absolute path {name}, expected one that begins at {root}: write {within}"
            )
        raise DetectorError(
            f"{line}: {name} leads out of the data set, to {os.path.normpath(name)}: it is an absolute path, "
            f"expected one below {root}. Restore the list, or put it into a folder above its images and begin its "
            "paths there."
        )
    if name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/"):
        raise DetectorError(
            f"{line}: {name} leads out of the data set, to {os.path.normpath(os.path.join(root, name))}; paths "
            f"in a list are below {root}, without '..'. Restore the list, or move the real files there."
        )


def check_listed(where: str, name: str) -> None:
    """Raise `DetectorError` for a path that a list or an archive gives and no walk would yield.

    That is one with a hidden part or one of `CLUTTER`, whose changes nobody would notice, one that is no valid
    text, and one that is not called like an image. `where`: what gives it.
    """
    if odd := [part for part in name.split("/") if is_clutter(part)]:
        raise DetectorError(
            f"{where}: {name}: {odd[0]} is hidden, or what file browsers and network disks leave, which no scan "
            "looks at; rename it, or leave the image out"
        )
    try:
        name.encode()
    except UnicodeEncodeError:
        readable = os.fsencode(name).decode(errors="backslashreplace")
        raise DetectorError(f"{where}: found the path {readable}, expected UTF-8; rename it") from None
    if _suffix(name) not in IMAGE_SUFFIXES:
        raise DetectorError(
            f"{where}: found {name}, expected a path that ends in {', '.join(sorted(IMAGE_SUFFIXES))}; convert "
            "the image or rename it, or leave it out"
        )


def media(root: Path, folder: Path, suffixes: frozenset[str], layout: str) -> list[str]:
    """Names of the files in a folder that must hold files with these suffixes and nothing else.

    Raises `DetectorError`, with `layout` as what was expected, where the folder is missing or empty or holds
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


def tree(root: Path, folder: str = "") -> Iterator[tuple[str, list[str], list[str]]]:
    """Walk `root / folder`: yields each folder's path relative to `root`, its subfolders' and its files' names.

    Raises `DetectorError` as `children` does, and for a link that leads in a circle.
    """
    inside(root, root / folder)
    # Not by recursion: folders may be nested deeper than Python's calls. With each go the real paths, links
    # followed, of itself and of those on the way to it.
    waiting: list[tuple[str, tuple[str, ...]]] = [(folder, (os.path.realpath(root / folder),))]
    while waiting:
        path, reals = waiting.pop()
        folders, files, links = _listed(root, root / path)
        yield path, folders, files
        for name in reversed(folders):
            inner = f"{path}/{name}" if path else name
            real = os.path.realpath(root / inner) if name in links else os.path.join(reals[-1], name)
            if real in reals:
                raise DetectorError(f"{root / inner}: this link leads back to {real}, in a circle. Move it away.")
            waiting.append((inner, (*reals, real)))


def images(root: Path, folder: str = "") -> Iterator[str]:
    """Paths, relative to `root`, of all images below `root / folder`.

    Raises `DetectorError` naming files that are no images, and a link that leads out of `root` or in a circle.
    """
    for path, _, files in tree(root, folder):
        check_suffixes(root / path, files, IMAGE_SUFFIXES)
        prefix = path and f"{path}/"
        for name in files:
            yield f"{prefix}{name}"


def check_suffixes(folder: Path, files: Iterable[str], suffixes: frozenset[str]) -> None:
    """Raise `DetectorError` naming the files that have none of these suffixes."""
    odd = [name for name in files if _suffix(name) not in suffixes]
    if odd:
        raise DetectorError(
            f"{folder}: found {len(odd)} file(s) that are not {'/'.join(sorted(suffixes))}; "
            f"move them away:\n{listing(odd)}"
        )


def require_folders(root: Path, base: Path, expected: Iterable[str], layout: str, *, exact: bool = False) -> None:
    """Raise `DetectorError` naming the expected folders that `base` lacks (and, if `exact`, all others in it)."""
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
    """Locate the start of a data set below `root`: the first of `inner` that holds any folder named in `sign`.

    Returns that folder and its path relative to `root` with a trailing slash, "" for the root itself. The root
    itself where none fits, so that the error about what is missing names what the user wrote.
    """
    sign = list(sign)
    for name in inner:
        if any((root / name / part).is_dir() for part in sign):
            return root / name, f"{name}/"
    return root, ""


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def is_clutter(name: str) -> bool:
    """Whether a file or folder of this name is ignored, whatever it holds: hidden ones, and `CLUTTER`."""
    return name.startswith(".") or name.lower() in CLUTTER
