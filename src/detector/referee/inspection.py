"""Inspection of the images: headers, and hashes of the pixels; what cannot be decoded is told with its reason.

What was looked at is kept in parts of CHUNK images, so that a killed inspection goes on; a part is used again
while path, size and time of change of all its files are what they were.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from detector.audit import hashes
from detector.core import machine, parquet, pool
from detector.core.errors import DetectorError, listing
from detector.core.files import canonical
from detector.core.progress import Progress
from detector.data import shards
from detector.imaging import decoding, headers
from detector.imaging.preprocessing import decoded
from detector.referee.images import Data

CHUNK = 128  # images a job and a part
VERSION = 2  # of what is kept
MAX_PIXELS = 100_000_000  # larger images are bad


def inspect(data: Data, folder: Path) -> tuple[pd.DataFrame, hashes.Hashes]:
    """Headers and hashes of all images, in their order; the column `error` is "" where one is fine.

    `folder`: where parts are kept. Hashes of bad images are 0. Raises `DetectorError` where no image is fine.
    """
    order = shards.order(data.table)
    paths = data.table["path"].iloc[order].tolist()
    starts = range(0, len(paths), CHUNK)
    places = list(zip(data.table["shard"].iloc[order], data.table["at"].iloc[order].tolist(), strict=True))
    chunks = {s: (data.root, paths[s : s + CHUNK], places[s : s + CHUNK]) for s in starts}
    keys = {start: _key(*chunk) for start, chunk in chunks.items()}
    waiting = [start for start in starts if not _part(folder, keys[start]).is_file()]
    progress = Progress("look at the images", len(paths), done=CHUNK * (len(starts) - len(waiting)))
    jobs = (chunks[start] for start in waiting)
    for index, rows in pool.run(_chunk, jobs, machine.cores()):
        parquet.write(pd.DataFrame(rows), _part(folder, keys[waiting[index]]))
        progress.add(len(rows))
    for part in folder.glob("*.parquet"):
        if part.stem not in keys.values():
            part.unlink()
    found = pd.concat([parquet.read(_part(folder, key)) for key in keys.values()], ignore_index=True)
    if (found["error"] != "").all():
        rows = [f"{path}: {why}" for path, why in zip(paths, found["error"], strict=True)]
        raise DetectorError(f"{data.root}: none of {len(paths)} images can be read:\n{listing(rows)}")
    found = found.iloc[np.argsort(order)].reset_index(drop=True)
    thumbnails = np.frombuffer(b"".join(found.pop("thumbnail")), np.uint8).reshape(len(found), -1)
    pixels, phash = (found.pop(name).to_numpy() for name in ("pixels", "phash"))
    return found, hashes.Hashes(pixels, phash, thumbnails)


def _part(folder: Path, key: str) -> Path:
    return folder / f"{key}.parquet"


def _key(root: Path, paths: Sequence[str], places: Sequence[tuple[str, int]]) -> str:
    files: list[tuple[str | int, ...]] = []
    for path, place in zip(paths, places, strict=True):
        try:
            found = os.stat(root / (shards.file(place[0]) or path))
            files.append((path, *place, found.st_size, found.st_mtime_ns))
        except OSError:
            files.append((path, *place, -1, -1))
    return hashlib.sha256(canonical([VERSION, MAX_PIXELS, files]).encode()).hexdigest()[:16]


def _chunk(root: Path, paths: Sequence[str], places: Sequence[tuple[str, int]]) -> list[dict[str, Any]]:
    rows = []
    for path, (shard, at) in zip(paths, places, strict=True):
        pool.at(path)
        content = None
        try:
            content = shards.content(root, path, shard, at)
            header = headers.read(root / path, MAX_PIXELS, video=False, content=content)
        except decoding.BadImageError as error:
            header = headers.Header(error=str(error))
        row = asdict(header) | {"pixels": np.uint64(0), "phash": np.uint64(0)}
        thumbnail = bytes(hashes.THUMBNAIL**2)
        if not header.error:
            try:
                image = decoded(content or root / path, MAX_PIXELS)
                exact, near, small = hashes.of_pixels(np.asarray(image))
                row |= {"pixels": np.uint64(exact), "phash": np.uint64(near)}
                thumbnail = small.tobytes()
            except Exception as error:  # decoders raise almost anything on broken files
                row["error"] = decoding.reason(error, root / path)
        rows.append(row | {"thumbnail": thumbnail})
    return rows
