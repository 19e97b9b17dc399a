"""Near copies are found whatever was done to them, other images and blank ones are not, and the search misses no
pair that comparing all with all would find."""

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from detector.audit import hashes as hashes_module
from detector.audit.hashes import Hashes, near_pairs
from detector.imaging.preprocessing import Preprocessing

SIDE = 96


def picture(seed: int) -> Image.Image:
    """Soft blobs: pictures with low frequencies, as photographs have them."""
    grid = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(grid).resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def hashes(pictures) -> Hashes:
    store = np.stack([np.asarray(image) for image in pictures])
    return hashes_of(store)


def hashes_of(store: np.ndarray) -> Hashes:
    parts = [hashes_module.of_pixels(image) for image in store]
    return Hashes(*(np.array([part[i] for part in parts], dtype) for i, dtype in enumerate(("u8", "u8", "u1"))))


def recompressed(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


@pytest.mark.parametrize(
    "change",
    [
        lambda image: recompressed(image, 30),
        lambda image: image.resize((50, 50)).resize((SIDE, SIDE)),
        lambda image: ImageEnhance.Brightness(image).enhance(0.8),
        lambda image: Image.fromarray(np.asarray(image) ^ 1),
    ],
    ids=["jpeg", "down and up", "darker", "last bit"],
)
def test_a_copy_that_was_processed_is_near(change):
    originals = [picture(seed) for seed in range(8)]
    pairs, whole = near_pairs(hashes([*originals, *map(change, originals)]), 4)
    assert whole
    assert pairs.tolist() == [[seed, seed + 8] for seed in range(8)]


WAYS = [
    ({"preprocess": "resize"}, 8),
    ({"preprocess": "center_crop"}, 0),
    ({"preprocess": "center_crop", "resize_to": 64}, 8),
]


@pytest.mark.parametrize(("settings", "found"), WAYS, ids=str)
def test_a_smaller_copy_is_found_unless_a_crop_shows_another_part_of_it(settings, found):
    """What docs/audit.md warns of: the audit sees what the network sees."""
    how = Preprocessing.of({"size": 48, "max_pixels": 1_000_000, **settings})
    originals = [picture(seed) for seed in range(8)]
    smaller = [image.resize((72, 72), Image.Resampling.BILINEAR) for image in originals]
    pairs, _ = near_pairs(hashes_of(np.stack([how.apply(image) for image in [*originals, *smaller]])), 4)
    assert len(pairs) == found


def test_a_search_among_too_many_alike_says_that_it_stopped(monkeypatch):
    monkeypatch.setattr(hashes_module, "MAX_COMPARED", 20)
    found = hashes([recompressed(picture(0), quality) for quality in range(40, 60)])
    pairs, whole = near_pairs(found, 4)
    assert not whole
    assert len(pairs) < 20 * 19 / 2


def test_equal_pictures_are_no_near_pair_and_have_equal_pixel_hashes():
    found = hashes([picture(0), picture(1), picture(0)])
    assert found.pixels[0] == found.pixels[2] != found.pixels[1]
    assert near_pairs(found, 4)[0].tolist() == []


def test_blank_pictures_are_not_near_one_another():
    """Black, white, grey, and grey with the noise of rounding: their hashes are equal or mean nothing."""
    blank = np.stack([np.full((SIDE, SIDE, 3), value, np.uint8) for value in (0, 1, 128, 254, 255)])
    noise = 128 + np.random.default_rng(0).integers(0, 2, (5, SIDE, SIDE, 3), dtype=np.uint8)
    found = hashes_of(np.concatenate([blank, noise]))
    assert len(np.unique(found.phash[:5])) < 5, "nothing to be careful about"
    assert near_pairs(found, 8)[0].tolist() == []


def test_an_equal_hash_is_not_enough():
    """Two pictures that share the hash, by accident, and not what is to be seen."""
    first, second = (hashes([picture(seed)]) for seed in (0, 1))
    same = Hashes(
        np.concatenate([first.pixels, second.pixels]),
        np.concatenate([first.phash, first.phash]),
        np.concatenate([first.thumbnails, second.thumbnails]),
    )
    assert near_pairs(same, 4)[0].tolist() == []


def generated(count: int, seed: int = 0, spread: int = 64) -> Hashes:
    """Hashes of which many differ in few bits, of pictures whose thumbnails are all the same."""
    rng = np.random.default_rng(seed)
    centres = rng.integers(0, 2**63, max(count // 8, 1), dtype=np.uint64)
    phash = centres[rng.integers(len(centres), size=count)]
    for _ in range(6):
        phash ^= (rng.random(count) < 0.3).astype(np.uint64) << rng.integers(0, spread, count, dtype=np.uint64)
    thumbnail = rng.integers(0, 256, hashes_module.THUMBNAIL**2, dtype=np.uint8)
    return Hashes(np.arange(count, dtype=np.uint64), phash, np.tile(thumbnail, (count, 1)))


@pytest.mark.parametrize("distance", [0, 1, 4, 8])
def test_the_pairs_are_those_of_comparing_all_with_all(distance):
    for seed, spread in ((0, 64), (1, 64), (2, 9)):
        found = generated(400, seed, spread)
        apart = np.bitwise_count(found.phash[:, None] ^ found.phash)
        expected = np.argwhere(np.triu(apart <= distance, 1))
        assert len(expected), "nothing to find"
        np.testing.assert_array_equal(near_pairs(found, distance)[0], expected)


def looked_at(found: Hashes, distance: int, monkeypatch) -> tuple[int, bool]:
    """How many pairs the search lays side by side, and whether it went through."""
    seen = []
    same = hashes_module._same

    def counted(*given):
        for first, second in same(*given):
            seen.append(len(first))
            yield first, second

    monkeypatch.setattr(hashes_module, "_same", counted)
    _, whole = near_pairs(found, distance)
    return sum(seen), whole


def of_phash(phash: np.ndarray) -> Hashes:
    """Hashes of pictures that differ in each pixel and look alike."""
    thumbnail = np.random.default_rng(0).integers(0, 256, hashes_module.THUMBNAIL**2, dtype=np.uint8)
    return Hashes(np.arange(len(phash), dtype=np.uint64), phash, np.tile(thumbnail, (len(phash), 1)))


def test_few_of_all_pairs_are_compared(monkeypatch):
    """Also where the pictures have a piece of the hash in common, and only the rest tells them apart."""
    count, distance = 4_000, 4
    phash = np.random.default_rng(0).integers(0, 2**64, count, dtype=np.uint64)
    for shared in range(distance + 1):
        piece = np.uint64(sum(1 << bit for bit in range(shared, hashes_module.BITS, distance + 1)))
        compared, whole = looked_at(of_phash(phash | piece), distance, monkeypatch)
        assert whole
        assert compared < count**2 / 2 / 100


def test_pairs_that_are_looked_at_and_far_apart_count_too(monkeypatch):
    """They are what takes the time where many pictures have most of the hash in common."""
    monkeypatch.setattr(hashes_module, "MAX_HASHES", 1000)
    bits = np.uint64(sum(1 << bit for start in (3, 4) for bit in range(start, hashes_module.BITS, 5)))
    phash = np.random.default_rng(0).integers(0, 2**64, 2_000, dtype=np.uint64) & bits
    compared, whole = looked_at(of_phash(phash), 4, monkeypatch)
    assert not whole
    assert compared <= 1000 + len(phash)


def test_the_search_stops_where_everything_is_a_copy(monkeypatch):
    monkeypatch.setattr(hashes_module, "MAX_PAIRS", 100)
    found = generated(60, spread=1)
    found.phash[:] = 7
    pairs, whole = near_pairs(found, 4)
    assert (len(pairs), whole) == (100, False)


def test_a_store_is_hashed_by_rows_in_chunks(tmp_path, monkeypatch):
    store = np.stack([np.asarray(picture(seed)) for seed in range(7)])
    np.save(tmp_path / "images.npy", store)
    monkeypatch.setattr(hashes_module, "CHUNK", 2)
    rows = np.array([6, 0, 3, 2, 2])
    found, expected = hashes_module.of_store(tmp_path / "images.npy", rows, 1, "test"), hashes_of(store[rows])
    joined = hashes_module.joined([found, found])
    for name in ("pixels", "phash", "thumbnails"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
        np.testing.assert_array_equal(getattr(joined, name)[5:], getattr(expected, name))
