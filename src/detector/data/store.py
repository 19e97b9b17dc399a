"""Packed stores: opens a source's array as a memory map and checks it against its index."""

import contextlib
import hashlib
import json
import os
import time
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from detector.core import files
from detector.core.errors import DetectorError
from detector.imaging import windows

FORMAT, VERSION = "detector-pack", 1
SETTLED = 2.0  # seconds after which a write has another time than the one before, whatever the file system


def open_store(npy: str | os.PathLike, index: str | os.PathLike) -> np.memmap:
    """Open a packed store: its pixels, uint8 (N, size, size, 3), mapped read-only.

    Raises `DetectorError` where the file is not what its index says.
    """
    return _open(npy, _read_index(index))


def open_seen(folder: str | os.PathLike) -> np.ndarray:
    """Open the packed store in a folder as a network sees it, uint8 (N, seen, seen, 3): perhaps the middle.

    Raises as `open_store` does.
    """
    npy, index = Path(folder, "images.npy"), Path(folder, "images.json")
    facts = _read_index(index)
    store = _open(npy, facts)
    centre = facts["preprocessing"].get("centre")
    return store if centre is None else windows.middle(store, centre)


def verify(npy: str | os.PathLike, index: str | os.PathLike) -> None:
    """Compare the whole store with its index; raises `DetectorError` naming what to delete.

    It is read once: a note beside the index records which file was found whole, by size, times and inode, and as
    long as the file is that one it is not read again.
    """
    expected = _read_index(index)
    store = _open(npy, expected)
    file, facts = os.stat(npy), Path(index).read_bytes()
    now = [file.st_size, file.st_mtime_ns, file.st_ctime_ns, file.st_ino, hashlib.sha256(facts).hexdigest()]
    with contextlib.suppress(OSError, ValueError):
        if json.loads(_note(index).read_text()) == now:
            return
    step = expected["chunk"]
    crcs = [zlib.crc32(store[start : start + step].data) for start in range(0, len(store), step)]
    wrong = [i for i, pair in enumerate(zip(crcs, expected["crc32"], strict=True)) if pair[0] != pair[1]]
    if wrong:
        raise DetectorError(
            f"{npy}: corrupted: {len(wrong)} of {len(crcs)} chunks do not have the checksum in {index}, the "
            f"first at rows {wrong[0] * step} to {min((wrong[0] + 1) * step, len(store)) - 1}. "
            "Delete both files and run again."
        )
    if time.time() - max(file.st_ctime, file.st_mtime) >= SETTLED:
        # Jobs on the same store may write it at the same time, or must not write there: the next one reads again.
        with contextlib.suppress(OSError):
            files.write_json(_note(index), now)


def _note(index: str | os.PathLike) -> Path:
    return Path(index).with_suffix(".checked.json")


def _read_index(path: str | os.PathLike) -> dict[str, Any]:
    try:
        index = json.loads(Path(path).read_text(encoding="utf-8"))
        known = index["format"] == FORMAT and index["version"] == VERSION
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DetectorError(f"{path}: no index of a packed store ({error}); delete it and run again") from error
    if not known:
        raise DetectorError(
            f"{path}: found {index['format']} version {index['version']}, expected {FORMAT} version {VERSION}; "
            "delete it and the .npy file beside it and run again"
        )
    return index


def _open(npy: str | os.PathLike, index: Mapping[str, Any]) -> np.memmap:
    expected = f"{index['dtype']} {tuple(index['shape'])}"
    try:
        store = np.load(npy, mmap_mode="r")
        found = f"{store.dtype} {store.shape}"
    except (OSError, ValueError) as error:
        found, store = f"no readable array ({error})", None
    if store is None or found != expected:
        raise DetectorError(f"{npy}: found {found}, expected {expected}; delete it and its index, then run again")
    return store
