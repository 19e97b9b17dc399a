"""A spectrum has its peaks where the image's periods are, rings hold the frequencies that they say, and a
difference of classes is found where it is."""

import numpy as np
import pytest

from detector.stats import spectra
from detector.stats.spectra import difference, frequencies, spectrum


def grey(values):
    """uint8 (n, size, size, 3) from values in 0 … 1."""
    return np.repeat(np.rint(255 * np.clip(values, 0, 1)).astype(np.uint8)[..., None], 3, axis=3)


def noise(n, size, seed):
    return np.random.default_rng(seed).normal(0.5, 0.1, (n, size, size))


@pytest.mark.parametrize("period", [4, 8])
def test_a_period_is_a_peak_at_its_frequency(period):
    x = np.arange(64)
    images = noise(5, 64, 0) + 0.2 * np.cos(2 * np.pi * x / period)
    found = spectrum(grey(images), range(5))
    assert found.mean.shape == (64, 64)
    assert found.profiles.shape == (5, 32)
    peak = np.unravel_index(found.mean.argmax(), found.mean.shape)
    assert peak[0] == 32, "the wave runs along x alone"
    assert abs(peak[1] - 32) == 64 // period
    without = spectrum(grey(noise(5, 64, 0)), range(5))
    most = frequencies(64)[(found.profiles - without.profiles).mean(axis=0).argmax()]
    assert most == pytest.approx(1 / period, abs=1 / 64), "to within the width of the window"


def test_white_noise_is_flat_and_as_strong_as_it_is():
    found = spectrum(grey(noise(40, 32, 1)), range(40))
    profile = found.profiles.mean(axis=0)[2:]  # a window spreads the lowest ones
    assert np.ptp(profile) < 1.5
    # |F|² of white noise is its variance times the sum of the squared window; the mean of the logarithm of an
    # exponential variable lies 2.51 dB below the logarithm of its mean.
    window = np.hanning(33)[:-1]
    expected = 10 * np.log10(0.1**2 * (window**2).sum() ** 2) - 2.51
    assert profile.mean() == pytest.approx(expected, abs=0.3)


def test_chunks_change_nothing(monkeypatch):
    store = grey(noise(7, 16, 2))
    whole = spectrum(store, [6, 1, 3, 0])
    monkeypatch.setattr(spectra, "CHUNK", 3)
    parts = spectrum(store, [6, 1, 3, 0])
    assert parts.mean == pytest.approx(whole.mean)
    assert (parts.profiles == whole.profiles).all()


def test_rings_hold_every_frequency_up_to_one_half_once():
    rings, inside = spectra._rings(16)
    assert rings[8, 8] == 0
    assert not inside[8, 8]
    assert set(rings[inside]) == set(range(1, 9))
    assert frequencies(16)[[0, -1]].tolist() == [1 / 16, 0.5]
    assert not inside[0, 0], "the corners are above one half"


def test_a_black_image_is_no_error():
    found = spectrum(np.zeros((2, 16, 16, 3), np.uint8), [0, 1])
    assert np.isfinite(found.mean).all()


def test_a_difference_is_found_where_it_is_and_nowhere_else():
    real, fake = noise(150, 32, 3), noise(150, 32, 4)
    fake += 0.02 * np.cos(np.pi * np.arange(32))  # the highest frequency
    mean, low, high = difference(spectrum(grey(real), range(150)), spectrum(grey(fake), range(150)))
    assert low[-1] > 0
    assert (low <= mean).all()
    assert (mean <= high).all()
    outside = ((low > 0) | (high < 0))[:-2]
    assert outside.mean() <= 0.2
    assert (high - low)[-1] < 0.5


def test_the_interval_of_a_difference_covers():
    covered = []
    for seed in range(60):
        parts = [spectrum(grey(noise(20, 16, 100 + 2 * seed + i)), range(20)) for i in range(2)]
        _, low, high = difference(*parts)
        covered.append((low <= 0) & (high >= 0))
    assert 0.9 <= np.mean(covered) <= 0.98
