"""Frames of videos: several rows of a scan in place of one, evenly spread over each video."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from detector.core import pool
from detector.core.errors import listing
from detector.core.progress import Progress
from detector.data.records import of_frame
from detector.imaging import decoding, video

log = logging.getLogger(__name__)
CHUNK = 64  # videos a job


def spread(
    name: str, root: Path, table: pd.DataFrame, count: int, *, workers: int, max_pixels: int
) -> pd.DataFrame:
    """The scan of source `name` with `count` rows for each video, one a frame: those of `video.spread`.

    Of a shorter video there are as many rows as it has frames, which the log says. `frame` is the position of
    each, `path` ends in its number. A video whose frames cannot be counted stays one row, the reason in `error`.
    """
    rows = np.flatnonzero(table.frame.notna() & (table.error == ""))
    starts = range(0, len(rows), CHUNK)
    jobs = ((root, table.path.iloc[rows[at : at + CHUNK]].tolist(), max_pixels) for at in starts)
    numbers: list[list[int]] = [[] for _ in range(len(table))]
    errors, short = table.error.tolist(), {}
    totals = np.ones(len(table), np.int64)
    progress = Progress(f"count frames {name}", len(rows))
    for job, found in pool.run(counted, jobs, workers):
        for row, total in zip(rows[starts[job] : starts[job] + CHUNK].tolist(), found, strict=True):
            if isinstance(total, str):
                errors[row] = total
                continue
            numbers[row], totals[row] = video.spread(total, count), total
            if total < count:
                short[row] = f"{table.path.iloc[row]}: {total}"
        progress.add(len(found))
    if short:
        log.warning(
            "source %s: %d video(s) have fewer than %d frames; all that there are were taken:\n%s",
            *(name, len(short), count, listing([short[row] for row in sorted(short)])),
        )
    many = np.array([max(1, len(own)) for own in numbers])
    whole = table.assign(error=errors).iloc[np.repeat(np.arange(len(table)), many)].reset_index(drop=True)
    taken = np.concatenate([own or [-1] for own in numbers]).astype(np.int64)
    framed = np.flatnonzero(taken >= 0)
    paths, position = whole.path.tolist(), whole.frame.to_numpy(copy=True)
    for row in framed.tolist():
        paths[row] = of_frame(paths[row], int(taken[row]))
    position[framed] = (taken / np.maximum(np.repeat(totals, many) - 1, 1))[framed]
    return whole.assign(path=paths, frame=position)


def counted(root: Path, paths: Sequence[str], max_pixels: int) -> list[int | str]:
    """How many frames each of these videos has, or what is wrong with it; a job of `pool`."""
    found: list[int | str] = []
    for path in paths:
        pool.at(path)
        try:
            found.append(video.frame_count(root / path, max_pixels))
        except Exception as error:  # decoders raise almost anything on broken files
            found.append(decoding.reason(error, root / path))
    return found
