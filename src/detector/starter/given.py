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
NEAR = 4  # bits by which perceptual hashes of near copies differ, as `audit.near_duplicates`
OPTIONS = {REAL: "--real", FAKE: "--fake"}

Hashed = tuple[int, int, np.ndarray]  # as `audit.hashes.of_pixels` returns


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
    """All given images, by class; and how many files were copies of others."""

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
    a quarter of the rest, of two at least one, is chosen by. Near copies of each other count as one and stay
    together: the run's audit would leave them out of the later part. Which ones hangs on contents alone. Raises
    `DetectorError` for a folder that is none, lies in the other, is empty or holds too many images, and for images
    that cannot be read.
    """
    images: list[Image] = []
    copies = 0
    folders = {FAKE: fake, **({} if real is None else {REAL: real})}
    for label, folder in folders.items():
        check_folder(OPTIONS[label], folder)
    if real is not None and _overlap(fake, real):
        raise DetectorError(f"found {fake} and {real}, one in the other; expected folders beside each other")
    for label, folder in folders.items():
        there = _listed(folder, label, max_pixels)
        unique = {digest: (file, maker) for digest, file, maker, _ in reversed(there)}
        looks = {digest: hashed for digest, _, _, hashed in there}
        copies += len(there) - len(unique)
        makers = sorted({maker for _, maker in unique.values()})
        share = {
            digest: split
            for one in makers
            for digest, split in _shared_out(
                {digest: looks[digest] for digest, (_, maker) in unique.items() if maker == one}
            ).items()
        }
        images += [
            Image(file, digest, label, maker, share[digest]) for digest, (file, maker) in sorted(unique.items())
        ]
    both = {image.sha256 for image in images if image.label == REAL}
    if odd := [str(image.file) for image in images if image.label == FAKE and image.sha256 in both]:
        raise DetectorError(f"found {odd[0]} among real and fake images alike; take it out of one of the folders")
    return Given(images, copies)


def _listed(folder: Path, label: int, max_pixels: int) -> list[tuple[str, Path, str, Hashed]]:
    """SHA-256, file, generator and perceptual hashes of each image below a folder, all of which can be decoded."""
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
        found.append((sha256(file), file, maker, hashed))
    if bad:
        raise DetectorError(
            f"{OPTIONS[label]}: found {len(bad)} of {len(records)} images that cannot be read, expected none "
            f"among so few; repair them or take them out:\n{listing(bad)}"
        )
    return found


def _shared_out(images: Mapping[str, Hashed]) -> Mapping[str, str]:
    """Split of each of so few images, by digest. Near copies count as one; the larger groups are learned."""
    order = splits.ordered(images, 0)
    groups: dict[int, list[str]] = {}
    for digest, group in zip(order, _groups([images[digest] for digest in order]), strict=True):
        groups.setdefault(group, []).append(digest)
    members = sorted(groups.values(), key=len)
    tested = len(members) // 2 if len(members) >= FEWEST_TESTED else 0
    learned = len(members) - tested
    valid = max(1, round(learned / 4)) if learned > 1 else 0  # without any, no epoch is the best for being learned
    names = ["test"] * tested + ["valid"] * valid + ["train"] * (learned - valid)
    return {digest: name for one, name in zip(members, names, strict=True) for digest in one}


def _groups(images: Sequence[Hashed]) -> list[int]:
    """Number of the group of each image, which holds what pairs of copies and of near copies join."""
    pixels, phash, thumbnails = zip(*images, strict=True)
    looks = hashes.Hashes(np.array(pixels, np.uint64), np.array(phash, np.uint64), np.array(thumbnails))
    same = np.argwhere(np.triu(looks.pixels[:, None] == looks.pixels, 1))
    first, second = np.concatenate([same, hashes.near_pairs(looks, NEAR)[0]]).T
    edges = coo_array((np.ones(len(first), np.int8), (first, second)), shape=(len(images),) * 2)
    return connected_components(edges, directed=False)[1].tolist()


def _overlap(one: Path, other: Path) -> bool:
    real = [Path(os.path.realpath(path)) for path in (one, other)]
    return real[0].is_relative_to(real[1]) or real[1].is_relative_to(real[0])
