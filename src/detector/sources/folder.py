"""The user's own images, sorted into folders by class and, if they like, by split and generator."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from detector import splits
from detector.errors import DetectorError
from detector.sources import FAKE, REAL, SPLIT_NAMES, Record, _walk, by_path

TITLE = "your own images"
LAYOUT = """\
real/**   fake/*   fake/<generator>/**   images: jpg, jpeg, png, webp, bmp, tif, tiff, gif
or the same two folders in each of train/, valid/ (or val/, validation/) and test/.
One of real/ and fake/ is enough; hidden files and .txt, .md, .csv, .json files are ignored."""
OBTAIN = "Put your images there, or set the root to where they are."
SPLITS = ("auto", "stratified")
OFFICIAL: dict[tuple[str, int], int] = {}
CLASSES = {"real": REAL, "fake": FAKE}
SPLIT_FOLDERS = {"train": "train", "valid": "valid", "val": "valid", "validation": "valid", "test": "test"}
NO_GENERATOR = "unknown"  # fakes that lie in fake/ itself


def scan(root: Path, options: Mapping) -> list[Record]:
    """All images below `root`, sorted by path; `official` is the split folder, "" where there is none.

    Raises DetectorError naming any folder or file that it cannot place, and for a tree without images.
    """
    root = Path(root)
    top = _known_folders(root, root, {**CLASSES, **SPLIT_FOLDERS})
    mixed = [name for name in top if name in CLASSES], [name for name in top if name in SPLIT_FOLDERS]
    if all(mixed):
        raise DetectorError(
            f"{root}: holds both classes ({', '.join(mixed[0])}) and splits ({', '.join(mixed[1])}); "
            f"expected layout:\n{LAYOUT}\nMove the classes into the split folders."
        )
    records = []
    for name in top:
        if name in CLASSES:
            records += _class_records(root, name, official="")
        else:
            for inner in _known_folders(root, root / name, CLASSES):
                records += _class_records(root, f"{name}/{inner}", official=SPLIT_FOLDERS[name])
    if not records:
        raise DetectorError(f"{root}: found no images; expected layout:\n{LAYOUT}\n{OBTAIN}")
    return by_path(records)


def split(records: Sequence[Record], strategy: str, fractions: tuple[float, float, float], seed: int) -> list[str]:
    """ "auto": the split folders; splits without a folder are cut from train, each class and generator alike.

    Without split folders, and for "stratified" in any case, everything is cut by `fractions`.
    """
    present = {record.official for record in records if record.official}
    if strategy == "auto" and present:
        rest = [record for record in records if record.official == "train"]
        missing = [
            share if name not in present else 0.0 for name, share in zip(SPLIT_NAMES, fractions, strict=True)
        ]
        train = fractions[0]
        total = train + sum(missing)
        if total == 0:
            raise DetectorError("data.fractions: train is 0 and nothing can be cut from the train folder")
        fractions = (train / total, missing[1] / total, missing[2] / total)
    else:
        rest = list(records)
    names = splits.stratified(
        [(record.label, record.generator) for record in rest],
        [record.path for record in rest],
        fractions,
        seed,
    )
    return [names.get(record.path, record.official) for record in records]


def _known_folders(root: Path, folder: Path, known: Mapping[str, object]) -> list[str]:
    """The subfolders of `folder`, all of them `known`, and no files beside them."""
    folders, files = _walk.children(root, folder)
    odd = [f"{name}/" for name in folders if name not in known] + files
    if odd:
        raise DetectorError(
            f"{folder}: cannot place {', '.join(odd[:10])}; expected layout:\n{LAYOUT}\n"
            "Rename or move what does not belong."
        )
    return folders


def _class_records(root: Path, folder: str, official: str) -> Iterator[Record]:
    label = CLASSES[folder.rsplit("/", 1)[-1]]
    empty = True
    for path in _walk.images(root, folder):
        empty = False
        inner = path[len(folder) + 1 :].split("/")
        # One string for a generator, not one for each of its images.
        generator = "" if label == REAL else sys.intern(inner[0]) if len(inner) > 1 else NO_GENERATOR
        yield Record(path, label, generator, official=official)
    if empty:
        raise DetectorError(
            f"{root / folder}: no images in it; expected layout:\n{LAYOUT}\nFill the folder, or move it away."
        )
