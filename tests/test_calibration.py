"""The temperature makes probabilities right on validation images, and changes no verdict."""

import numpy as np
import pytest

from detector.calibration import HIGHEST, LOWEST, temperature


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


def test_it_stays_in_its_bounds():
    label = np.array([0, 1, 0, 1])
    assert temperature(label, np.array([-1.0, 2.0, -3.0, 4.0])) == pytest.approx(LOWEST, rel=0.01)
    assert temperature(1 - label, np.array([-1.0, 2.0, -3.0, 4.0])) == pytest.approx(HIGHEST, rel=0.01)
