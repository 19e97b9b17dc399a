"""Intervals of a mean over seeds and images are the references', and hold the true mean as often as they say, each
for the sources of chance that it is about and for no others; images of one group are one draw."""

import math

import numpy as np
import pytest
from scipy import stats

from detector.stats import crossed_effects
from detector.stats.intervals import paired_interval

TRUE = 0.01


def draw(rng, seeds, images, spread):
    """Differences whose mean is TRUE, with easy and hard images, and seeds that differ by `spread`."""
    shift = TRUE + rng.choice([-0.1, 0.1], images) + rng.normal(0, spread, (seeds, 1))
    chance = rng.random((seeds, images))
    return (chance < (0.2 + shift) / 2).astype(np.int8) - (chance > 1 - (0.2 - shift) / 2)


def covered(interval, seeds, spread, images=1000, rounds=500):
    rng = np.random.default_rng(7)
    bounds = [interval(draw(rng, seeds, images, spread)) for _ in range(rounds)]
    return np.mean([low <= TRUE <= high for low, high in bounds])


def test_with_one_seed_images_give_the_paired_interval():
    first, second = np.random.default_rng(0).random((2, 300)) < [[0.8], [0.84]]
    differences = np.subtract(second, first, dtype=np.int8)[None]
    assert crossed_effects.over_images(differences) == pytest.approx(paired_interval(first, second), abs=1e-12)


def test_seeds_give_student_s_interval():
    differences = draw(np.random.default_rng(1), 4, 500, 0.02)
    expected = stats.ttest_1samp(differences.mean(axis=1), 0).confidence_interval(0.95)
    assert crossed_effects.over_seeds(differences) == pytest.approx(tuple(expected), abs=1e-12)


def test_both_are_no_narrower_than_seeds_alone_make_them():
    """Where what is left is larger than the images' share, the plain estimate would fall below either source."""
    one = draw(np.random.default_rng(3), 1, 400, 0.1)[0]
    differences = np.vstack([one, -one])
    table = np.hstack([differences, np.ones((2, 1)), -np.ones((2, 1))])
    by_seed = table.shape[1] * ((table.mean(axis=1) - table.mean()) ** 2).sum()
    half = stats.t.ppf(0.975, 1) * math.sqrt(by_seed / table.size)
    low, high = crossed_effects.over_both(differences)
    assert (high - low) / 2 == pytest.approx(half)


def test_both_are_the_crossed_components():
    """The same mean squares as a table of analysis of variance gives, here by the loops of a textbook."""
    differences = np.hstack([draw(np.random.default_rng(2), 3, 400, 0.2), np.ones((3, 1)), -np.ones((3, 1))])
    seeds, images = differences.shape
    mean = differences.sum() / differences.size
    rest = seed = image = 0.0
    for s in range(seeds):
        seed += images * (differences[s].mean() - mean) ** 2
        for i in range(images):
            rest += (differences[s, i] - differences[s].mean() - differences[:, i].mean() + mean) ** 2
    for i in range(images):
        image += seeds * (differences[:, i].mean() - mean) ** 2
    seed, image, rest = seed / (seeds - 1), image / (images - 1), rest / ((seeds - 1) * (images - 1))
    square = seed + image - rest
    assert square > max(seed, image), "otherwise the bounds of the estimate would be what is tested"
    freedom = square**2 / (seed**2 / (seeds - 1))
    half = stats.t.ppf(0.975, freedom) * math.sqrt(square / (seeds * images))
    assert crossed_effects.over_both(differences[:, :-2]) == pytest.approx((mean - half, mean + half), rel=1e-9)


@pytest.mark.parametrize(("seeds", "spread"), [(3, 0.0), (3, 0.02), (5, 0.02), (5, 0.06)])
def test_both_hold_their_level(seeds, spread):
    assert covered(crossed_effects.over_both, seeds, spread) >= 0.93


def test_each_source_holds_its_level_alone():
    assert covered(crossed_effects.over_images, 3, 0.0) == pytest.approx(0.95, abs=0.03)
    assert covered(crossed_effects.over_seeds, 3, 0.06) == pytest.approx(0.95, abs=0.03)


def test_images_alone_say_nothing_of_other_seeds():
    """The reason for the other interval: were this one enough, it would hold here too."""
    assert covered(crossed_effects.over_images, 3, 0.06) < 0.6


def test_what_cannot_be_said_is_nan():
    one, none = np.ones((1, 50)), np.zeros((3, 0))
    same = np.tile([1, 0, 0, 0, -1], (3, 1))
    for interval in (crossed_effects.over_seeds, crossed_effects.over_both):
        assert np.isnan(interval(one)).all()
        assert np.isnan(interval(none)).all()
    assert np.isnan(crossed_effects.over_images(none)).all()
    assert np.isnan(crossed_effects.over_seeds(same)).all(), "no spread among three seeds is no certainty"
    low, high = crossed_effects.over_both(np.zeros((3, 100)))
    assert low < 0 < high, "networks that never differed on 100 images may differ on others"


def alike(rng, seeds, sizes, spread, share=0.6):
    """Differences whose mean is TRUE; a `share` of each group's images turn together, in all seeds alike."""
    group = np.repeat(np.arange(len(sizes)), sizes)
    shift = TRUE + rng.choice([-0.1, 0.1], len(sizes))[group] + rng.normal(0, spread, (seeds, 1))
    chance = np.where(
        rng.random(len(group)) < share, rng.random(len(sizes))[group], rng.random((seeds, len(group)))
    )
    return (chance < (0.2 + shift) / 2).astype(np.int8) - (chance > 1 - (0.2 - shift) / 2), group


@pytest.mark.parametrize("spread", [0.0, 0.02])
@pytest.mark.parametrize("sizes", [[5] * 200, [20] * 20, [1] * 200 + [100] * 3], ids=["many", "few", "unequal"])
def test_groups_hold_the_level_that_their_images_do_not(sizes, spread):
    rng = np.random.default_rng(11)
    held = []
    for _ in range(300):
        differences, group = alike(rng, 3, sizes, spread)
        bounds = [
            interval(differences, *by)
            for interval in (crossed_effects.over_both, crossed_effects.over_images)
            for by in ((group,), ())
        ]
        held.append([low <= TRUE <= high for low, high in bounds])
    both, both_by_images, images, images_by_images = np.mean(held, axis=0)
    assert both >= 0.93
    assert both_by_images < 0.9
    assert images_by_images < images
    if not spread:
        assert images >= 0.93


def test_groups_of_one_image_each_are_images():
    differences = draw(np.random.default_rng(4), 3, 400, 0.02)
    one_each = np.random.default_rng(5).permutation(400)
    assert crossed_effects.over_images(differences, one_each) == pytest.approx(
        crossed_effects.over_images(differences)
    )
    low, high = crossed_effects.over_both(differences)
    assert crossed_effects.over_both(differences, one_each) == pytest.approx((low, high), abs=0.02 * (high - low))


def test_equal_groups_of_copies_are_one_image_each():
    """Which of images that are copies are not: chance that repeats in them would be taken for that of seeds."""
    differences = draw(np.random.default_rng(6), 3, 2000, 0.02)
    group = np.tile(np.arange(2000), 4)
    for interval in (crossed_effects.over_images, crossed_effects.over_both):
        low, high = interval(differences)
        assert interval(np.tile(differences, 4), group) == pytest.approx((low, high), abs=0.02 * (high - low))


def test_one_group_says_nothing_of_others():
    differences = draw(np.random.default_rng(8), 3, 50, 0.02)
    one = np.zeros(50, int)
    for interval in (crossed_effects.over_images, crossed_effects.over_both):
        assert np.isnan(interval(differences, one)).all()
