"""Two folders of images, as `detector train` is given them: what is in them, and whether that is enough."""

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from PIL import Image

from detector.core.errors import DetectorError
from detector.core.labels import CLASSES, FAKE, REAL, SPLIT_NAMES
from detector.data import kinds, walk
from detector.experiment.config import used_sources

FEWEST = 20  # images of each class: some for each of training, validation and test
SENSIBLE = 300  # of each class, from which on an interval is narrow enough to say something
SAMPLED = 32  # images of each folder whose size is looked at
GRID = 32  # pixels; what networks halve five times
SMALLEST, LARGEST = 32, 128  # pixels a side of what a network sees, where nobody says


@dataclass(frozen=True)
class Counts:
    """Images of a configuration: by split and label, and of each generator."""

    parts: Mapping[tuple[str, int], int]
    generators: Counter[str]

    def of(self, split: str) -> int:
        """Images of a split."""
        return sum(self.parts[split, label] for label in CLASSES)

    @property
    def total(self) -> int:
        """All images."""
        return sum(self.parts.values())


def check_folder(name: str, folder: Path) -> None:
    """Raise `DetectorError` where `folder`, given as the argument `name`, is no folder or holds no file."""
    expected = "expected a folder of images"
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing"
        raise DetectorError(f"{name}: found {found} at {folder}, {expected}")
    if not any(files for _, _, files in os.walk(folder, followlinks=True)):
        raise DetectorError(f"{name}: found no file in {folder}, {expected}")


def check_apart(real: Path, fake: Path, out: Path) -> None:
    """Raise `DetectorError` where a folder is none, or where one of the three is or lies in another.

    `out`: the folder to make, which may lie anywhere but in one of images, and is no file.
    """
    for name, folder in (("REAL_DIR", real), ("FAKE_DIR", fake)):
        check_folder(name, folder)
    if os.path.samefile(real, fake):
        raise DetectorError(f"found the same folder twice, {real}; expected one of photographs and one of fakes")
    for (name, inner), (other, outer) in (
        (("REAL_DIR", real), ("FAKE_DIR", fake)),
        (("FAKE_DIR", fake), ("REAL_DIR", real)),
    ):
        if Path(os.path.realpath(inner)).is_relative_to(os.path.realpath(outer)):
            raise DetectorError(
                f"{name}: found {inner}, which lies in {other}, {outer}; expected folders beside each other, "
                "since all that is below a folder is taken for its images"
            )
    walk.check_output("--out", out, (("REAL_DIR", real), ("FAKE_DIR", fake)))


def counted(config: Mapping[str, Any], root: Path) -> Counts:
    """Images of a complete configuration by split and label, from the names of files alone.

    `root`: where relative paths of sources begin. Raises `DetectorError` where a source has no images, or there
    are too few of a class.
    """
    parts = Counter({(split, label): 0 for split in SPLIT_NAMES for label in CLASSES})
    generators: Counter[str] = Counter()
    data = config["data"]
    for options in used_sources(config).values():
        source = kinds.module(options["type"])
        records = source.scan(root / options["root"], options)
        names = source.split(records, options["split"], tuple(data["fractions"]), data["seed"])
        parts.update((name, record.label) for name, record in zip(names, records, strict=True) if name)
        generators.update(record.generator for record in records if record.label == FAKE)
    _check_enough(parts)
    return Counts(parts, generators)


def _check_enough(parts: Mapping[tuple[str, int], int]) -> None:
    for label, word in CLASSES.items():
        if (found := sum(parts[split, label] for split in SPLIT_NAMES)) < FEWEST:
            raise DetectorError(
                f"found {found} {word} images by the names of files, expected at least {FEWEST} of each class; "
                f"with {SENSIBLE} of each the numbers begin to mean something: add images"
            )
        if lacking := [split for split in SPLIT_NAMES if not parts[split, label]]:
            raise DetectorError(
                f"found no {word} image for {' and '.join(lacking)} once all are split, expected some: each "
                "generator is split by itself, so put generators of a few images into one folder, or add images"
            )


def size_of(real: Path, fake: Path) -> int:
    """Pixels a side that suit a network for these images: no more than most of them have on their shorter side.

    A multiple of `GRID` from `SMALLEST` to `LARGEST`, by the headers of a few files; what cannot be read does not
    count, and is left to the run.
    """
    sides = []
    for folder, label in ((real, REAL), (fake, FAKE)):
        records = kinds.module("folder").scan(folder, {"label": CLASSES[label]})
        for record in records[:: max(1, len(records) // SAMPLED)]:
            try:
                with Image.open(folder / record.path) as image:
                    sides.append(min(image.size))
            except (OSError, ValueError, Image.DecompressionBombError):
                continue
    shorter = int(median(sides)) if sides else LARGEST
    return min(LARGEST, max(SMALLEST, shorter // GRID * GRID))
