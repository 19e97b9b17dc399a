"""Mean spectra of real and fake images, and their difference."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from detector.core.errors import DetectorError
from detector.figures import drawing
from detector.stats.spectra import Spectrum, difference, frequencies


def mean_spectra(path: Path | str, spectra: Mapping[str, Spectrum], title: str) -> None:
    """Draw mean spectra of real and of fake images, their difference, and both profiles from coarse to fine.

    `spectra`: under `real` and `fake`, either of which may be missing: then there is no difference. Raises
    `DetectorError` where both are.
    """
    real, fake = spectra.get("real"), spectra.get("fake")
    if real is None and fake is None:
        raise DetectorError(f"{path}: no images to take a spectrum of")
    values = np.concatenate([part.mean.ravel() for part in spectra.values()])
    low, high = np.percentile(values, [0.5, 99.5])
    shown = {f"{name} (n = {len(part.profiles):,})": part for name, part in spectra.items()}
    if real is None or fake is None:
        with drawing.figure(path, title, 8.0, 3.0) as figure:
            left, right = figure.subplots(1, 2)
            for name, part in shown.items():
                _map(left, part.mean, name, low, high, "mean power (dB)")
            _profiles([right], spectra)
        return
    with drawing.figure(path, title, 11.5, 5.2) as figure:
        above, below = figure.subfigures(2, 1, height_ratios=(1.1, 1))
        panels = above.subplots(1, 3)
        for axes, (name, part) in zip(panels, shown.items(), strict=False):
            _map(axes, part.mean, name, low, high, "mean power (dB)")
        apart = fake.mean - real.mean
        limit = max(float(np.percentile(np.abs(apart), 99.8)), 0.1)
        _map(panels[2], apart, "fake less real", -limit, limit, "difference (dB)")
        _profiles(below.subplots(1, 2), spectra)


def _map(axes: Axes, values: np.ndarray, title: str, low: float, high: float, label: str) -> None:
    shades = axes.imshow(values, cmap="gray", vmin=low, vmax=high, extent=(-0.5, 0.5, 0.5, -0.5))
    axes.set_title(title)
    axes.grid(visible=False)
    axes.set_xticks([-0.5, 0, 0.5])
    axes.set_yticks([-0.5, 0, 0.5])
    axes.figure.colorbar(shades, ax=axes, label=label, shrink=0.9)


def _profiles(panels: Sequence[Axes], spectra: Mapping[str, Spectrum]) -> None:
    lines = {"real": {"color": "black", "linestyle": "-"}, "fake": {"color": drawing.ORANGE, "linestyle": "--"}}
    for name, part in spectra.items():
        along = frequencies(len(part.mean))
        panels[0].plot(along, part.profiles.mean(axis=0), label=name, **lines[name])
        low, high = np.percentile(part.profiles, [10, 90], axis=0)
        panels[0].fill_between(along, low, high, color=lines[name]["color"], alpha=0.12, linewidth=0)
    panels[0].set_ylabel("power (dB)")
    panels[0].legend(title="mean, 10 to 90 % of images")
    if len(spectra) == 2:
        mean, low, high = difference(spectra["real"], spectra["fake"])
        panels[1].axhline(0, color="0.3", linewidth=0.8)
        panels[1].fill_between(along, low, high, color="0.75", linewidth=0)
        panels[1].plot(along, mean, color="black")
        panels[1].set_ylabel("fake less real (dB)")
    for axes in panels:
        axes.set_xlabel("frequency (cycles a pixel): coarse to fine")
