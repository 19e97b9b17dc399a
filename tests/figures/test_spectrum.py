"""Spectra are drawn of both classes with their difference, or of the one that there is."""

import numpy as np
import pytest

from detector.core.errors import DetectorError
from detector.figures import spectrum
from detector.stats.spectra import Spectrum
from tests.support.figures import texts, twice


def some(level, n=30):
    rng = np.random.default_rng(int(level))
    return Spectrum(rng.normal(level, 1, (16, 16)), rng.normal(level, 1, (n, 8)))


def test_spectra_of_both_classes_and_of_one(tmp_path):
    path = twice(lambda p: spectrum.mean_spectra(p, {"real": some(1), "fake": some(4)}, "title"), tmp_path)
    words = texts(path)
    assert {"real (n = 30)", "fake (n = 30)", "fake less real", "real", "fake"} <= set(words)
    spectrum.mean_spectra(path, {"fake": some(4)}, "title")
    assert "fake less real" not in texts(path)
    with pytest.raises(DetectorError, match="no images"):
        spectrum.mean_spectra(path, {}, "title")
    one = {"real": some(1, n=1), "fake": some(4, n=1)}
    spectrum.mean_spectra(path, one, "title")
