"""Image hashes for finding duplicates: exact, and perceptual with pairs of near hashes. No torch.

Exact: the first 64 bits of SHA-256 of the pixels. Of a million images two different ones share them with a chance
of 3e-8. Near: the 64-bit perceptual hash of the library ImageHash (`phash`: which of the lowest frequencies
of a 32 x 32 grey image are above their median), by Hamming distance. A hash this short calls some different
pictures alike (aligned faces, smooth gradients), so a pair counts only if 16 x 16 grey thumbnails correlate too.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import imagehash
import numpy as np
from PIL import Image

from detector.core import pool
from detector.core.progress import Progress

CHUNK = 1024  # images a job
BITS = 64
NEAR = 4  # bits by which hashes of near copies differ where no config says (`audit.near_duplicates`)
THUMBNAIL = 16  # pixels a side
FLAT = 2.0  # grey levels: thumbnails of less spread hold no picture, only rounding
CORRELATION = 0.9  # of two thumbnails from which on they show the same
BLOCK = 1 << 16  # thumbnails at a time as floats: 64 MiB
MAX_PAIRS = 5_000_000  # 80 MB: beyond, a set is nothing but copies, and more of them say nothing more
MAX_HASHES = (
    5_000_000_000  # pairs of hashes laid side by side, two minutes or three; the next limit is of those near
)
MAX_COMPARED = 200_000_000  # their thumbnails, some minutes: beyond, a set has one motif, and hashes tell nothing


@dataclass(frozen=True)
class Hashes:
    """Hashes of n images: `pixels`, `phash` uint64 (n,) and `thumbnails` uint8 (n, 256)."""

    pixels: np.ndarray
    phash: np.ndarray
    thumbnails: np.ndarray


def of_store(npy: Path, rows: np.ndarray, workers: int, what: str) -> Hashes:
    """Hash these rows of a packed store, in their order. `what`: title of the progress display.

    The store is mapped, not loaded: memory is one chunk of images per worker and 272 bytes per image.
    """
    found = Hashes(
        np.zeros(len(rows), np.uint64),
        np.zeros(len(rows), np.uint64),
        np.zeros((len(rows), THUMBNAIL**2), np.uint8),
    )
    progress = Progress(what, len(rows))
    jobs = ((npy, rows[start : start + CHUNK]) for start in range(0, len(rows), CHUNK))
    for job, part in pool.run(_chunk, jobs, workers):
        chosen = slice(job * CHUNK, job * CHUNK + len(part[0]))
        found.pixels[chosen], found.phash[chosen], found.thumbnails[chosen] = part
        progress.add(len(part[0]))
    return found


def joined(parts: Sequence[Hashes]) -> Hashes:
    """Concatenate the hashes of several stores."""
    return Hashes(*(np.concatenate([getattr(p, name) for p in parts]) for name in Hashes.__dataclass_fields__))


def near_pairs(hashes: Hashes, distance: int, video: np.ndarray | None = None) -> tuple[np.ndarray, bool]:
    """Pairs of near duplicates (i, j), i < j, int64 (m, 2), sorted; and whether these are all.

    Near duplicates look alike and differ in some pixel: their hashes differ in at most `distance` of 64 bits, and
    their thumbnails correlate by CORRELATION. Flat images (blank, black) have no meaningful hash and are in no
    pair, nor are two frames of one video: those of equal numbers in `video`, int (n,). Only images that agree in
    enough of the hash are compared (`_masks`). Stops at MAX_PAIRS found,
    MAX_HASHES or MAX_COMPARED compared.
    """
    usable = np.flatnonzero(_spread(hashes.thumbnails) >= FLAT)
    found, count, compared, looked_at = [np.empty((0, 2), np.int64)], 0, 0, 0
    masks = _masks(distance)
    for number, mask in enumerate(masks):
        for first, second in _same(hashes.phash, usable, mask):
            looked_at += len(first)
            if looked_at > MAX_HASHES:
                return _sorted(found)[:MAX_PAIRS], False
            differ = hashes.phash[first] ^ hashes.phash[second]
            kept = np.bitwise_count(differ) <= distance
            first, second, differ = first[kept], second[kept], differ[kept]
            kept = hashes.pixels[first] != hashes.pixels[second]
            if video is not None:
                kept &= video[first] != video[second]
            # A pair that agrees under an earlier mask too was found there.
            for earlier in masks[:number]:
                kept &= (differ & earlier) != 0
            first, second = first[kept], second[kept]
            compared += len(first)
            if compared > MAX_COMPARED:
                return _sorted(found)[:MAX_PAIRS], False
            kept = _correlation(hashes.thumbnails, first, second) >= CORRELATION
            if kept.any():
                found.append(np.sort(np.stack([first[kept], second[kept]], axis=1), axis=1))
                count += len(found[-1])
                if count > MAX_PAIRS:
                    return _sorted(found)[:MAX_PAIRS], False
    return _sorted(found), True


def _chunk(npy: Path, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    store = np.load(npy, mmap_mode="r")
    pixels, phash = np.zeros(len(rows), np.uint64), np.zeros(len(rows), np.uint64)
    thumbnails = np.zeros((len(rows), THUMBNAIL**2), np.uint8)
    for at, row in enumerate(rows):
        pixels[at], phash[at], thumbnails[at] = of_pixels(store[row])
    return pixels, phash, thumbnails


def of_pixels(image: np.ndarray) -> tuple[int, int, np.ndarray]:
    """Hash one picture, uint8 (height, width, 3): both hashes, and its thumbnail, uint8 (256,)."""
    image = np.ascontiguousarray(image)
    grey = Image.fromarray(image).convert("L")
    bits = np.packbits(imagehash.phash(grey, hash_size=8).hash.ravel())
    small = grey.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BILINEAR)
    digest = hashlib.sha256(image.data).digest()
    return int.from_bytes(digest[:8]), int.from_bytes(bits.tobytes()), np.asarray(small).ravel()


def _masks(distance: int) -> list[np.uint64]:
    """Masks of which two hashes agree under at least one where at most `distance` bits differ.

    Of `distance` + 1 pieces of a hash at least one is equal then (the pigeonhole principle, as in Manku et al.
    2007, "Detecting near-duplicates for web crawling"), and so is one of as many pieces of the rest. One piece
    alone is shared by far too many of a million pictures, or of some that have a motif in common.
    """
    return [
        np.uint64(sum(1 << bit for bit in (*piece, *second)))
        for piece in _pieces(range(BITS), distance + 1)
        for second in _pieces(sorted({*range(BITS)} - {*piece}), distance + 1)
    ]


def _pieces(bits: Sequence[int], count: int) -> list[Sequence[int]]:
    """Every `count`-th of these bits, from each of the first `count` on; one empty piece of no bits.

    Not runs of bits: neighbouring frequencies go together, which makes runs of them alike far too often.
    """
    return [bits[start::count] for start in range(min(count, len(bits)))] or [bits]


def _same(phash: np.ndarray, usable: np.ndarray, mask: np.uint64) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """All pairs of `usable` images whose hashes agree under the mask, a block at a time."""
    keys = phash[usable] & mask
    order = np.argsort(keys, kind="stable")
    keys, images = keys[order], usable[order]
    # Equal keys lie side by side: compare each with the next, then with the one after the next, and so on.
    start, step = np.arange(len(keys)), 1
    while len(start):
        start = start[start + step < len(keys)]
        start = start[keys[start] == keys[start + step]]
        yield images[start], images[start + step]
        step += 1


def _spread(thumbnails: np.ndarray) -> np.ndarray:
    """Standard deviation of each thumbnail, float32 (n,)."""
    blocks = np.array_split(thumbnails, len(thumbnails) // BLOCK + 1)
    return np.concatenate([block.std(axis=1, dtype=np.float32) for block in blocks])


def _correlation(thumbnails: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Correlation of each pair of thumbnails, float32 (m,)."""
    found = [np.empty(0, np.float32)]
    for start in range(0, len(first), BLOCK):
        a, b = (thumbnails[side[start : start + BLOCK]].astype(np.float32) for side in (first, second))
        a -= a.mean(axis=1, keepdims=True)
        b -= b.mean(axis=1, keepdims=True)
        found.append((a * b).sum(axis=1) / np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1)))
    return np.concatenate(found)


def _sorted(parts: list[np.ndarray]) -> np.ndarray:
    pairs = np.concatenate(parts)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
