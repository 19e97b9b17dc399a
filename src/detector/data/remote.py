"""Object storage: roots such as `s3://BUCKET/FOLDER`, of which Snakemake's storage plugin makes a local copy."""

import hashlib
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from detector.core.errors import DetectorError, listing
from detector.core.files import canonical, publish, write_json

PREFIX = "s3://"


def is_remote(root: str | os.PathLike[str]) -> bool:
    """Whether a root lies in object storage."""
    return str(root).startswith(PREFIX)


def listed(root: str, objects: Iterable[tuple[str, int, str]]) -> dict[str, list]:
    """What lies below a root: `[bytes, checksum]` by path relative to it, sorted.

    `objects`: key in the bucket, size in bytes, the storage's own checksum. Raises `DetectorError` where there is
    none, and for a key that would be a file outside of the root's copy.
    """
    folder = root.removeprefix(PREFIX).partition("/")[2].strip("/")
    found = {key.removeprefix(f"{folder}/" if folder else ""): [size, tag] for key, size, tag in objects}
    if not found:
        raise DetectorError(f"{root}: found nothing there, expected the files of a data set")
    odd = [path for path in found if path.startswith("/") or {"", ".", ".."} & set(path.split("/"))]
    if odd:
        raise DetectorError(
            f"{root}: found keys that are no paths below it, expected names without empty parts, . and ..:\n"
            f"{listing(sorted(odd))}"
        )
    return dict(sorted(found.items()))


def fingerprint(found: Mapping[str, list]) -> str:
    """Changes with the names, sizes and checksums of what `listed` found."""
    return hashlib.sha256(canonical(found).encode()).hexdigest()


def keep(copy: Path, expected: Mapping[str, int], files: Path, done: Path) -> None:
    """Keep a copy of a root that Snakemake made as the folder `files`; then write its sizes to `done`, JSON.

    `expected`: bytes by path. Files are hard links where the file system has them. Raises `DetectorError` where
    the copy is another, as after a kill in the middle of it; it is then removed, and the next run makes it anew.
    """
    found = {path.relative_to(copy).as_posix(): path.stat().st_size for path in copy.rglob("*") if path.is_file()}
    if wrong := sorted(path for path in found.keys() | expected.keys() if found.get(path) != expected.get(path)):
        shutil.rmtree(copy)
        rows = [f"{path}: found {_size(found, path)}, expected {_size(expected, path)}" for path in wrong]
        raise DetectorError(
            f"{copy}: this copy is not what the storage holds, and was removed; run again:\n{listing(rows)}"
        )
    fresh = files.with_name(f".{files.name}.tmp")
    shutil.rmtree(fresh, ignore_errors=True)
    for path in found:
        target = fresh / path
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(copy / path, target)
        except OSError:
            shutil.copy2(copy / path, target)
    shutil.rmtree(files, ignore_errors=True)
    publish(fresh, files)
    write_json(done, found)


def _size(sizes: Mapping[str, int], path: str) -> str:
    return f"{sizes[path]} bytes" if path in sizes else "no such file"
