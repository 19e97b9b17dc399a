"""Files that are whole or not there: every output is written beside its place and moved in at the end."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path in `path`'s folder; on success it becomes `path`, on an error it goes.

    The folder is made where it is missing. The move is atomic (`os.replace` within one file system).
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with naming(path):
            yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def naming(path: Path | str) -> Iterator[None]:
    """An OSError that names no file, such as that of a write to a full disk, leaves here with `path` in it."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


def canonical(section: object) -> str:
    """`section` as JSON that depends on its content alone, not on the order of its keys."""
    return json.dumps(section, sort_keys=True, separators=(",", ":"))


def write_json(path: Path | str, value: object) -> None:
    """`value` as indented JSON with sorted keys and a final newline."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")


def read_json(path: Path | str) -> dict:
    return json.loads(Path(path).read_text())


def sha256(path: Path | str) -> str:
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
