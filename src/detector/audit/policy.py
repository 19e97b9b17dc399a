"""Leak policy: the manifest without the leaking images, with them, or an error (`audit.on_leak`)."""

import logging
from collections.abc import Mapping, Sequence

import pandas as pd

from detector.core.errors import DetectorError, listing
from detector.core.labels import CLASSES

log = logging.getLogger(__name__)
TABLES = "tables/audit_duplicates.csv, tables/audit_groups.csv and data/audit/leaks.parquet"


def settle(
    splits: pd.DataFrame, leaks: pd.DataFrame, verdicts: Sequence[Mapping[str, str]], on_leak: str
) -> pd.DataFrame:
    """Apply the leak policy to the images with their splits: the manifest.

    `fail`: any leak, of an image or a group, is an error. `warn`: all images stay. `drop`: the leaks go, so an
    image stays only in the earliest split that has it (and in none, where that has it under both labels), and
    training images never depend on the test set; groups stay, as leaving them out can empty a split.

    Raises `DetectorError` for leaks under `fail`, and where `drop` leaves nothing of a split of a source, or of a
    class in a split.
    """
    found = [row["sentence"] for row in verdicts if row["verdict"] == "leak"]
    unsure = [row["sentence"] for row in verdicts if (row["check"], row["verdict"]) == ("duplicates", "unknown")]
    if not found and not unsure:
        return splits
    if on_leak == "fail" and not found:
        raise DetectorError(
            f"audit.on_leak is fail, and whether the splits leak is not known:\n{listing(unsure)}\n"
            "Lower audit.near_duplicates, take out pictures that are alike, or accept this with warn."
        )
    if on_leak == "fail":
        raise DetectorError(
            f"audit.on_leak is fail, and the splits leak:\n{listing(found + unsure)}\n{_examples(leaks)}"
            f"Everything found is in {TABLES}. Repair the data, choose a split that keeps groups apart "
            "(data.sources.NAME.split), let audit.on_leak: drop leave leaked images out, or accept them with warn."
        )
    for sentence in found + unsure:
        log.warning("audit: %s", sentence)
    if on_leak == "warn" or leaks.empty:
        return splits
    gone = pd.MultiIndex.from_frame(splits[["source", "path"]]).isin(
        pd.MultiIndex.from_frame(leaks[["source", "path"]])
    )
    kept = splits[~gone].reset_index(drop=True)
    before, after = (
        {*zip(part["source"], part["split"], strict=True)}
        | {*zip(part["label"].map(CLASSES), part["split"], strict=True)}
        for part in (splits, kept)
    )
    if empty := sorted(before - after):
        raise DetectorError(
            f"audit.on_leak is drop, and nothing is left of {', '.join(map(' '.join, empty))}: all its images are "
            f"copies. See {TABLES}; split this source in another way, or set audit.on_leak: warn."
        )
    log.warning("left out %d of %d images", len(splits) - len(kept), len(splits))
    return kept


def _examples(leaks: pd.DataFrame) -> str:
    rows = leaks.head(5).itertuples()
    lines = [
        f"{r.source}, {r.split}: {r.path} = {r.of_source}, {r.of_split}: {r.of_path} ({r.kind})" for r in rows
    ]
    return f"for example\n{listing(lines)}\n" if lines else ""
