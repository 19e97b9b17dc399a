"""The temperature makes probabilities right on validation images, and changes no verdict. The band keeps errors
among sure verdicts to the rate that it states."""

import json

import numpy as np
import pytest
from scipy.stats import binomtest

from detector.stats.calibration import HIGHEST, LOWEST, at_highest, at_lowest, band, probabilities, temperature
from detector.stats.intervals import error_bound


@pytest.mark.parametrize("true", [0.3, 1.0, 4.0])
def test_it_finds_the_temperature_that_made_the_labels(true):
    rng = np.random.default_rng(0)
    honest = rng.normal(0, 2, 100_000)
    label = (rng.random(len(honest)) < 1 / (1 + np.exp(-honest))).astype(int)
    assert temperature(label, honest * true) == pytest.approx(true, rel=0.03)


def test_no_other_temperature_has_a_lower_log_loss():
    rng = np.random.default_rng(1)
    label, logit = rng.integers(0, 2, 500), rng.normal(0, 3, 500)
    logit += 2 * label - 1

    def loss(t):
        return np.logaddexp(0, -np.where(label == 1, 1, -1) * logit / t).mean()

    found = temperature(label, logit)
    assert loss(found) <= min(loss(t) for t in np.geomspace(LOWEST, HIGHEST, 200)) + 1e-9


@pytest.mark.parametrize(("label", "logit"), [([], []), ([0, 1, 1], [-1.0, np.nan, 2.0])])
def test_of_nothing_there_is_no_temperature(label, logit):
    assert np.isnan(temperature(label, logit))


def test_it_stays_in_its_bounds():
    label = np.array([0, 1, 0, 1])
    assert temperature(label, np.array([-1.0, 2.0, -3.0, 4.0])) == pytest.approx(LOWEST, rel=0.01)
    assert temperature(1 - label, np.array([-1.0, 2.0, -3.0, 4.0])) == pytest.approx(HIGHEST, rel=0.01)


@pytest.mark.parametrize(
    ("logits", "lowest", "highest"),
    [((-1, 2, -3, 4), True, False), ((1, -2, 3, -4), False, True), ((-1, 2, -3, -1), False, False)],
)
def test_a_temperature_at_a_bound_is_known_to_be(logits, lowest, highest):
    found = temperature(np.array([0, 1, 0, 1]), np.array(logits, float))
    assert (at_lowest(found), at_highest(found)) == (lowest, highest)


@pytest.mark.parametrize("distance", [1.8, 2.9])  # AUC 0.9 and 0.98
def test_two_hundred_images_are_enough_and_sixteen_are_not(distance):
    """Of normal scores that are twice too sure: how often the log loss of other images rises by calibration."""
    rng = np.random.default_rng(3)

    def drawn(count):
        label = np.arange(count) % 2
        return label, 2 * distance * rng.normal((label - 0.5) * distance, 1)

    others = drawn(4000)
    before = probabilities(*others)["log_loss"]

    def worse(count):
        scales = [temperature(*drawn(count)) for _ in range(100)]
        return sum(probabilities(others[0], others[1] / scale)["log_loss"] > before for scale in scales)

    assert worse(16) >= 8
    assert worse(200) == 0


def test_the_bound_is_the_exact_one():
    for errors, count in ((0, 10), (3, 200), (50, 60), (7, 7)):
        exact = binomtest(errors, count, alternative="less").proportion_ci(0.99).high
        assert error_bound(errors, count, 0.01) == pytest.approx(exact)


def validation(rng, count, spread=3.0):
    """Labels and honest logits: the chance that a verdict is right is what its logit says."""
    logit = rng.normal(0, spread, count)
    return (rng.random(count) < 1 / (1 + np.exp(-logit))).astype(int), logit


def test_of_many_validation_sets_no_more_than_one_in_twenty_breaks_its_promise():
    """Where a cut says that it keeps to the rate, the true rate beyond it is above that in at most 5 % of cases.

    Each verdict's cut has a chance of its own to be wrong; 400 are tried of each.
    """
    rng = np.random.default_rng(2)
    truth = validation(rng, 400_000)
    broken = reached = 0
    for _ in range(400):
        found = band(*validation(rng, 3000), 0.05)
        for side, beyond, wrong in (("fake", -1, 1), ("real", 1, 0)):
            if not found[side]["reached"]:
                continue
            reached += 1
            sure = beyond * truth[1] >= beyond * found[side]["cut"]
            broken += (truth[0][sure] == wrong).mean() > 0.05
    assert reached > 700
    assert broken / reached <= 0.05


def test_it_counts_what_lies_beyond_the_cut():
    label, logit = validation(np.random.default_rng(3), 5000)
    found = band(label, logit, 0.05)
    fake, real = found["fake"], found["real"]
    assert fake["reached"]
    assert real["reached"]
    assert fake["cut"] < 0 < real["cut"]
    for side, sure, wrong in ((fake, logit <= fake["cut"], 1), (real, logit >= real["cut"], 0)):
        assert side["kept"] == sure.sum()
        assert side["errors"] == (label[sure] == wrong).sum()
        assert side["bound"] == error_bound(side["errors"], side["kept"], 0.05 / 20) <= 0.05
    assert (fake["called"], real["called"]) == ((logit < 0).sum(), (logit >= 0).sum())
    strict = band(label, logit, 0.02)
    assert strict["fake"]["cut"] < fake["cut"], "fewer errors, fewer sure verdicts"


def test_with_too_few_images_it_says_so_and_keeps_the_best_it_can_show():
    label = np.repeat([0, 1], 100)
    found = band(label, np.where(label == 1, 2.0, -2.0) + np.arange(200) / 1000, 0.01)
    for side in ("fake", "real"):
        assert not found[side]["reached"], "100 images without error do not show 1 %"
        assert found[side]["kept"] == 100, "the most images have the lowest bound"
        assert 0.01 < found[side]["bound"] < 0.1


def test_equal_logits_are_on_one_side_of_the_cut():
    label = np.array([0] * 600 + [1] * 100 + [0] * 400)
    logit = np.array([-3.0] * 600 + [-1.0] * 500)
    found = band(label, logit, 0.01)["fake"]
    assert (found["cut"], found["kept"], found["errors"], found["reached"]) == (-3.0, 600, 0, True)


def test_a_verdict_that_was_never_given_or_only_wrongly_is_never_sure():
    found = band(np.zeros(1000, int), np.linspace(-5, -1, 1000), 0.01)
    assert found["real"]["cut"] is None
    assert found["real"]["bound"] is None
    assert found["fake"]["reached"]
    assert band(np.ones(1000, int), np.linspace(-5, -1, 1000), 0.01)["fake"]["cut"] is None
    json.dumps(found)  # goes into files as it is
