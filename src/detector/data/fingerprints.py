"""Fingerprints of data sets: hashes of file contents; modification times do not count.

A file is read where its size or its times are not those in a listing that is kept from one time to the next. If
nothing has changed, that is one `stat` per file. A lost listing costs reading all files once more.
"""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from stat import S_ISLNK, S_ISREG

from detector.core import files, machine
from detector.data.walk import NOTES, is_clutter

MANY = 1000  # files to read in one folder: enough to take a while
RECENT = 2_000_000_000  # nanoseconds: a file as new as that may change once more and have the same times


def fingerprint(
    root: str | os.PathLike,
    listing: Path,
    lists: Collection[str] | None = None,
    tell: Callable[[str], object] = lambda _: None,
) -> str:
    """Hash over the relative path and the SHA-256 of each file below `root` that a scan looks at.

    Clutter does not count, and of text files (`walk.NOTES`) only those named in `lists` do (None: all). A link
    counts by its target's path and is not followed: what it may lead to lies below `root` too and counts there,
    and a walk through what it must not lead to could take hours. An unreadable file counts as unreadable.

    `listing`: file of what was read before, brought up to date, or left alone where it cannot be written; several
    processes may do that at once. `tell`: called with a line of text where there is much to read.
    """
    begun = time.time_ns()
    before, after = _read(listing), {}
    digest = hashlib.sha256()
    with ThreadPoolExecutor(min(machine.cores(), 8)) as pool:
        for folder, stats in _walk(root, lists):
            known = json.loads(before.get(folder, "{}"))
            facts = {name: [s.st_size, s.st_mtime_ns, s.st_ctime_ns] for name, s in stats.items()}
            sure = {name: note for name, note in known.items() if note[:3] == facts.get(name)}
            found = {name: note[3] for name, note in sure.items()}
            new = [name for name, stat in stats.items() if name not in found and S_ISREG(stat.st_mode)]
            if len(new) >= MANY:
                tell(f"{os.path.join(root, folder)}: reading {len(new):,} files that are new or were written to …")
            paths = (os.path.join(root, folder, name) for name in new)
            for name, content in zip(new, pool.map(_content, paths, chunksize=64), strict=True):
                found[name] = content
                if len(content) == 64 and max(facts[name][1:]) < begun - RECENT:
                    sure[name] = [*facts[name], content]
            for name in stats.keys() - found.keys():
                found[name] = _special(os.path.join(root, folder, name), stats[name])
            digest.update(
                "".join(f"{folder}{name}\0{found[name]}\n" for name in stats).encode(errors="surrogateescape")
            )
            same = folder in before and sure == known
            after[folder] = before[folder] if same else json.dumps(sure, separators=(",", ":"))
    if after != before:
        with contextlib.suppress(OSError):
            _write(listing, after)
    return digest.hexdigest()[:16]


def _write(listing: Path, known: Mapping[str, str]) -> None:
    text = "".join(f"{json.dumps(folder)}\t{line}\n" for folder, line in known.items())
    files.write_text(listing, f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}")


def _read(listing: Path) -> dict[str, str]:
    """Read a listing: by folder and name the size, two times and the SHA-256, as JSON; {} if damaged."""
    try:
        checksum, _, text = listing.read_text().partition("\n")
    except (OSError, ValueError):
        return {}
    if hashlib.sha256(text.encode()).hexdigest() != checksum:
        return {}
    pairs = (line.partition("\t") for line in text.splitlines())
    return {json.loads(folder): line for folder, _, line in pairs}


def _walk(
    root: str | os.PathLike, lists: Collection[str] | None
) -> Iterator[tuple[str, dict[str, os.stat_result]]]:
    """Each folder below `root`, relative to it and with a slash at the end, and the files in it that count.

    Sorted. A folder that cannot be listed has no files: a scan of it is an error of its own.
    """
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        stats, folders = {}, []
        with contextlib.suppress(OSError), os.scandir(os.path.join(root, folder)) as entries:
            for entry in entries:
                if is_clutter(entry.name):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append(f"{folder}{entry.name}/")
                elif lists is None or entry.name in lists or os.path.splitext(entry.name)[1].lower() not in NOTES:
                    stats[entry.name] = entry.stat(follow_symlinks=False)
        yield folder, dict(sorted(stats.items()))
        waiting += sorted(folders, reverse=True)


def _content(path: str) -> str:
    try:
        return files.sha256(path)
    except OSError as error:
        return f"unreadable: {error.strerror}"


def _special(path: str, stat: os.stat_result) -> str:
    return f"link to {os.readlink(path)}" if S_ISLNK(stat.st_mode) else f"no file: {stat.st_mode:o}"
