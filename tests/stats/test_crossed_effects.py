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


@pytest.mark.parametrize("sizes", [[100] * 10 + [1] * 1000, [20] * 5 + [1] * 300])
def test_large_groups_that_seldom_turn_are_allowed_for(sizes):
    """Whole groups are lost with chance 0.05, in all seeds alike."""
    rng = np.random.default_rng(12)
    group, held = np.repeat(np.arange(len(sizes)), sizes), []
    for _ in range(300):
        lost = -(rng.random(len(sizes)) < 0.05).astype(np.int8)[group]
        bounds = (
            f(np.tile(lost, (3, 1)), group) for f in (crossed_effects.over_both, crossed_effects.over_images)
        )
        held.append([low <= -0.05 <= high for low, high in bounds])
    assert (np.mean(held, axis=0) >= 0.92).all()


def test_few_groups_have_few_degrees_of_freedom():
    """Of groups alone, Student's t: seeds that agree entirely add nothing."""
    sums = np.array([4.0, -2, 1, 3, 0, -1])
    group = np.repeat(np.arange(6), 10)
    one = np.concatenate([np.repeat([np.sign(s), 0], [abs(int(s)), 10 - abs(int(s))]) for s in sums])
    low, high = crossed_effects.over_both(np.tile(one, (2, 1)), group)
    with_two = np.append(sums, [10, -10]) / 10
    # six groups and those two; (count - 1) of eight in the variance and for t
    half = stats.t.ppf(0.975, 7) * with_two.std(ddof=1) / math.sqrt(8)
    assert (low, high) == pytest.approx((with_two.mean() - half, with_two.mean() + half))


def test_groups_of_unlike_size_weigh_by_their_images():
    """The mean is that of images; its residuals, by groups, are what varies."""
    sizes = np.array([1, 1, 1, 1, 20])
    group = np.repeat(np.arange(5), sizes)
    none = np.zeros((2, 24), np.int8)
    gained = none.copy()
    gained[:, 4:] = 1
    low, high = crossed_effects.over_both(gained, group)
    assert low < 20 / 24 <= high <= 1, "within what there can be"
    assert low < 0, "one group in effect"
    low, high = crossed_effects.over_both(none, group)
    assert (low, high) == pytest.approx((-high, high))
    assert high > 0.9, "nothing turned, but a large group may"


def test_sums_of_unlike_groups_are_taken_less_their_share_of_the_mean():
    """By loops, of seeds that agree: the ratio estimator of surveys, of as many groups as `effective` says."""
    sizes = [1, 2, 2, 3, 12, 30]
    gained = [1, 0, 2, -1, 5, 14]
    one = np.concatenate(
        [np.repeat([np.sign(s), 0], [abs(s), n - abs(s)]) for s, n in zip(gained, sizes, strict=True)]
    )
    low, high = crossed_effects.over_both(np.tile(one, (2, 1)), np.repeat(np.arange(6), sizes))
    usual = sum(n * n for n in sizes) / sum(sizes)
    sizes, gained = [*sizes, usual, usual], [*gained, usual, -usual]
    images, count = sum(sizes), sum(sizes) ** 2 / sum(n * n for n in sizes)
    mean = sum(gained) / images
    variance = (
        sum((s - n * mean) ** 2 for s, n in zip(gained, sizes, strict=True)) / images**2 * count / (count - 1)
    )
    half = stats.t.ppf(0.975, count - 1) * math.sqrt(variance)
    assert (low, high) == pytest.approx((max(-1, mean - half), min(1, mean + half)))
