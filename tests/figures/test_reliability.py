"""Reliability diagrams show the errors of metrics.csv, at a temperature fitted on validation images."""

import numpy as np
import pytest
from scipy.special import expit

from detector.figures import reliability
from detector.stats import calibration
from detector.stats.calibration import BINS, probabilities, temperature
from tests.support.figures import measured, run_predictions, scored, texts


def test_the_bins_are_those_of_the_calibration_error():
    label, logit = scored("x", 70, 61)
    chance, share, count = calibration.reliability(label, logit)
    assert (len(count), count.sum()) == (BINS, 131)
    assert (np.abs(chance - share) * count).sum() / 131 == pytest.approx(probabilities(label, logit)["ece"])
    assert (chance * count).sum() == pytest.approx(expit(-logit).sum())


def test_fewer_images_than_bins():
    chance, share, count = calibration.reliability(np.array([0, 1, 0]), np.array([-1.0, 2.0, 0.5]))
    assert (share.tolist(), count.tolist()) == ([1, 1, 0], [1, 1, 1])
    assert chance == pytest.approx(expit([1.0, -0.5, -2.0]))


def test_the_figure_shows_the_errors_of_the_table(tmp_path):
    found = run_predictions(("baseline", "l1-00", "l1-40", "random-40"))
    reliability.draw(tmp_path / "reliability.svg", found, "resnet18", 0)
    expected = [
        f"T = {row['temperature']:.2f}, ECE {row['ece']:.3f} → {row['ece_scaled']:.3f}"
        for _, row in measured(found).xs("combined", level="testset").iterrows()
    ]
    assert [text for text in texts(tmp_path / "reliability.svg") if text.startswith("T = ")] == expected


def test_the_temperature_is_that_of_validation_images(tmp_path):
    label, logit = scored("x", 300, 300)
    reliability.reliability_diagrams(tmp_path / "x.svg", {"l1-40": ((label, 3 * logit), (label, logit))}, "T")
    heat = temperature(label, 3 * logit)
    assert any(text.startswith(f"T = {heat:.2f}, ") for text in texts(tmp_path / "x.svg"))
