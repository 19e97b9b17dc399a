"""Areas by the influence of images are DeLong's; where images of a group go together, intervals and tests of whole
groups keep their level and those of single images do not."""

import numpy as np
import pytest

from detector.stats import areas
from detector.stats.auc import auc
from detector.stats.ranking import delong


def drawn(rng: np.random.Generator, groups: int, each: int, alike: float) -> tuple[np.ndarray, ...]:
    """Labels, the logits of two models that are as good as each other, and groups; `alike`: how much of a score
    the images of a group share."""
    group = np.repeat(np.arange(groups), each)
    label = group % 2
    shared, own = rng.normal(size=(2, groups))[:, group], rng.normal(size=(2, groups * each))
    first, second = label + np.sqrt(alike) * shared + np.sqrt(1 - alike) * own
    return label, first, second, group


def test_of_single_images_the_difference_is_delong_s():
    label, first, second, group = drawn(np.random.default_rng(0), 300, 1, 0.0)
    expected = delong(label, first, second + label / 4)
    low, high, p = areas.difference(label, first, second + label / 4, group)
    assert (low, high) == pytest.approx((expected["low"], expected["high"]), abs=1e-6)
    assert p == pytest.approx(expected["p"], abs=1e-6)
    assert 0.001 < p < 0.2, "a test that shows something"


def test_groups_keep_the_level_and_images_do_not():
    rng, rounds = np.random.default_rng(1), 300
    rejected, held = np.zeros(2), np.zeros(2)
    truth = 0.7602  # of two normal scores that lie one deviation apart
    for _ in range(rounds):
        label, first, second, group = drawn(rng, 40, 8, 0.7)
        low, high, p = areas.difference(label, first, second, group)
        assert (p < 0.05) == (low > 0 or high < 0), "interval and test say the same"
        rejected += [p < 0.05, delong(label, first, second)["p"] < 0.05]
        for at, grouping in enumerate((group, None)):
            found, low, high = areas.area(label, first, grouping)
            assert found == pytest.approx(auc(label, first))
            held[at] += low <= truth <= high
    assert rejected[0] / rounds <= 0.08
    assert rejected[1] / rounds > 0.15
    assert held[0] / rounds >= 0.91
    assert held[1] / rounds < 0.75


@pytest.mark.parametrize("groups", [2, 3, 5, 10])
def test_a_class_of_few_groups_is_known_as_little_as_they_say(groups):
    """Real images of a few people, fakes each by itself: it is the people that count."""
    rng, rounds = np.random.default_rng(groups), 200
    rejected = held = 0
    group = np.concatenate([np.arange(300) * groups // 300, 1000 + np.arange(300)])
    label = np.repeat([1, 0], 300)
    for _ in range(rounds):
        shared, own = rng.normal(size=(2, 1300))[:, group], rng.normal(size=(2, 600))
        first, second = label + np.sqrt(0.7) * shared + np.sqrt(0.3) * own
        _, low, high = areas.area(label, first, group)
        held += low <= 0.7602 <= high
        rejected += areas.difference(label, first, second, group)[2] < 0.05
    assert held / rounds >= 0.82
    assert rejected / rounds <= 0.13


def test_of_one_group_of_a_class_nothing_is_known():
    label, first, second, group = drawn(np.random.default_rng(3), 40, 3, 0.5)
    group = np.where(label == 1, 0, group)
    assert np.isnan(areas.difference(label, first, second, group)).all()
    assert np.isnan(areas.area(label, first, group)[1:]).all()


def test_what_cannot_be_known_is_nan():
    label, first, second, group = drawn(np.random.default_rng(2), 10, 3, 0.5)
    assert np.isnan(areas.difference(np.ones(30, int), first, second, group)).all(), "one class"
    assert np.isnan(areas.difference(label, first, second, np.zeros(30, int))).all(), "one group"
    assert areas.difference(label, first, first, group) == (0, 0, 1), "the same scores twice"
    assert np.isnan(areas.area(label, label * 10.0, group)[1:]).all(), "classes that do not overlap"
