"""140k Real and Fake Faces: 70,000 faces of FFHQ and 70,000 of StyleGAN, with official splits."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from detector.core.errors import DetectorError, listing
from detector.core.labels import FAKE, REAL, SPLIT_NAMES
from detector.data import walk
from detector.data.records import Record, by_path

TITLE = "140k Real and Fake Faces (Kaggle)"
LAYOUT = """\
real_vs_fake/real-vs-fake/{train,valid,test}/{real,fake}/*.jpg
train.csv, valid.csv, test.csv   (optional; checked against the folders)
The root may also be a folder that holds real-vs-fake/ or {train,valid,test}/ directly."""
OBTAIN = """\
Kaggle data set xhlulu/140k-real-and-fake-faces (free account):
  kaggle datasets download --unzip xhlulu/140k-real-and-fake-faces"""
TERMS = """\
140k Real and Fake Faces (Kaggle, xhlulu/140k-real-and-fake-faces) joins two sets. The photographs are from
FFHQ, whose collection is CC BY-NC-SA 4.0 and whose single photographs have Creative Commons or public-domain
terms of their own (https://github.com/NVlabs/ffhq-dataset). The fakes were made with StyleGAN, whose material
is CC BY-NC 4.0 (https://github.com/NVlabs/stylegan)."""
LISTS = ("train.csv", "valid.csv", "test.csv")
SPLITS = ("official",)
SHARED: dict[str, str] = {}
OFFICIAL = {
    ("train", REAL): 50_000,
    ("train", FAKE): 50_000,
    ("valid", REAL): 10_000,
    ("valid", FAKE): 10_000,
    ("test", REAL): 10_000,
    ("test", FAKE): 10_000,
}
GENERATOR = "stylegan"
CLASSES = {"real": REAL, "fake": FAKE}
CSV_COLUMNS = ("label", "path")

# Where an image is: (split, label, file name). File names come again in other splits and classes.
Place = tuple[str, int, str]


def scan(root: Path, options: Mapping) -> list[Record]:
    """List all images below `root`, sorted by path.

    Raises `DetectorError` where a folder is missing or the CSV files, where present, disagree with the folders.
    """
    root = Path(root)
    base, prefix = walk.locate(root, ("real_vs_fake/real-vs-fake", "real-vs-fake"), SPLIT_NAMES)
    walk.require_folders(root, base, SPLIT_NAMES, LAYOUT)
    records, places = [], set()
    for split_name in SPLIT_NAMES:
        for folder, label in CLASSES.items():
            generator = "" if label == REAL else GENERATOR
            for name in walk.media(root, base / split_name / folder, walk.JPEG, LAYOUT):
                path = f"{prefix}{split_name}/{folder}/{name}"
                records.append(Record(path, label, generator, official=split_name))
                places.add((split_name, label, name))
    _check_csv(root, base, places)
    return by_path(records)


def split(records: Sequence[Record], strategy: str, fractions: tuple[float, float, float], seed: int) -> list[str]:
    """The official split of each record; `fractions` and `seed` are not used."""
    return [record.official for record in records]


def _check_csv(root: Path, base: Path, on_disk: set[Place]) -> None:
    """Raises DetectorError listing every difference between the CSV files, where present, and the folders."""
    tables = {}
    for name in SPLIT_NAMES:
        found = [folder / f"{name}.csv" for folder in (root, base) if (folder / f"{name}.csv").is_file()]
        if found:
            tables[name] = found[0]
    listed = {place for name, path in tables.items() for place in _read_csv(root, path, name)}
    differences: dict[str, list[str]] = {
        "label differs": [],
        "split differs": [],
        "missing on disk": [],
        "not in the CSV": [],
    }
    # A file in the wrong folder is one difference, not a missing file and an unlisted one.
    unlisted = on_disk - listed
    for place in sorted(listed - on_disk):
        name, label, file = place
        same_split = (name, 1 - label, file)
        same_class = [(other, label, file) for other in SPLIT_NAMES if (other, label, file) in unlisted]
        if same_split in unlisted:
            unlisted.discard(same_split)
            differences["label differs"].append(f"{name}.csv: {_show(place)}, on disk {_show(same_split)}")
        elif same_class:
            unlisted.discard(same_class[0])
            differences["split differs"].append(f"{name}.csv: {_show(place)}, on disk {_show(same_class[0])}")
        else:
            differences["missing on disk"].append(f"{name}.csv: {_show(place)}")
    differences["not in the CSV"] = [_show(place) for place in sorted(unlisted) if place[0] in tables]
    parts = [f"{what}: {len(items)}\n{listing(items)}" for what, items in differences.items() if items]
    if parts:
        files = ", ".join(str(path) for path in tables.values())
        raise DetectorError(
            f"{base}: the folders disagree with {files}.\n"
            + "\n".join(parts)
            + "\nUnpack the data set again, or move the CSV files away to trust the folders."
        )


def _read_csv(root: Path, path: Path, split_name: str) -> list[Place]:
    """Where a CSV says each image is: the split of its file name, the class of its column `label`."""
    walk.inside(root, path)
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as lines:
        table = csv.DictReader(lines)
        absent = [column for column in CSV_COLUMNS if column not in (table.fieldnames or ())]
        if absent:
            raise DetectorError(
                f"{path}: no column {', '.join(absent)}; found {table.fieldnames}; expected the header "
                ",original_path,id,label,label_str,path. Restore the file, or move it away."
            )
        places = []
        for row in table:
            if row["label"] not in ("0", "1") or not row["path"]:
                raise DetectorError(
                    f"{path}, line {table.line_num}: label {row['label']!r}, path {row['path']!r}; expected "
                    "label 0 (fake) or 1 (real) and a path. Restore the file, or move it away."
                )
            walk.inside_name(root, row["path"], f"{path}, line {table.line_num}")
            places.append((split_name, int(row["label"]), row["path"].rsplit("/", 1)[-1]))
    return places


def _show(place: Place) -> str:
    split_name, label, file = place
    return f"{split_name}/{'real' if label == REAL else 'fake'}/{file}"
