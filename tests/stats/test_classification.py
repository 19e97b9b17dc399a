"""The numbers equal scikit-learn's with fake as the positive class, what is undefined is empty, never 0, and
intervals are the published ones and hold the true share."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, t
from sklearn import metrics as reference
from statsmodels.stats.proportion import proportion_confint

from detector.stats import classification, intervals


@settings(deadline=None)  # a busy machine is no fault
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(-3, 3)), min_size=1, max_size=60))
def test_equal_to_scikit_learn(rows):
    """Integer logits: ties, and logits of exactly 0, come up often."""
    label, logit = np.array([r[0] for r in rows]), np.array([r[1] for r in rows], float)
    got = classification.measure(label, logit)
    fake, called = label == 0, logit < 0
    assert got["n"] == len(rows)
    assert got["accuracy"] == pytest.approx(reference.accuracy_score(fake, called))
    tn, fp, fn, tp = reference.confusion_matrix(fake, called, labels=[False, True]).ravel()
    assert (got["tp"], got["fp"], got["tn"], got["fn"]) == (tp, fp, tn, fn)
    for name, function in (
        ("precision", reference.precision_score),
        ("recall", reference.recall_score),
        ("f1", reference.f1_score),
    ):
        expected = function(fake, called, zero_division=np.nan)
        assert got[name] == pytest.approx(expected, nan_ok=True)
    if 0 < fake.sum() < len(fake):
        assert got["auc"] == pytest.approx(reference.roc_auc_score(fake, -logit))
    else:
        assert math.isnan(got["auc"])


def test_a_fake_only_test_set():
    got = classification.measure(np.zeros(4, int), np.array([-1.0, -2.0, 3.0, -0.5]))
    assert got["accuracy"] == got["recall"] == 0.75
    assert got["precision"] == 1.0
    assert math.isnan(got["auc"])


def test_no_images_at_all():
    got = classification.measure(np.empty(0, int), np.empty(0))
    assert got["n"] == 0
    rates = set(classification.METRIC_COLUMNS) - {"n", "tp", "fp", "tn", "fn"}
    assert all(math.isnan(got[name]) for name in rates)


def test_a_logit_above_zero_is_real():
    assert classification.measure(np.array([1, 0]), np.array([2.0, -2.0]))["accuracy"] == 1.0


@pytest.mark.parametrize(
    ("right", "n", "expected"),
    # Newcombe 1998, Statistics in Medicine 17:857, Table I, method 3; the last is the third's mirror image.
    [
        (81, 263, (0.2553, 0.3662)),
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0.0, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
        (20, 20, (0.8389, 1.0)),
    ],
)
def test_wilson_agrees_with_published_values(right: int, n: int, expected: tuple[float, float]) -> None:
    assert intervals.wilson(right / n, n) == pytest.approx(expected, abs=5e-5)


def test_wilson_equals_statsmodels():
    for right, n in ((0, 1), (1, 1), (3, 7), (50, 100), (8734, 10_000)):
        expected = proportion_confint(right, n, method="wilson")
        assert intervals.wilson(right / n, n) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("n", [30, 200, 2000])
def test_wilson_covers_at_its_level(n):
    """Exactly, by the binomial chances: on average over true shares, and for none of them far below."""
    bounds = np.array([intervals.wilson(right / n, n) for right in range(n + 1)])
    shares = np.linspace(0.5, 1 - 2 / n, 200)
    held = [binom.pmf(np.arange(n + 1), n, p)[(bounds[:, 0] <= p) & (p <= bounds[:, 1])].sum() for p in shares]
    assert 0.945 <= np.mean(held) <= 0.96
    assert min(held) > 0.9


@pytest.mark.parametrize(("groups", "size", "alike"), [(20, 9, 0.5), (100, 9, 0.5), (100, 9, 0.0), (40, 3, 1.0)])
def test_an_interval_by_groups_covers_where_that_by_images_does_not(groups, size, alike):
    """`alike`: the chance that an image does what its group does, instead of what its own draw says."""
    rng, share, held, plain = np.random.default_rng(0), 0.85, 0, 0
    group = np.repeat(np.arange(groups), size)
    for _ in range(2000):
        own, common = rng.random(groups * size) < share, (rng.random(groups) < share)[group]
        right = np.where(rng.random(groups * size) < alike, common, own)
        low, high = intervals.wilson_grouped(right, group)
        held += low <= share <= high
        low, high = intervals.wilson(right.mean(), len(right))
        plain += low <= share <= high
    assert (0.92 if groups < 40 else 0.935) <= held / 2000 <= 0.99
    assert (plain / 2000 < 0.9) == (alike > 0)


def test_an_interval_by_groups_at_its_ends():
    each, pairs, right = np.arange(8), np.repeat(np.arange(4), 2), np.arange(8) < 6
    assert intervals.wilson_grouped(right, each) == intervals.wilson(0.75, 8)
    few = (t.ppf(0.975, 7) / t.ppf(0.975, 3)) ** 2
    assert intervals.wilson_grouped(right | True, pairs) == pytest.approx(intervals.wilson(1.0, 4 * few))
    assert all(map(math.isnan, intervals.wilson_grouped(right, np.zeros(8, int))))
    assert all(map(math.isnan, intervals.wilson_grouped(right[:0], each[:0])))


def test_accuracy_comes_with_its_interval():
    got = classification.measure(np.array([1, 0, 0]), np.array([1.0, -1.0, 1.0]))
    assert (got["accuracy_low"], got["accuracy_high"]) == intervals.wilson(2 / 3, 3)
