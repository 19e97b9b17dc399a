"""Images of an earlier run, as it packed and split them: no file of them is opened again, or needed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detector.core.errors import DetectorError
from detector.core.files import read_json
from detector.data.records import Record, by_path

if TYPE_CHECKING:
    import pandas as pd

TITLE = "images of an earlier run"
LAYOUT = """\
RESULTS/data/SOURCE of a run, with scan.parquet, bad.csv, images.npy and images.json in it
RESULTS/data/manifest.parquet beside it"""
OBTAIN = "Make the run again (snakemake), if its packed images were deleted, or set the root to that of another."
TERMS = "Those of the sources of that run; see the model cards of its bundles."
SPLITS = ("kept",)
SHARED = {"kept": "what its splits let them share in the run that they are from"}
OFFICIAL: dict[tuple[str, int], int] = {}
LISTS = ()
MANIFEST = "../manifest.parquet"
FILES = ("scan.parquet", "bad.csv", "images.json", MANIFEST)  # the index has checksums of the pixels
PACKED = "images.npy"


def scan(root: Path, options: Mapping) -> list[Record]:
    """List all images of the run's source, sorted by path; `official`: the run's split, "" of one it left out."""
    return by_path(
        Record(
            *(row.path, int(row.label), row.generator, row.group, row.official),
            frame=None if row.frame != row.frame else float(row.frame),
            date=row.date,
        )
        for row in scanned(root).itertuples(index=False)
    )


def scanned(root: Path) -> "pd.DataFrame":
    """The scan of the run's source, with the splits of its manifest as `official`, "" where an image has none."""
    from detector.core import parquet

    table, manifest = parquet.read(root / FILES[0]), parquet.read(root / MANIFEST)
    name = read_json(root / "images.json")["source"]
    splits = manifest.loc[manifest["source"] == name].set_index("path")["split"]
    return table.assign(source=name, official=table["path"].map(splits).fillna("").astype(table["path"].dtype))


def split(records: Sequence[Record], strategy: str, fractions: tuple[float, float, float], seed: int) -> list[str]:
    """Split name of each image, that of the run; "" of those that it left out."""
    return [record.official for record in records]


def check(name: str, root: Path, how: Mapping[str, Any]) -> None:
    """Raise `DetectorError` where the run's images are not what a source of this `name` would be packed as.

    `how`: what `imaging.preprocessing.Preprocessing.of` takes, but for `face_crop`, which each source has of its
    own.
    """
    from detector.imaging.preprocessing import Preprocessing

    index = read_json(root / "images.json")
    if index["source"] != name:
        raise DetectorError(
            f"data.sources.{name}: found the images of {index['source']} in {root}; call the source like that"
        )
    theirs = index["preprocessing"]
    ours = Preprocessing.of({**how, "face_crop": theirs.get("face_crop", False)}).record()
    if ours != theirs:
        odd = sorted(key for key in {*ours, *theirs} if ours.get(key) != theirs.get(key))
        raise DetectorError(
            f"data.sources.{name}: {root}: its images were packed with "
            + ", ".join(f"{key}: {theirs.get(key)}" for key in odd)
            + ", and the configuration says "
            + ", ".join(f"{key}: {ours.get(key)}" for key in odd)
            + "; set images and data.max_pixels to what the run had"
        )
