"""A paired interval holds the true difference as often as it says."""

import math

import numpy as np
import pytest

from detector.significance import paired_interval


def test_a_worked_example():
    """By the formula of Bonett & Price (2012): 20 images gained and 10 lost of 100."""
    first, second = np.zeros(100, bool), np.zeros(100, bool)
    first[:40], second[:30], second[40:60] = True, True, True
    gained, lost = 21 / 102, 11 / 102
    half = 1.959964 * math.sqrt((gained + lost - (gained - lost) ** 2) / 102)
    assert paired_interval(first, second) == pytest.approx((gained - lost - half, gained - lost + half), abs=1e-6)


@pytest.mark.parametrize(("n", "gained", "lost"), [(50, 0.02, 0.02), (300, 0.05, 0.01), (2000, 0.003, 0.004)])
def test_it_covers_at_its_level(n, gained, lost):
    rng = np.random.default_rng(n)
    covered, rounds = 0, 2000
    for _ in range(rounds):
        draw = rng.random(n)
        first, second = draw < lost, (draw >= lost) & (draw < lost + gained)
        low, high = paired_interval(first, second)
        covered += low <= gained - lost <= high
    assert 0.94 <= covered / rounds <= 1.0


def test_without_images_there_is_none():
    assert all(math.isnan(bound) for bound in paired_interval(np.array([]), np.array([])))


def test_the_order_is_second_minus_first():
    low, high = paired_interval(np.zeros(50, bool), np.ones(50, bool))
    assert 0.8 < low < high
