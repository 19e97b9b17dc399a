"""A window of a packed image is drawn from its key alone, anywhere in it, and resized by Pillow; the middle is
that of a centre crop."""

import numpy as np
import pytest
from PIL import Image

from detector.imaging import crops, windows

PLACES = np.dstack([*np.meshgrid(np.arange(20), np.arange(20)), np.zeros((20, 20))]).astype(np.uint8)  # x, y, 0


@pytest.mark.parametrize(("side", "size"), [(20, 8), (20, 7), (19, 8), (8, 8)])
def test_the_middle_is_that_of_a_centre_crop(side, size):
    image = PLACES[:side, :side]
    expected = np.asarray(Image.fromarray(image).crop(crops.centre(Image.fromarray(image), size)))
    assert np.array_equal(windows.middle(image, size), expected)
    assert np.array_equal(windows.middle(np.stack([image] * 3), size), np.stack([expected] * 3))


def test_a_window_keeps_its_pixels_and_is_anywhere():
    seen = set()
    for number in range(600):
        window = windows.drawn(PLACES, 17, None, (0, 0, 1, number, 0))
        left, top = window[0, 0, :2].tolist()
        assert np.array_equal(window, PLACES[top : top + 17, left : left + 17])
        seen.add((left, top))
    assert seen == {(left, top) for left in range(4) for top in range(4)}


def test_a_window_depends_on_each_part_of_its_key_and_on_nothing_else():
    key = (5, 2, 3, 77, 0)
    image = np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)
    first = windows.drawn(image, 8, {"side": [0.2, 0.9]}, key)
    assert np.array_equal(first, windows.drawn(image.copy(), 8, {"side": [0.2, 0.9]}, key))
    for place in range(5):
        other = tuple(value + (place == number) for number, value in enumerate(key))
        assert not np.array_equal(first, windows.drawn(image, 8, {"side": [0.2, 0.9]}, other)), place


def test_a_window_of_another_size_is_resized_by_pillow(monkeypatch):
    cut = []
    resized = windows.resized
    monkeypatch.setattr(windows, "resized", lambda image, *sides: (cut.append(image), resized(image, *sides))[1])
    for number in range(300):
        found = windows.drawn(PLACES, 8, {"side": [0.5, 0.8]}, (0, 0, 1, number, 0))
        assert found.shape == (8, 8, 3)
        if number < 9:
            again = Image.fromarray(cut[-1]).resize((8, 8), Image.Resampling.BILINEAR)
            assert np.array_equal(found, np.asarray(again))
    assert {len(image) for image in cut} == {*range(10, 17)}
    assert all(image.shape[0] == image.shape[1] for image in cut)
    assert min(image[0, 0, 0] for image in cut) == 0
    assert max(image[-1, -1, 1] for image in cut) == 19
