"""Atomic file writes: temporary sibling, fsync, then rename.

A file under its final name is complete, after a power cut too.
"""

import errno
import glob
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

DONE = "done"  # name of the file that marks a state as no longer needed


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Context of an atomic write: yields a temporary path in `path`'s folder.

    On success the temporary file becomes `path` (`publish`); on an error it is removed. The folder is created
    where it is missing, and temporary files that a killed process left for the same path are removed. An `OSError`
    that names no file (a full disk) is given the name `path`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        left.unlink(missing_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        publish(temporary, path)
    except OSError as error:
        if error.filename is None or Path(error.filename) == temporary:
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        temporary.unlink(missing_ok=True)


def publish(source: str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
    """Move a finished file to its final name on the same file system, durably.

    Its contents reach the disk before the name does, and the name before this returns. Otherwise a power cut can
    leave the name with an empty file, or undo a file that later ones already build on.
    """
    sync(source)
    os.replace(source, path)
    sync(Path(path).parent)


def sync(path: str | os.PathLike[str]) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that has nothing to sync, such as some of FUSE
            raise
    finally:
        os.close(handle)


@contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Context that adds `path` to an `OSError` that names no file, such as a write to a full disk."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


def canonical(section: object) -> str:
    """JSON text of `section` with sorted keys, without blanks: equal contents give equal text."""
    return json.dumps(section, sort_keys=True, separators=(",", ":"))


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text)


def write_json(path: str | os.PathLike[str], value: object) -> None:
    """Write `value` atomically as indented JSON with sorted keys and a final newline."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True) + "\n")


def read_json(path: str | os.PathLike[str]) -> dict:
    """Content of a JSON file whose top level is an object.

    Raises `OSError` where it cannot be read and `ValueError` where it is no JSON.
    """
    return json.loads(Path(path).read_text())


def sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, in hex."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def finish_state(folder: Path | str, key: str) -> None:
    """Mark the state `folder/key` of a finished job; states of other settings in `folder` are removed.

    The state itself stays until `clean_states`: the workflow may be killed before it records the job as done, and
    then starts it again.
    """
    own = Path(folder) / key
    own.mkdir(parents=True, exist_ok=True)
    for other in Path(folder).iterdir():
        if other != own:
            shutil.rmtree(other, ignore_errors=True)
    (own / DONE).touch()


def clean_states(root: Path | str) -> None:
    """Remove all states below `root` whose jobs are finished, and the folders that held nothing else."""
    for done in list(Path(root).rglob(DONE)):
        job = done.parents[1]
        shutil.rmtree(job, ignore_errors=True)
        for folder in job.parents[: len(job.relative_to(root).parts) - 1]:
            with suppress(OSError):  # it holds something else
                folder.rmdir()
