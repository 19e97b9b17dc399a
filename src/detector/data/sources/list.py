"""Images that a list names: a CSV or Parquet file in the root, with a path and a label per row."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path

from detector.core.errors import DetectorError, listing
from detector.data import lists, own, walk
from detector.data.records import Record

log = logging.getLogger(__name__)

TITLE = "your own images, listed"
LAYOUT = """\
LIST.csv or LIST.parquet with the columns path (below the root, with forward slashes) and label (real or fake),
and optionally generator, group (several joined by "|"), split (train, valid, test) and date (ISO 8601)
images: jpg, jpeg, png, webp, bmp, tif, tiff, gif, avif, heic, heif, hif, jxl; others may lie beside them"""
OBTAIN = "Put the list into the folder that its paths begin at, and set the root to that folder."
TERMS = "Yours; say here under which terms the images may be used."
LISTS = ()  # and the one that the option `list` names
OPTIONS = ("list",)
SPLITS, SHARED = own.SPLITS, own.SHARED
OFFICIAL: dict[tuple[str, int], int] = {}
split = own.split


def scan(root: Path, options: Mapping) -> list[Record]:
    """List the images of the file `root / options["list"]`, sorted by path.

    Raises `DetectorError` as `lists.read` does, for rows whose file is not there, and where some rows have a split
    and others have none.
    """
    file = Path(root) / options["list"]
    walk.inside(Path(root), file)
    records = lists.read(file)
    folder = os.fspath(root)
    missing = [record.path for record in records if not os.path.isfile(f"{folder}/{record.path}")]
    if missing:
        raise DetectorError(
            f"{file}: found no file for {len(missing):,} of {len(records):,} rows, expected each path to begin at "
            f"{root}; restore the files, or take their rows out:\n{listing(missing)}"
        )
    own.check_splits(file, records)
    log.info("%s: %d rows", file, len(records))
    return records
