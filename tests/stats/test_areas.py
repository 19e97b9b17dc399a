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
    assert (low, high) == pytest.approx((expected["low"], expected["high"]), abs=1e-3)
    assert p == pytest.approx(expected["p"], abs=2e-3)
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


def test_what_cannot_be_known_is_nan():
    label, first, second, group = drawn(np.random.default_rng(2), 10, 3, 0.5)
    assert np.isnan(areas.difference(np.ones(30, int), first, second, group)).all(), "one class"
    assert np.isnan(areas.difference(label, first, second, np.zeros(30, int))).all(), "one group"
    assert areas.difference(label, first, first, group) == (0, 0, 1), "the same scores twice"
    assert np.isnan(areas.area(label, label * 10.0, group)[1:]).all(), "classes that do not overlap"
