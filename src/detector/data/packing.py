"""Packing: decodes and resizes each image of a source once, into one array that later stages memory-map.

A packed store is `NAME.npy`, uint8 (N, size, size, 3), with N the rows of the source's scan (rows of bad
files are black), and a JSON index beside it. Packing can be killed at any time: chunks of pixels go to a work
file, then a line to a journal, both synced, and a chunk in the journal is never done again.
"""

import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from detector.core import files, pool, tabular
from detector.core.errors import DetectorError
from detector.core.progress import Progress
from detector.data import records, scanning, shards
from detector.data.store import FORMAT, VERSION
from detector.imaging import decoding
from detector.imaging.preprocessing import Preprocessing, load

CHUNK = 256  # images: 37 MiB at 224 pixels, some seconds of work

Bad = list[tuple[int, str]]  # (row, reason) of files that do not decode
Todo = tuple[int, str, float | None, str, str, int]  # row, path, frame, sha256, and where it lies in which shard


def pack(
    scan: pd.DataFrame,
    root: str | os.PathLike,
    preprocessing: Preprocessing,
    out_npy: str | os.PathLike,
    out_index: str | os.PathLike,
    out_bad: str | os.PathLike,
    state_dir: str | os.PathLike,
    *,
    workers: int,
    max_bad: int,
    pairs: str | os.PathLike | None = None,
    meta: Mapping[str, Any],
    key: str = "",
    accepted: Collection[str] | None = None,
) -> None:
    """Decode every row of a scan that has no error, as `load` does, into a packed store.

    root: the source's root; pairs: its folder of photographs, if it has one. preprocessing: what is done to each
    image.
    out_bad: CSV (path, error) of all bad files, those of the scan included. state_dir: what a resumed run needs;
    on the same file system as `out_npy`, removed at the end. State of other data or settings, or of another `key`
    (what names the code and the libraries that decode), is thrown away, with its verdicts about bad files.
    meta: JSON values to be kept in the index. accepted: paths of the files that are known as bad; None where any
    may be.

    Same scan, files and settings give the same bytes, however many workers there were or kills. Images in shards
    are decoded in the order in which they lie there.

    Raises DetectorError for an empty scan, and where more than `max_bad` files are bad, or one that is not
    `accepted`: then nothing gets a final name, and the finished chunks are kept for the next run.
    """
    if scan.empty:
        raise DetectorError(
            "nothing to pack: found a scan without rows, expected one per image; scan the source again"
        )
    shape = (len(scan), preprocessing.size, preprocessing.size, 3)
    source = str(scan.source.iloc[0])
    index = {
        "format": FORMAT,
        "version": VERSION,
        "source": source,
        "shape": list(shape),
        "dtype": "uint8",
        "layout": "NHWC",
        "scan_sha256": scan_hash(scan),
        "preprocessing": preprocessing.record(),
        "chunk": CHUNK,
        "meta": dict(meta),
    }
    order = shards.order(scan)
    in_order = bool((np.diff(order) == 1).all())
    plan = {**{k: v for k, v in index.items() if k != "meta"}, "key": key}
    if not in_order:
        plan["order"] = hashlib.sha256(order.tobytes()).hexdigest()
    state = _State(Path(state_dir), shape, plan)
    starts = [start for start in range(0, len(scan), CHUNK) if start not in state.done]
    stops = [min(start + CHUNK, len(scan)) for start in starts]
    jobs = (
        (
            *(state.work, state.offset, shape, order[start:stop], Path(root)),
            *(_todo(scan, pairs, order[start:stop]), preprocessing),
        )
        for start, stop in zip(starts, stops, strict=True)
    )
    resumed = len(scan) - sum(stops) + sum(starts)
    progress = Progress(f"pack {source}", len(scan), resumed)
    for job, (crc, bad) in pool.run(pack_chunk, jobs, workers):
        state.finish(starts[job], crc, bad)
        progress.add(stops[job] - starts[job])

    reasons = dict(bad for start in state.done for bad in state.done[start][1])
    faulty = np.flatnonzero(scan.error != "").tolist()
    reasons |= dict(zip(faulty, scan.error.iloc[faulty], strict=True))
    table = [(scan.path.iloc[row], reasons[row]) for row in sorted(reasons)]
    unknown = [(path, reason) for path, reason in table if accepted is not None and path not in accepted]
    if unknown:
        raise DetectorError(
            f"{source}: found {len(unknown)} image(s) that could be packed without this step of preprocessing and "
            f"not with it, the first of them {': '.join(unknown[0])}; expected images that all architectures see; "
            "take them out of the data, or leave out the architectures that have the step"
        )
    scanning.check_bad(source, table, max_bad)
    crcs = [state.done[start][0] for start in sorted(state.done)] if in_order else _crcs(state.work)
    index |= {"bad": len(table), "crc32": crcs}
    columns = ("path", "error")
    tabular.write_csv([dict(zip(columns, row, strict=True)) for row in table], columns, out_bad)
    files.write_json(out_index, index)
    files.publish(state.work, out_npy)  # last: where the pixels are, the rest is
    shutil.rmtree(state_dir, ignore_errors=True)


def pack_chunk(
    work: Path,
    offset: int,
    shape: Sequence[int],
    rows: np.ndarray,
    root: Path,
    todo: Sequence[Todo],
    preprocessing: Preprocessing,
) -> tuple[int, Bad]:
    """Decode one chunk, these rows, into the work file.

    `todo`: the files to decode; other rows become black. Returns the CRC-32 of the chunk's bytes, in the order of
    `rows`, and the files that did not decode. On return the bytes are on the disk. Raises `DetectorError` where a
    shard cannot be read.
    """
    pixels = np.zeros((len(rows), *shape[1:]), np.uint8)
    place = {row: number for number, row in enumerate(rows.tolist())}
    bad: Bad = []
    for row, relative, frame, sha256, shard, at in todo:
        path = root / relative
        pool.at(relative)
        try:
            content = shards.content(root, relative, shard, at)
            pixels[place[row]] = load(path, preprocessing, frame=frame, sha256=sha256, content=content)
        except DetectorError:  # not the file's fault
            raise
        except Exception as error:  # decoders raise almost anything on broken files
            bad.append((row, decoding.reason(error, path)))
    # A plain write, not a memory map: on a full disk it raises, where a map kills the process.
    with files.naming(work), open(work, "r+b") as file:
        for part in np.split(np.arange(len(rows)), np.flatnonzero(np.diff(rows) != 1) + 1):
            file.seek(offset + int(rows[part[0]]) * int(np.prod(shape[1:])))
            file.write(pixels[part[0] : part[-1] + 1].data)
        file.flush()
        os.fsync(file.fileno())
    return zlib.crc32(pixels.data), bad


def _crcs(npy: Path) -> list[int]:
    """The CRC-32 of each chunk of an array: of pixels that were written in another order."""
    store = np.load(npy, mmap_mode="r")
    return [zlib.crc32(store[start : start + CHUNK].data) for start in range(0, len(store), CHUNK)]


def scan_hash(scan: pd.DataFrame) -> str:
    """SHA-256 over path, sha256, frame and error of each row in order: all of a scan that decides on pixels."""
    digest = hashlib.sha256()
    columns = scan[["path", "sha256", "frame", "error"]]
    for start in range(0, len(scan), 10_000):  # not at once: a million rows as Python objects are 300 MB
        part = columns.iloc[start : start + 10_000]
        for row in zip(*(part[name].tolist() for name in part), strict=True):
            digest.update(("\0".join(map(str, row)) + "\n").encode())
    return digest.hexdigest()


def _todo(scan: pd.DataFrame, pairs: str | os.PathLike | None, rows: np.ndarray) -> list[Todo]:
    """The files of those of these rows that have no error."""
    part = scan.iloc[rows]
    columns = (part[name].tolist() for name in ("path", "frame", "sha256", "shard", "at", "error"))
    return [
        (row, records.located(path, pairs), None if np.isnan(frame) else frame, sha, shard, at)
        for row, path, frame, sha, shard, at, error in zip(rows.tolist(), *columns, strict=True)
        if not error
    ]


class _State:
    """The work file and the journal of one packing job.

    `done` maps the first row of each finished chunk to (crc32, bad files). The journal's first line is the
    plan; each other line is one chunk. A line counts only with its newline: a kill can tear the last one.
    """

    def __init__(self, folder: Path, shape: tuple[int, ...], plan: Mapping[str, Any]) -> None:
        self.work = folder / "work.npy"
        self.done: dict[int, tuple[int, Bad]] = {}
        self._journal = folder / "done.jsonl"
        self._plan = json.dumps(plan, sort_keys=True)
        if not self._resume():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            np.lib.format.open_memmap(self.work, mode="w+", dtype=np.uint8, shape=shape)
            _reserve(self.work)
            self._append(self._plan)
        self.offset = np.load(self.work, mmap_mode="r").offset

    def finish(self, start: int, crc: int, bad: Bad) -> None:
        """Note a chunk whose pixels are on the disk."""
        self._append(json.dumps({"start": start, "crc32": crc, "bad": bad}))
        self.done[start] = (crc, bad)

    def _resume(self) -> bool:
        if not (self.work.is_file() and self._journal.is_file()):
            return False
        content = self._journal.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        lines = whole.decode().splitlines()
        if not lines or lines[0] != self._plan:
            return False
        if whole != content:
            with open(self._journal, "r+b") as file:
                file.truncate(len(whole))
        for line in lines[1:]:
            chunk = json.loads(line)
            self.done[chunk["start"]] = (chunk["crc32"], [(row, why) for row, why in chunk["bad"]])
        return True

    def _append(self, line: str) -> None:
        with files.naming(self._journal), open(self._journal, "a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())


def _reserve(path: Path) -> None:
    """Claim the disk space now: a full disk is better known before hours of decoding than after."""
    if not hasattr(os, "posix_fallocate"):
        return
    with open(path, "r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        except OSError as error:
            raise DetectorError(
                f"{path}: no room for {path.stat().st_size / 2**20:,.0f} MiB of pixels: {error.strerror}. "
                "Free some space or choose a smaller size."
            ) from error
