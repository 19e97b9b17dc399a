"""The interval of a mean over parts holds the truth as often as it says, of single images and of groups."""

import numpy as np
import pytest

from detector.stats.intervals import mean_of_parts, paired_interval
from detector.stats.transfer import EVERYTHING, Images, Part, matrix

ROUNDS = 400


def held(shares: list[float], images: int, groups: int, alike: float, rng: np.random.Generator) -> tuple:
    """How often intervals for images and for groups hold the mean of `shares`, the true ones of the parts.

    Each part has `images` images, of `groups` groups that all parts have in common; `alike`: the chance that an
    image is right where the first one of its group, in any part, would be.
    """
    part, group = np.repeat(np.arange(len(shares)), images), np.tile(np.arange(images) % groups, len(shares))
    truth, found = np.mean(shares), np.zeros(2)
    for _ in range(ROUNDS):
        common = rng.random(groups)[group]
        drawn = np.where(rng.random(len(part)) < alike, common, rng.random(len(part)))
        right = drawn < np.array(shares)[part]
        for at, grouping in enumerate((None, group)):
            low, high = mean_of_parts(right, part, grouping)
            found[at] += low <= truth <= high
    return tuple(found / ROUNDS)


def test_intervals_of_means_hold_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(1)
    images, _ = held([0.97, 0.9, 0.6], 60, 60, 0.0, rng)
    assert images >= 0.92
    images, groups = held([0.95, 0.8, 0.7, 0.9], 40, 20, 0.7, rng)
    assert groups >= 0.91
    assert images < groups - 0.1, "images that go by their groups are no independent draws"


def test_of_one_part_a_difference_is_that_of_pairs():
    rng = np.random.default_rng(2)
    first, second = rng.random((2, 50)) < np.array([[0.8], [0.9]])
    values = second.astype(float) - first
    found = mean_of_parts(values, np.zeros(50, int), None, differences=True)
    assert found == pytest.approx(paired_interval(first, second))


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_where_all_are_right_or_none_the_interval_is_no_point_and_groups_make_it_wider(share):
    values, part, group = np.full(60, share), np.repeat([0, 1], 30), np.arange(60) % 6
    low, high = mean_of_parts(values, part, None)
    grouped = mean_of_parts(values, part, group)
    assert low <= share <= high
    assert 0.02 < high - low < grouped[1] - grouped[0]
    assert 0 <= grouped[0] <= share <= grouped[1] <= 1


def test_parts_weigh_the_same_whatever_their_size():
    values, part = np.array([1.0] * 90 + [0.0] * 10), np.repeat([0, 1], [90, 10])
    low, high = mean_of_parts(values, part, None)
    assert low < 0.5 < high


def test_with_fewer_than_two_groups_there_is_no_interval():
    assert np.isnan(mean_of_parts(np.ones(5), np.zeros(5, int), np.zeros(5, int))).all()


def test_without_real_images_there_is_a_share_and_no_area():
    images = Images(np.zeros(6, int), np.arange(6), np.zeros(6, bool))
    part = Part(np.ones(6, bool), np.zeros(6, bool))
    (row,) = matrix(images, {EVERYTHING: np.array([-1.0, -1, -1, 1, 1, 1])}, {"gan": part}, [], {}, [])
    assert (row["accuracy"], row["n"], row["reals"]) == (0.5, 6, 0)
    assert np.isnan([row["auc"], row["auc_low"], row["specificity"], row["balanced_accuracy"]]).all()
