"""Scans: labels, headers and hashes of all files of one source. No pixel is decoded."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from detector.core import pool
from detector.core.errors import DetectorError, listing
from detector.core.labels import REAL
from detector.core.progress import Progress
from detector.data import frames, kinds, shards, walk
from detector.data.records import FRAME, PAIRS, Record, by_path, located
from detector.imaging import headers
from detector.imaging.decoding import BadImageError

SCAN_CHUNK = 512  # files a job: large enough that handing out jobs costs nothing


def scan_source(
    name: str,
    kind: str,
    root: str | os.PathLike,
    options: Mapping,
    *,
    workers: int = 1,
    max_pixels: int,
    max_bad: int = 0,
) -> pd.DataFrame:
    """List the files of one source and read their headers; no pixel is decoded.

    `name`: the source's name in the config; `kind`: its module in `detector.data.sources`; `options`: its config
    section, in which `expect: official` makes a count that differs from the complete data set an error,
    `pairs` names a folder of photographs: all images below it are added as real ones of the test split, and
    `frames` says how many frames of a video there are: more than one have a row each (`frames.spread`).
    `max_pixels`: larger images count as bad. `max_bad`: how many bad files are tolerated.

    Returns the columns path, label (int8), source, generator, group, official, frame (float32, position in the
    video, NaN for images), shard, at (int64, where the image lies in its shard, see `shards`), date (ISO 8601, ""
    = nothing known), width, height (int32), format, bytes (int64), sha256, mode, quantisation (float32), quality
    (int8), subsampling, exif (bool), as in `headers.Header`, and error ("" = fine).

    What an earlier run has scanned is not read again. Raises `DetectorError` where the layout is not as expected
    or more than `max_bad` files are bad.
    """
    root = Path(root)
    if not root.is_dir():
        raise DetectorError(kinds.missing_roots({name: {"type": kind, "root": root}}))
    if kinds.files_of({"type": kind}):
        found: pd.DataFrame = kinds.module(kind).scanned(root)
        return found
    records = kinds.module(kind).scan(root, options)
    if odd := next((record.path for record in records if record.path.startswith(PAIRS)), None):
        raise DetectorError(
            f"{root}: found {odd}, expected no path that begins with {PAIRS}, as photographs of `pairs` do; "
            "rename the folder"
        )
    if options.get("expect") == "official":
        kinds.check_official(name, kind, records)
    if options.get("pairs"):
        records = by_path([*records, *_photographs(name, Path(options["pairs"]))])
    table = pd.DataFrame(
        {
            "path": [record.path for record in records],
            "label": np.array([record.label for record in records], np.int8),
            "source": name,
            "generator": [record.generator for record in records],
            "group": [record.group for record in records],
            "official": [record.official for record in records],
            "frame": np.array([record.frame for record in records], np.float32),  # None becomes NaN
            "shard": [record.shard for record in records],
            "at": np.array([record.at for record in records], np.int64),
            "date": [record.date for record in records],
        }
    )
    del records  # the table holds the same in a third of the memory
    for column, values in _headers(name, root, options.get("pairs"), table, workers, max_pixels).items():
        table[column] = values
    if (count := options.get("frames", 1)) > 1:
        if odd := next((path for path in table.path if FRAME in path), None):
            raise DetectorError(
                f"{root}: found {odd}, expected no {FRAME} in a path, which says which frame of a video it is; "
                "rename the file"
            )
        table = frames.spread(name, root, table, count, workers=workers, max_pixels=max_pixels)
    check_bad(name, list(table.loc[table.error != "", ["path", "error"]].itertuples(index=False)), max_bad)
    return table


def check_bad(name: str, bad: Sequence[tuple[str, str]], max_bad: int) -> None:
    """Raise `DetectorError` where there are more than `max_bad` of these (path, reason)."""
    if len(bad) > max_bad:
        raise DetectorError(
            f"source {name}: {len(bad)} bad file(s) found, at most {max_bad} allowed:\n"
            + listing([f"{path}: {why}" for path, why in bad])
            + "\nRepair or remove them, or set data.max_bad_images to the number that you accept to leave out."
        )


def _photographs(name: str, folder: Path) -> list[Record]:
    """The images below a folder that joins the test set of source `name` as real ones."""
    if not folder.is_dir():
        raise DetectorError(
            f"data.sources.{name}.pairs: found no folder {folder}, expected photographs; set it to null"
        )
    records = [Record(f"{PAIRS}{path}", REAL, official="test") for path in walk.images(folder)]
    if not records:
        raise DetectorError(
            f"data.sources.{name}.pairs: found no image below {folder}; fill it, or set it to null"
        )
    return records


def _headers(
    name: str, root: Path, pairs: str | None, table: pd.DataFrame, workers: int, max_pixels: int
) -> dict[str, np.ndarray | list[str]]:
    """Read all headers, by column: an object per file would cost several times the memory."""
    count = len(table)
    order = shards.order(table)
    starts = range(0, count, SCAN_CHUNK)
    chunks = (table.iloc[order[start : start + SCAN_CHUNK]] for start in starts)
    jobs = (
        (
            *(root, [located(path, pairs) for path in chunk.path], chunk.frame.notna().tolist()),
            *(list(zip(chunk.shard, chunk["at"].tolist(), strict=True)), max_pixels),
        )
        for chunk in chunks
    )
    columns: dict[str, np.ndarray | list[str]] = {
        "width": np.zeros(count, np.int32),
        "height": np.zeros(count, np.int32),
        "format": [""] * count,
        "bytes": np.zeros(count, np.int64),
        "sha256": [""] * count,
        "mode": [""] * count,
        "quantisation": np.zeros(count, np.float32),
        "quality": np.zeros(count, np.int8),
        "subsampling": [""] * count,
        "exif": np.zeros(count, bool),
        "error": [""] * count,
    }
    progress = Progress(f"scan {name}", count)
    for index, result in pool.run(read_chunk, jobs, workers):
        rows = order[starts[index] : starts[index] + SCAN_CHUNK].tolist()
        for row, header in zip(rows, result, strict=True):
            for column, values in columns.items():
                values[row] = getattr(header, column)
        progress.add(len(result))
    return columns


def read_chunk(
    root: Path, paths: Sequence[str], videos: Sequence[bool], places: Sequence[tuple[str, int]], max_pixels: int
) -> list[headers.Header]:
    """Read the headers of `root / path` for each path, in shards at these places; a job of `pool`.

    Raises `DetectorError` for a shard that cannot be read.
    """
    found = []
    for path, video, (shard, at) in zip(paths, videos, places, strict=True):
        pool.at(path)
        try:
            content = shards.content(root, path, shard, at)
        except BadImageError as error:
            found.append(headers.Header(error=str(error)))
            continue
        found.append(headers.read(root / path, max_pixels, video=video, content=content))
    return found
