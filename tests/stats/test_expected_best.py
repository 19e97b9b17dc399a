"""The expected best of k trials, and its interval, are those of all subsets of k, counted one by one."""

import math
from itertools import combinations

import numpy as np
import pytest

from detector.stats.expected_best import FLAT, RISING, TOO_FEW, best_of, gain, half, verdict

FIVE = [0.80, 0.90, 0.70, 0.90, 0.85]


@pytest.mark.parametrize("scores", [FIVE, [0.5], [0.6, 0.6], np.random.default_rng(0).random(9).tolist()])
def test_it_is_that_of_all_subsets(scores):
    for draws in range(1, len(scores) + 1):
        bests = sorted(max(chosen) for chosen in combinations(scores, draws))
        expected, low, high = best_of(scores, draws)
        assert expected == pytest.approx(np.mean(bests), abs=1e-12)
        assert low == np.quantile(bests, 0.025, method="inverted_cdf")
        assert high == np.quantile(bests, 0.975, method="inverted_cdf")


def test_by_hand():
    """Of .7 .8 .85 .9 .9 three are 10 sets: .85 is best in one, the others hold a .9."""
    assert best_of(FIVE, 3)[0] == pytest.approx((0.85 + 9 * 0.9) / 10)
    assert best_of(FIVE, 1)[0] == pytest.approx(sum(FIVE) / 5)
    assert best_of(FIVE, 5) == (0.9, 0.9, 0.9)


def test_an_interval_of_another_level():
    """Best of two of 1 … 5: 2 in 1 of 10 sets, 3 in 2, 4 in 3, 5 in 4."""
    assert best_of([1, 2, 3, 4, 5], 2, level=0.8)[1:] == (2, 5)
    assert best_of([1, 2, 3, 4, 5], 2, level=0.7)[1:] == (3, 5)
    assert best_of([1, 2, 3, 4, 5], 2, level=0.1)[1:] == (4, 4)


def test_a_bound_that_is_just_reached_is_that_one():
    """One in 40 is 2.5 %."""
    assert best_of(range(40), 1)[1:] == (0, 38)


def test_the_order_of_the_trials_shapes_nothing():
    assert best_of(FIVE, 2) == best_of(FIVE[::-1], 2)


def test_the_last_trial_gives_its_share_of_the_best_one_s_lead():
    """One in n orders has the best trial last; then the second best is what was there before."""
    assert gain([0.7, 0.95, 0.8, 0.9], 4, 3) == pytest.approx((0.95 - 0.9) / 4)
    assert math.isnan(gain(FIVE, 1, 0))


def test_each_further_trial_gives_less_than_the_one_before():
    scores = np.random.default_rng(1).normal(size=12)
    gains = [gain(scores, draws, draws - 1) for draws in range(2, 13)]
    assert gains == sorted(gains, reverse=True)


def test_a_diverged_trial_was_drawn_and_won_nothing():
    scores = [math.nan, 0.8, 0.9, math.nan]
    for draws in (1, 2):
        assert np.isnan(best_of(scores, draws)).all(), "all of them may be the two that diverged"
    # of the four sets of three, two leave out one of the diverged and two one of the others
    assert best_of(scores, 3)[0] == pytest.approx((0.9 + 0.9 + 0.9 + 0.8) / 4)
    assert best_of(scores, 4)[0] == 0.9


@pytest.mark.parametrize("draws", [0, 6])
def test_no_draws_and_more_than_there_are_are_refused(draws):
    with pytest.raises(ValueError, match=rf"best of {draws} draws of 5 scores: expected 1 to 5"):
        best_of(FIVE, draws)


def test_many_trials_are_no_trouble():
    expected, low, high = best_of(np.linspace(0, 1, 2001), 1000)
    assert expected == pytest.approx(1000 * 2001 / 1001 / 2000, abs=1e-6)  # the mean of the maximum of ranks
    assert low < expected < high == 1


def test_the_verdict_asks_whether_half_of_them_would_have_done():
    assert [half(n) for n in (1, 2, 5, 10)] == [1, 1, 3, 5]
    # Best of three of five: .70 is 6 in 10, .60 3 in 10, .50 1 in 10.
    scores = [0.3, 0.4, 0.5, 0.6, 0.7]
    short = 0.7 - (6 * 0.7 + 3 * 0.6 + 0.5) / 10
    assert verdict(scores, short - 1e-9) == RISING
    assert verdict(scores, short + 1e-9) == TOO_FEW, "five are too few to call a curve flat"
    assert verdict([*scores, *scores], 0.1) == FLAT
    assert verdict([*scores, *scores], 0.001) == RISING


def test_nothing_is_said_of_one_trial_and_where_half_may_have_diverged():
    assert verdict([0.9], 0.005) == TOO_FEW
    assert verdict([0.9] * 9, 0.005) == TOO_FEW
    assert verdict([0.9] * 10, 0.005) == FLAT
    assert verdict([0.9] * 5 + [math.nan] * 5, 0.005) == TOO_FEW
