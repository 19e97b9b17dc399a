"""Mean spectra of images: the regular traces that generators leave. No torch."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

CHUNK = 64  # images transformed at a time


@dataclass(frozen=True)
class Spectrum:
    """Spectra of a set of images. Powers are in decibels, 10·log10 of |F|² with grey values from 0 to 1.

    `mean`: float (size, size), the mean over images, zero frequency in the middle. `profiles`: float (n, size //
    2), each image's means over rings of equal frequency; ring i holds the frequencies whose distance from zero, in
    cycles per image, rounds to i + 1.
    """

    mean: np.ndarray
    profiles: np.ndarray


def spectrum(store: np.ndarray, rows: Iterable[int]) -> Spectrum:
    """Compute the spectra of these rows of a packed store, uint8 (N, size, size, 3); at least one.

    Grey (the luma of ITU-R BT.601), minus its mean, times a Hann window, which suppresses the cross that the jump
    between opposite borders makes. The mean is taken of the logarithms: one odd image counts as one. Spectra of
    generated images show peaks where layers enlarge their input (Zhang, Karaman & Chang 2019; Frank et al. 2020).
    """
    rows = np.asarray(list(rows))
    size = store.shape[1]
    window = np.outer(*[np.hanning(size + 1)[:-1]] * 2)
    rings, inside = _rings(size)
    counts = np.bincount(rings[inside])[1:]
    total, profiles = np.zeros((size, size)), []
    for start in range(0, len(rows), CHUNK):
        pixels = np.stack([store[row] for row in rows[start : start + CHUNK]])
        grey = pixels @ np.array([0.299, 0.587, 0.114]) / 255
        grey -= grey.mean(axis=(1, 2), keepdims=True)
        power = np.abs(np.fft.fft2(grey * window)) ** 2
        # A black image has no power at all; what is below a millionth of a grey level's is rounding.
        levels = np.fft.fftshift(10 * np.log10(power + 1e-12), axes=(1, 2))
        total += levels.sum(axis=0)
        profiles += [np.bincount(rings[inside], level[inside])[1:] / counts for level in levels]
    return Spectrum(total / len(rows), np.array(profiles))


def frequencies(size: int) -> np.ndarray:
    """Frequency of each ring in cycles per pixel, float (size // 2,); the last is the highest, one half."""
    return np.arange(1, size // 2 + 1) / size


def difference(first: Spectrum, second: Spectrum) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean of `second`'s profiles minus that of `first`'s, with the bounds of its 95 % interval.

    Each float (size // 2,). Welch's standard error, normal. For each frequency by itself: of 20 rings one is
    expected outside by chance.
    """
    mean = second.profiles.mean(axis=0) - first.profiles.mean(axis=0)
    variance = np.zeros(len(mean))
    for part in (first, second):
        n = len(part.profiles)
        variance += part.profiles.var(axis=0, ddof=1) / n if n > 1 else np.nan  # of one nobody knows the spread
    return mean, mean - 1.96 * np.sqrt(variance), mean + 1.96 * np.sqrt(variance)


def _rings(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Each frequency's ring, int (size, size), zero in the middle, and which ones lie on a whole ring but zero."""
    along = np.fft.fftshift(np.fft.fftfreq(size, 1 / size))
    rings = np.rint(np.hypot(*np.meshgrid(along, along))).astype(int)
    return rings, (rings > 0) & (rings <= size // 2)
