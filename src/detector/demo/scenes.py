"""Demo photographs: "dead leaves" scenes behind a lens, on a noisy sensor (references in `generate`)."""

import math

import numpy as np

PAN = 2  # pixels that a clip's scene moves by from frame to frame


def scene(rng: np.random.Generator, size: int, frames: int = 1) -> np.ndarray:
    """Dead-leaves scene behind a lens, panned by PAN pixels per frame: float32 (frames, size, size, 3) in 0..1."""
    h, w, n = size, size + PAN * (frames - 1), size
    y, x = np.mgrid[:h, :w].astype(np.float32)
    texture = _pink(rng, 2 * w)
    # Radii of density r^-2 make areas, and so the picture, look alike at every scale. The first is the background.
    low, high = 2.5, size / 2.5
    radii = low / (1 - rng.random(n) * (1 - low / high))
    radii[0] = 8 * size
    centres = rng.uniform(-0.1, 1.1, (n, 2)) * (h, w)
    turns = np.exp(1j * rng.uniform(0, 2 * np.pi, n))
    aspects = rng.uniform(0.4, 1, n)
    powers = rng.choice([1, 2, 2, 6], n)  # diamonds, ellipses, rounded boxes
    offsets = rng.integers(0, w, (n, 2))
    # Of a scene's few hues, as a place has few materials; shaded across by `slopes`, roughened by `grains`.
    hues = rng.choice(rng.uniform(0, 2 * np.pi, 3), n) + rng.normal(0, 0.2, n)
    phases = hues[:, None] + np.arange(3) * 2 * np.pi / 3
    colours = rng.uniform(0.1, 0.75, (n, 1)) * (1 + rng.beta(1.5, 9, (n, 1)) * np.cos(phases))
    slopes, grains = rng.uniform(0, 0.35, n), rng.uniform(0.01, 0.08, n)

    picture = np.zeros((h, w, 3), np.float32)
    for i, radius in enumerate(radii):
        (cy, cx), (ty, tx) = centres[i], offsets[i]
        rows = slice(max(0, int(cy - radius)), min(h, max(0, int(cy + radius) + 2)))
        columns = slice(max(0, int(cx - radius)), min(w, max(0, int(cx + radius) + 2)))
        dy, dx = y[rows, :1] - cy, x[:1, columns] - cx
        c, s = turns[i].real / radius, turns[i].imag / radius
        u, v = c * dx + s * dy, (c * dy - s * dx) / aspects[i]
        distance = (np.abs(u) ** powers[i] + np.abs(v) ** powers[i]) ** (1 / powers[i])
        cover = np.clip((1 - distance) * (0.7 * radius) + 0.5, 0, 1)[..., None]
        rough = texture[ty : ty + u.shape[0], tx : tx + u.shape[1]]
        light = (1 + slopes[i] * np.clip(u, -1, 1) + grains[i] * rough)[..., None]
        picture[rows, columns] += cover * (light * colours[i] - picture[rows, columns])
    picture = _blurred(np.clip(picture, 0, 1), rng.uniform(0.35, 0.6))
    return np.stack([picture[:, PAN * i : PAN * i + size] for i in range(frames)])


def _pink(rng: np.random.Generator, size: int) -> np.ndarray:
    """float32 (size, size): noise of amplitude 1/f and unit variance, the spectrum of natural textures."""
    f = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size))
    f[0, 0] = np.inf
    noise = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((size, size))) / f, s=(size, size))
    return (noise / noise.std()).astype(np.float32)


def _blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    """(H, W, 3) through a separable Gaussian of three taps: the softness of a lens."""
    side = math.exp(-0.5 / sigma**2)
    a, b = side / (1 + 2 * side), 1 / (1 + 2 * side)
    for axis in (0, 1):
        padded = np.pad(image, [(1, 1) if axis == i else (0, 0) for i in range(3)], mode="edge")
        before, after = (padded[:-2], padded[2:]) if axis == 0 else (padded[:, :-2], padded[:, 2:])
        image = a * (before + after) + b * image
    return image


def sensor(rng: np.random.Generator, frames: np.ndarray) -> np.ndarray:
    """Add shot noise (its variance grows with light) and read noise of one random exposure; returns uint8.

    `frames`: float32 (n, h, w, 3) in 0..1; all frames share the exposure.
    """
    read, shot = rng.uniform(0.003, 0.009), rng.uniform(0.007, 0.015)
    noise = rng.standard_normal(frames.shape, np.float32) * np.sqrt(read**2 + shot**2 * np.clip(frames, 0, 1))
    return np.clip((frames + noise) * 255 + 0.5, 0, 255).astype(np.uint8)
