"""Training images are degraded as the config says: which, how often and how far, from their own key alone."""

import numpy as np
import pytest

from detector.imaging import augmentation, perturbations

TWO = {
    "share": 0.6,
    "rounds": 2,
    "steps": [{"scale": [0.5, 0.8], "chance": 0.25}, {"jpeg": [40, 42]}],
}


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)


@pytest.fixture(scope="module")
def draws():
    return [augmentation.draw(TWO, (0, 0, 1, number)) for number in range(8000)]


def test_shares_chances_and_rounds_are_those_of_the_config(draws):
    touched = [steps for steps in draws if steps]
    assert len(touched) / len(draws) == pytest.approx(0.6, abs=0.03)
    rounds = [sum("jpeg" in step for step in steps) for steps in touched]  # JPEG is in every round
    assert set(rounds) == {1, 2}
    assert np.mean(rounds) == pytest.approx(1.5, abs=0.03)
    scaled = sum("scale" in step for steps in touched for step in steps)
    assert scaled / sum(rounds) == pytest.approx(0.25, abs=0.03)


def test_numbers_fill_their_range_and_are_whole_where_the_step_wants_that(draws):
    found = {name: [step[name] for steps in draws for step in steps if name in step] for name in ("jpeg", "scale")}
    assert set(found["jpeg"]) == {40, 41, 42}
    assert all(isinstance(quality, int) for quality in found["jpeg"])
    assert np.bincount(found["jpeg"])[40:] / len(found["jpeg"]) == pytest.approx([1 / 3] * 3, abs=0.03)
    assert 0.5 <= min(found["scale"]) < 0.51
    assert 0.79 < max(found["scale"]) < 0.8
    assert np.mean(found["scale"]) == pytest.approx(0.65, abs=0.02)


def test_steps_of_a_round_come_in_the_order_of_the_list(draws):
    for steps in draws:
        names = [next(iter(step)) for step in steps]
        assert "scale scale" not in " ".join(names), "a step comes once a round, and JPEG ends each"
        assert not names or names[-1] == "jpeg"


def test_a_draw_hangs_on_all_of_its_key_and_on_nothing_else(image):
    noisy = {"share": 1.0, "rounds": 1, "steps": [{"noise": [5, 5], "chance": 1.0}]}
    key = (3, 1, 2, 77)
    first = augmentation.degraded(image, noisy, key)
    np.random.default_rng(0).random()
    assert np.array_equal(first, augmentation.degraded(image, noisy, key))
    for place in range(len(key)):
        other = tuple(number + (place == i) for i, number in enumerate(key))
        assert not np.array_equal(first, augmentation.degraded(image, noisy, other)), other


def test_what_is_drawn_is_what_is_done(image):
    before = image.copy()
    for number in range(40):
        key = (0, 0, 1, number)
        drawn, after = augmentation.draw(TWO, key), augmentation.degraded(image, TWO, key)
        if drawn:
            assert np.array_equal(after, perturbations.apply(image, drawn))  # these draw nothing themselves
        else:
            assert after is image
    assert np.array_equal(image, before)


def test_modules_are_those_of_the_steps():
    assert augmentation.modules(None) == []
    assert augmentation.modules(TWO) == ["detector.imaging.steps.jpeg", "detector.imaging.steps.scale"]
