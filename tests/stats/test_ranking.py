"""Threshold-free numbers and probabilities equal scikit-learn's with fake as the positive class, the interval of
the area under the curve holds it as often as it says, and what is undefined is NaN."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import expit
from scipy.special import logit as logodds
from scipy.stats import norm
from sklearn import metrics as reference
from sklearn.calibration import calibration_curve

from detector.stats import calibration, ranking
from detector.stats.auc import auc

# Integer logits: ties come up often. Both classes are there.
MIXED = st.lists(st.tuples(st.integers(0, 1), st.integers(-4, 4)), min_size=2, max_size=60).filter(
    lambda rows: len({label for label, _ in rows}) == 2
)


def arrays(rows):
    return np.array([row[0] for row in rows]), np.array([row[1] for row in rows], float)


def drawn(rng, reals, fakes, shift=1.5, spread=1.0):
    """Normal logits, `shift` on the right side of 0."""
    label = np.repeat([1, 0], [reals, fakes])
    return label, rng.normal(np.where(label == 1, shift, -shift), spread)


@settings(deadline=None)  # a busy machine is no fault
@given(MIXED)
def test_ranking_equals_scikit_learn(rows):
    label, logit = arrays(rows)
    got = ranking.ranking(label, logit)
    fake = label == 0
    assert got["average_precision"] == pytest.approx(reference.average_precision_score(fake, -logit))
    false, true, _ = reference.roc_curve(fake, -logit, drop_intermediate=False)
    assert got["eer"] == pytest.approx(equal_rates(false, true), abs=1e-9)


def equal_rates(false, true):
    """Where the error rates meet, by walking along the curve: its corners are 0 to k, and points lie between."""
    corner = np.arange(len(false))
    at = brentq(lambda x: np.interp(x, corner, false) + np.interp(x, corner, true) - 1, 0, corner[-1], xtol=1e-12)
    return np.interp(at, corner, false)


def test_recall_at_one_percent_false_alarms():
    label, logit = drawn(np.random.default_rng(0), 1000, 700)
    false, true, _ = reference.roc_curve(label == 0, -logit, drop_intermediate=False)
    assert ranking.ranking(label, logit)["tpr_at_1_percent_fpr"] == true[false <= 0.01].max()
    worked = np.concatenate([np.arange(100.0), [-1.0, 0.5, 1.5]])  # of 100 real images the first may be wrong
    assert ranking.ranking(np.repeat([1, 0], [100, 3]), worked)["tpr_at_1_percent_fpr"] == pytest.approx(2 / 3)


def test_with_fewer_than_100_real_images_one_percent_is_less_than_one():
    label, logit = drawn(np.random.default_rng(0), 99, 200)
    assert math.isnan(ranking.ranking(label, logit)["tpr_at_1_percent_fpr"])


def test_the_equal_error_rate_of_normal_scores():
    """Two normal distributions with equal spread: the error is the same on both sides of the middle."""
    label, logit = drawn(np.random.default_rng(0), 100_000, 50_000, shift=1.0)
    assert ranking.ranking(label, logit)["eer"] == pytest.approx(norm.sf(1.0), abs=0.005)


@pytest.mark.parametrize("shift", [0.0, 0.5, 1.2])
def test_the_interval_of_the_area_covers_at_its_level(shift):
    """Areas of 0.5, 0.76 and 0.955; the percentiles of the resamples hold the last too rarely."""
    rng = np.random.default_rng(1)
    true = norm.cdf(2 * shift / math.sqrt(2))
    rounds = 500
    found = [ranking.auc_interval(*drawn(rng, 120, 80, shift), rounds=400, seed=i) for i in range(rounds)]
    held = np.mean([low <= true <= high for low, high in found])
    assert 0.95 - 3 * math.sqrt(0.95 * 0.05 / rounds) <= held < 0.99


def test_the_interval_is_that_of_resampled_scikit_learn():
    """Ties, unequal classes, and more images than are held at a time."""
    rng = np.random.default_rng(2)
    label, logit = drawn(rng, 300, 100, shift=0.5)
    logit = logit.round(1)
    real, fake = logit[label == 1], logit[label == 0]
    resampled = [  # percentiles: with so many images and an area far from 1 they are as good
        reference.roc_auc_score(label == 0, -np.concatenate([rng.choice(real, 300), rng.choice(fake, 100)]))
        for _ in range(1000)
    ]
    expected = np.quantile(resampled, [0.025, 0.975])
    assert ranking.auc_interval(label, logit) == pytest.approx(expected, abs=0.005)
    low, high = ranking.auc_interval(label, logit)
    assert low < auc(label, logit) < high


def test_the_interval_repeats():
    label, logit = drawn(np.random.default_rng(3), 50, 50)
    assert ranking.auc_interval(label, logit) == ranking.auc_interval(label, logit)
    assert ranking.auc_interval(label, logit) != ranking.auc_interval(label, logit, seed=1)


@settings(deadline=None)
@given(MIXED)
def test_no_other_cut_is_better(rows):
    label, logit = arrays(rows)
    found = ranking.best_cut(label, logit)
    if len(set(logit)) == 1:
        assert math.isnan(found), "none tells them apart"
        return

    def balanced(cut):
        return reference.balanced_accuracy_score(label == 0, logit < cut)

    cuts = np.arange(-5, 6) + 0.5
    best = max(balanced(cut) for cut in cuts)
    assert balanced(found) == pytest.approx(best)
    closest = min(abs(cut) for cut in cuts if balanced(cut) == pytest.approx(best))
    # Between two logits that leave out whole numbers it lies elsewhere; beyond all of them, one away: 5, not 4.5.
    assert min(abs(found), 4.5) <= closest + 1e-9 or len(set(logit)) < 9


def test_the_cut_is_what_a_table_prints():
    label, logit = drawn(np.random.default_rng(4), 200, 200)
    cut = ranking.best_cut(label, logit)
    assert cut == float(f"{cut:.6g}") != 0


@settings(deadline=None)
@given(MIXED)
def test_probabilities_equal_scikit_learn(rows):
    label, logit = arrays(rows)
    got, fake = calibration.probabilities(label, logit), label == 0
    assert got["brier"] == pytest.approx(reference.brier_score_loss(fake, expit(-logit)))
    assert got["log_loss"] == pytest.approx(reference.log_loss(fake, expit(-logit)))


def test_the_calibration_error_equals_scikit_learn_s_bins():
    label, logit = drawn(np.random.default_rng(5), 900, 600)
    frequency, probability = calibration_curve(label == 0, expit(-logit), n_bins=15, strategy="quantile")
    assert len(frequency) == calibration.BINS
    expected = np.abs(frequency - probability).mean()  # equal mass
    assert calibration.probabilities(label, logit)["ece"] == pytest.approx(expected, rel=1e-9)


def test_honest_probabilities_have_little_calibration_error_and_bold_ones_much():
    rng = np.random.default_rng(6)
    logit = rng.normal(0, 2, 60_000)
    label = (rng.random(len(logit)) < expit(logit)).astype(int)
    assert calibration.probabilities(label, logit)["ece"] < 0.01
    assert calibration.probabilities(label, 4 * logit)["ece"] > 0.1


def test_images_of_one_logit_are_one_whatever_order_they_are_listed_in():
    """Scores with one digit, as some detectors give them; one score for all is as wrong as the share differs."""
    rng = np.random.default_rng(7)
    chance = rng.uniform(0, 1, 6000).round(1).clip(0.05, 0.95)
    label, logit = (rng.random(6000) >= chance).astype(int), -logodds(chance)
    found = []
    for order in (np.arange(6000), rng.permutation(6000), np.argsort(label, kind="stable"), np.argsort(-label)):
        diagram = calibration.reliability(label[order], logit[order])
        found.append((calibration.probabilities(label[order], logit[order])["ece"], *diagram[:2]))
    for ece, said, share in found:
        assert ece < 0.02
        assert ece == pytest.approx(found[0][0])
        for mine, first in zip((said, share), found[0][1:], strict=True):
            assert mine == pytest.approx(first)
    one, same = np.repeat([0, 1], [70, 30]), np.full(100, -logodds(0.7))
    assert calibration.probabilities(one, same)["ece"] == pytest.approx(0)
    assert calibration.reliability(one, same)[1] == pytest.approx(0.7)
    assert calibration.probabilities(one, np.zeros(100))["ece"] == pytest.approx(0.2)


def test_a_logit_that_is_certain_and_wrong_costs_its_size():
    assert calibration.probabilities(np.array([1]), np.array([-1000.0]))["log_loss"] == 1000


@pytest.mark.parametrize("label", [[0, 0, 0], [1, 1, 1], []])
def test_one_class_has_no_ranking_and_no_cut(label):
    logit = np.arange(len(label)) - 1.0
    assert all(map(math.isnan, ranking.ranking(label, logit).values()))
    assert math.isnan(ranking.best_cut(label, logit))
    assert all(math.isnan(value) != bool(label) for value in calibration.probabilities(label, logit).values())


@pytest.mark.parametrize("logit", [[1, 2, -1, -2], [-1, -2, 1, 2], [0, 0, 0, 0]])
def test_where_no_resample_differs_there_is_no_interval(logit):
    assert all(map(math.isnan, ranking.auc_interval(np.array([1, 1, 0, 0]), np.array(logit))))
    assert all(map(math.isnan, ranking.auc_interval(np.array([1, 0, 0]), np.array([1.0, -1.0, 2.0])))), "one image"


def test_delong_is_the_test_by_its_definition():
    """Placements by comparing every fake with every real image, ties one half; covariances by numpy."""
    rng = np.random.default_rng(3)
    label = rng.permutation(np.repeat([0, 1], [40, 70]))
    first = np.round(rng.normal(label, 1.5), 1)
    second = np.round(first + rng.normal(label, 1.0), 1)
    found = ranking.delong(label, first, second)
    fake, real = label == 0, label == 1
    above = [
        (s[real][None] > s[fake][:, None]) + 0.5 * (s[real][None] == s[fake][:, None]) for s in (first, second)
    ]
    difference = above[1].mean() - above[0].mean()
    spread = np.cov([a.mean(axis=1) for a in above]) / 40 + np.cov([a.mean(axis=0) for a in above]) / 70
    deviation = np.sqrt(spread[0, 0] + spread[1, 1] - 2 * spread[0, 1])
    assert found["difference"] == pytest.approx(difference)
    assert found["p"] == pytest.approx(2 * norm.sf(abs(difference) / deviation))
    assert (found["low"], found["high"]) == pytest.approx(
        (difference - 1.959964 * deviation, difference + 1.959964 * deviation), abs=1e-6
    )
