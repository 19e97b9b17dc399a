"""Given images: a few of a new generator, read and shared out to learn from, to choose by and to be tested on."""

import csv
import io
import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from detector.audit import hashes
from detector.core import files
from detector.core.errors import DetectorError, listing
from detector.core.files import sha256
from detector.core.labels import CLASSES, FAKE, REAL
from detector.data import kinds, splits
from detector.data.records import NO_GENERATOR
from detector.imaging import decoding, preprocessing
from detector.starter.folders import check_folder

LIST = "list.csv"  # of the copies
MOST = 100  # images of a class; with more, train anew with all
FEWEST_TESTED = 4  # from so many on a half is held out
OPTIONS = {REAL: "--real", FAKE: "--fake"}


@dataclass(frozen=True)
class Image:
    """One image: where it is, the name that it gets, what it is and which split it is for."""

    file: Path
    sha256: str
    label: int
    generator: str  # "" of a real one
    split: str

    @property
    def name(self) -> str:
        """What its copy is called."""
        return f"{self.sha256[:16]}{self.file.suffix.lower()}"


@dataclass(frozen=True)
class Given:
    """All given images, by class; and how many files were left out as copies or near copies of others."""

    images: Sequence[Image]
    copies: int

    def of(self, label: int, split: str | None = None) -> int:
        """Number of images of a class, in all or for one split."""
        return sum(image.label == label and split in (None, image.split) for image in self.images)

    @property
    def generators(self) -> Counter[str]:
        """Fakes by generator."""
        return Counter(image.generator for image in self.images if image.label == FAKE)

    def lay_out(self, folder: Path) -> None:
        """Copy the images to `folder`, with a list: the run reads these, whatever becomes of what was given."""
        folder.mkdir(parents=True, exist_ok=True)
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(("path", "label", "generator", "split"))
        for image in self.images:
            rows.writerow((image.name, CLASSES[image.label], image.generator, image.split))
            with files.replacing(folder / image.name) as temporary:
                shutil.copyfile(image.file, temporary)
        files.write_text(folder / LIST, text.getvalue())


def read(fake: Path, real: Path | None, max_pixels: int) -> Given:
    """Read and share out the images in two folders, of which that of real ones need not be.

    A folder below `fake` is a generator; images beside those are of one that is called like `fake` itself. Of each
    generator, and of the real ones, a half is held out to be tested on, where there are at least `FEWEST_TESTED`;
    a quarter of the rest, of two at least one, is chosen by. Near copies, of whatever class and generator, are for
    the same, since the run's audit would leave them out of the later part; all of them are learned from, but only
    one of each generator is tested or chosen by. Which ones hangs on contents alone. Raises
    `DetectorError` for a folder that is none, lies in the other, is empty or holds too many images, and for images
    that cannot be read.
    """
    folders = {FAKE: fake, **({} if real is None else {REAL: real})}
    for label, folder in folders.items():
        check_folder(OPTIONS[label], folder)
    if real is not None and _overlap(fake, real):
        raise DetectorError(f"found {fake} and {real}, one in the other; expected folders beside each other")
    there = {label: _listed(folder, label, max_pixels) for label, folder in folders.items()}
    unique = {label: {found.sha256: found for found in reversed(files)} for label, files in there.items()}
    if both := sorted(unique[FAKE].keys() & unique.get(REAL, {})):
        odd = unique[FAKE][both[0]].file
        raise DetectorError(f"found {odd} among real and fake images alike; take it out of one of the folders")
    all_found = [found for label in folders for _, found in sorted(unique[label].items())]
    split = _shared_out(all_found)
    images = [
        Image(found.file, found.sha256, found.label, found.generator, split[found.sha256])
        for found in all_found
        if found.sha256 in split
    ]
    return Given(images, sum(map(len, there.values())) - len(images))


@dataclass(frozen=True)
class _Found:
    """An image that can be decoded: file, checksum, what it is, and what `audit.hashes.of_pixels` returns."""

    file: Path
    sha256: str
    label: int
    generator: str
    hashed: tuple[int, int, np.ndarray]


def _listed(folder: Path, label: int, max_pixels: int) -> list[_Found]:
    """The images of a class below a folder, all of which can be decoded."""
    records = kinds.module("folder").scan(folder, {"label": CLASSES[label]})
    if len(records) > MOST:
        raise DetectorError(
            f"{OPTIONS[label]}: found {len(records):,} images in {folder}, expected 1 to {MOST}: with so many "
            "train anew with all of them, or give some"
        )
    own, found, bad = os.path.basename(os.path.realpath(folder)), [], []
    for record in records:
        file = folder / record.path
        inner = "/" in record.path and record.generator != NO_GENERATOR
        try:
            hashed = hashes.of_pixels(np.asarray(preprocessing.decoded(file, max_pixels)))
        except Exception as error:  # decoders raise almost anything on broken files
            bad.append(f"{file}: {decoding.reason(error, file)}")
            continue
        maker = (record.generator if inner else own) if label == FAKE else ""
        found.append(_Found(file, sha256(file), label, maker, hashed))
    if bad:
        raise DetectorError(
            f"{OPTIONS[label]}: found {len(bad)} of {len(records)} images that cannot be read, expected none "
            f"among so few; repair them or take them out:\n{listing(bad)}"
        )
    return found


def _shared_out(images: Sequence[_Found]) -> Mapping[str, str]:
    """Split of each of so few images, by digest; none of those that count as copies. Larger groups are learned."""
    group_of = dict(zip((found.sha256 for found in images), _groups(images), strict=True))
    split_of: dict[int, str] = {}  # of a group
    split: dict[str, str] = {}
    for one in dict.fromkeys((found.label, found.generator) for found in images):
        groups: dict[int, list[str]] = {}
        for digest in splits.ordered((f.sha256 for f in images if (f.label, f.generator) == one), 0):
            groups.setdefault(group_of[digest], []).append(digest)
        free = sorted((group for group in groups if group not in split_of), key=lambda group: len(groups[group]))
        tested = len(free) // 2 if len(free) >= FEWEST_TESTED else 0
        learned = len(free) - tested
        # Of two at least one: without any, no epoch is the best for being learned.
        valid = max(1, round(learned / 4)) if learned > 1 else 0
        split_of |= zip(free, ["test"] * tested + ["valid"] * valid + ["train"] * (learned - valid), strict=True)
        for group, digests in groups.items():
            name = split_of[group]
            split |= dict.fromkeys(digests if name == "train" else digests[:1], name)
    return split


def _groups(images: Sequence[_Found]) -> list[int]:
    """Number of the group of each image, which holds what pairs of copies and of near copies join."""
    pixels, phash, thumbnails = zip(*(found.hashed for found in images), strict=True)
    looks = hashes.Hashes(np.array(pixels, np.uint64), np.array(phash, np.uint64), np.array(thumbnails))
    same = np.argwhere(np.triu(looks.pixels[:, None] == looks.pixels, 1))
    first, second = np.concatenate([same, hashes.near_pairs(looks, hashes.NEAR)[0]]).T
    edges = coo_array((np.ones(len(first), np.int8), (first, second)), shape=(len(images),) * 2)
    return connected_components(edges, directed=False)[1].tolist()


def _overlap(one: Path, other: Path) -> bool:
    real = [Path(os.path.realpath(path)) for path in (one, other)]
    return real[0].is_relative_to(real[1]) or real[1].is_relative_to(real[0])
