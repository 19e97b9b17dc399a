"""Looks are windows on a grid from edge to edge, cut from packed images and files alike; one is the middle."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from detector.core.errors import DetectorError
from detector.imaging import looks, windows
from detector.imaging.looks import Looks
from detector.imaging.preprocessing import Preprocessing, Recompression

IMAGE = np.random.default_rng(0).integers(0, 256, (21, 21, 3), np.uint8)


@pytest.mark.parametrize(
    ("crops", "expected"),
    [
        (1, [(6, 6)]),
        (4, [(0, 0), (13, 0), (0, 13), (13, 13)]),
        (9, [(left, top) for top in (0, 6, 13) for left in (0, 6, 13)]),
        (16, [(left, top) for top in (0, 4, 8, 13) for left in (0, 4, 8, 13)]),
    ],
)
def test_windows_go_from_edge_to_edge_at_equal_distances(crops, expected):
    assert Looks(crops, (8,)).windows(21) == [(left, top, 8) for left, top in expected]


@pytest.mark.parametrize("crops", [1, 9, 25])
def test_one_look_is_the_middle_and_odd_grids_have_it(crops):
    found = Looks(crops, (8,)).cut(IMAGE, 8)
    assert found.shape == (crops, 8, 8, 3)
    assert np.array_equal(found[crops // 2], windows.middle(IMAGE, 8))


def test_each_size_has_its_grid_and_windows_in_one_place_are_one():
    some = Looks(4, (8, 20, 21))
    assert [side for *_, side in some.windows(21)] == [8] * 4 + [20] * 4 + [21]
    found = some.cut(IMAGE, 8)
    whole = Image.fromarray(IMAGE).resize((8, 8), Image.Resampling.BILINEAR)
    assert np.array_equal(found[-1], np.asarray(whole))
    assert np.array_equal(found[3], IMAGE[13:, 13:])
    assert Looks(9, (20,)).windows(21) == Looks(4, (20,)).windows(21)


def test_a_mean_is_of_the_looks_of_one_image():
    logits = np.array([1, 2, 6, -1, 0, 4], np.float32)
    assert looks.mean(logits, 3).tolist() == [3, 1]
    assert looks.mean(logits, 3).dtype == np.float32
    assert looks.mean(logits, 1) is logits


@pytest.mark.parametrize("recompress", [None, Recompression()])
def test_what_a_file_shows_is_cut_from_its_packed_square(recompress):
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (30, 50, 3), np.uint8))
    how = Preprocessing(21, centre=8, recompress=recompress)
    packed = how.packed(image, "ab")
    assert np.array_equal(how.views(image, "ab"), windows.middle(packed, 8)[None])
    some = replace(how, looks=Looks(4, (8, 21)))
    assert np.array_equal(some.views(image, "ab"), some.looks.cut(packed, 8))
    assert np.array_equal(some.packed(image, "ab"), packed)
    assert Preprocessing.of(some.record()) == some
    assert "looks" not in how.record()


@pytest.mark.parametrize(
    "settings",
    [
        {"crops": 4},
        {"crops": 5, "sizes": [8]},
        {"crops": 0, "sizes": [8]},
        {"crops": 10**12, "sizes": [8]},
        {"crops": 4, "sizes": []},
        {"crops": 4, "sizes": 8},
        {"crops": 4, "sizes": [8.5]},
        {"crops": 4, "sizes": [22]},
        {"crops": 4, "sizes": [8], "flips": True},
        [4],
    ],
)
def test_other_looks_are_refused(settings):
    with pytest.raises(DetectorError, match=r"looks: found .*expected .*use the version"):
        Preprocessing.of({"size": 21, "centre": 8, "looks": settings})
