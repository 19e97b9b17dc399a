"""Charts of what was probed: perturbed images, where networks look, and spectra. Style as in `figures`."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from PIL import Image

from detector import drawing
from detector.errors import DetectorError
from detector.perturbations import CHAIN, CLEAN, strength
from detector.spectra import Spectrum, difference, frequencies

BASELINE, DENSE_CONTROL = "baseline", "l1-00"
WIDTH = 0.7  # of a place on the axis, shared by the branches; less where they are few
UNITS = {
    "jpeg": "JPEG quality",
    "webp": "WebP quality",
    "scale": "scaled down to (share of the side)",
    "blur": "blur (standard deviation, px)",
    "noise": "noise (standard deviation, of 255)",
    "crop": "crop (share of the side)",
    CHAIN: "chains of steps",
}


def robustness(path: Path | str, table: pd.DataFrame, title: str) -> None:
    """Accuracy of each branch under each perturbation, a panel a kind, stronger to the right, clean at the left.

    `table`: robustness.csv of one architecture, seed and test set. Bars are 95 % intervals (Wilson). Branches
    stand side by side at each place; each has a marker of its own, and within a method the more pruned are
    darker.
    """
    table = table.drop_duplicates(["branch", "perturbation"])
    styles = _styles(table["branch"].unique())
    with _panels(path, table, title, "accuracy (%)", styles) as panels:
        for axes, part in panels:
            clean = table[table["perturbation"] == CLEAN]
            _places(
                axes, pd.concat([clean, part]), styles, ("accuracy", "accuracy_low", "accuracy_high"), lines=True
            )


def brittleness(path: Path | str, table: pd.DataFrame, reference: str, title: str) -> None:
    """How much more each branch's accuracy changed than that of `reference`, below 0 = more brittle.

    `table`: rows of robustness.csv with this reference, of one architecture, seed and test set. Bars are paired
    95 % intervals of one comparison each; the grey band is the margin. A filled marker has a verdict of more or
    less brittle, corrected for all comparisons; a hollow one has not.
    """
    styles = _styles([reference, *table["branch"].unique()])
    styles.pop(reference)
    margin = 100 * table["margin"].iloc[0]
    label = f"change of accuracy less\nthat of {reference} (points)"
    with _panels(path, table, title, label, styles) as panels:
        for axes, part in panels:
            axes.axhspan(-margin, margin, color="0.85", zorder=0)
            axes.axhline(0, color="0.3", linewidth=0.8)
            _places(axes, part, styles, ("extra", "extra_low", "extra_high"), lines=False)


@contextmanager
def _panels(
    path: Path | str, table: pd.DataFrame, title: str, ylabel: str, styles: Mapping[str, Mapping]
) -> Iterator[list[tuple[Axes, pd.DataFrame]]]:
    """A figure with a panel for each kind of perturbation: pairs of axes and the kind's rows."""
    kinds = {name: part for name, part in table.groupby("kind", sort=False) if name != CLEAN}
    if not kinds:
        raise DetectorError(f"{path}: the table has no row of a perturbed image to show")
    shape = rows, columns = drawing.shape(len(kinds), 4)
    with drawing.figure(path, title, 3.0 * columns + 1.6, 2.3 * rows + 0.6) as figure:
        panels = drawing.panels(figure, len(kinds), shape, "", ylabel, share="y")
        for axes, name in zip(panels, kinds, strict=True):
            axes.set_xlabel(UNITS.get(name, name))
        yield list(zip(panels, kinds.values(), strict=True))
        drawing.legend(figure, styles, side=True)


def note(path: Path | str, title: str, text: str) -> None:
    """A figure that says why there is nothing to show."""
    with drawing.figure(path, title, 7.0, 1.2) as figure:
        figure.text(0.5, 0.3, text, ha="center")


def _styles(branches: Sequence[str]) -> dict[str, dict]:
    """A line style for each branch: marker by order, colour as in every figure."""
    markers, colours, styles = cycle("s^v<>P*Xhdp"), drawing.colours(branches), {}
    for name in branches:
        if name == BASELINE:
            styles[name] = {"marker": "o", "linestyle": (0, (4, 2))}
        elif name == DENSE_CONTROL:
            styles[name] = {"marker": "D", "linestyle": "none"}
        else:
            styles[name] = {"marker": next(markers), "linestyle": "none"}
    return {
        name: style | {"color": colours[name], "markersize": 4, "linewidth": 0.7} for name, style in styles.items()
    }


def _places(
    axes: Axes, table: pd.DataFrame, styles: Mapping[str, Mapping], columns: tuple[str, str, str], lines: bool
) -> None:
    """Points with their intervals, branches side by side at each perturbation."""
    shown = table.drop_duplicates("perturbation")
    force = [-math.inf if row.kind == CLEAN else strength(row.kind, row.value) for row in shown.itertuples()]
    shown = shown.assign(force=np.nan_to_num(force, nan=0.0)).sort_values("force", kind="stable")
    place = {name: i for i, name in enumerate(shown["perturbation"])}
    names = [f"{row.value:g}" if row.value == row.value else row.perturbation for row in shown.itertuples()]
    long = max(map(len, names)) > 8
    axes.set_xticks(range(len(names)), names, rotation=20 if long else 0, ha="right" if long else "center")
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.grid(visible=False, axis="x")
    for i in range(1, len(names)):
        axes.axvline(i - 0.5, color="0.9", linewidth=0.7, zorder=0)
    width = min(WIDTH, 0.15 * (len(styles) - 1))
    offsets = np.linspace(-width / 2, width / 2, len(styles))
    for offset, (branch, style) in zip(offsets, styles.items(), strict=True):
        part = table[table["branch"] == branch]
        part = part.assign(x=part["perturbation"].map(place) + offset).sort_values("x")
        y, low, high = (100 * part[column].to_numpy() for column in columns)
        axes.vlines(part["x"], low, high, color=style["color"], linewidth=1)
        if lines and branch == BASELINE and not part["kind"].eq(CHAIN).any():
            axes.plot(part["x"], y, **style | {"marker": ""})
        sure = np.ones(len(part), bool)
        if "verdict" in part and not lines:
            sure = part["verdict"].str.startswith(("more", "less")).to_numpy()
        points = style | {"linestyle": "none"}
        axes.plot(part["x"][sure], y[sure], **points)
        axes.plot(part["x"][~sure], y[~sure], **points, markerfacecolor="white")


def heat_maps(
    path: Path | str, rows: Mapping[str, Sequence[tuple[np.ndarray, np.ndarray, str]]], title: str
) -> None:
    """Images beside what spoke for the call that a network made of them, a row a kind.

    `rows`: by row title, for each example the image, uint8 (size, size, 3), its map, float (h, w), and a caption.
    Beside each image it is shown again, dark where the map is low; a line goes around what is above half of the
    map's highest value. Each map is scaled to its own highest value. A row without examples says so.
    """
    columns = max((len(examples) for examples in rows.values()), default=0)
    if not columns:
        raise DetectorError(f"{path}: no examples to show; there are no test images of this source")
    size = next(len(image) for examples in rows.values() for image, _, _ in examples)
    near, far, above = max(1, size // 24), size // 4, size // 5  # gaps; above: room for the caption
    width, height = 2 * size + near + far, size + above + near
    mosaic = np.full((height * len(rows), width * columns - far, 3), 255, np.uint8)
    # One pair of axes for all: a pair for each image takes seconds.
    with drawing.figure(path, title, 1.85 * columns + 1.2, 1.08 * len(rows) + 0.4) as figure:
        axes = figure.subplots()
        axes.set_axis_off()
        for i, (name, examples) in enumerate(rows.items()):
            top = i * height + above
            heading = name if examples else f"{name}\n(no image)"
            axes.text(-far / 4, top + size / 2, heading, ha="right", va="center")
            for j, (image, found, caption) in enumerate(examples):
                left, share = j * width, _enlarged(found, size)
                beside = left + size + near
                mosaic[top : top + size, left : left + size] = image
                mosaic[top : top + size, beside : beside + size] = image * (0.2 + 0.8 * share[..., None])
                axes.text(left, top - 1, caption, fontsize=7, va="bottom")
                if share.any():
                    places = beside + np.arange(size), top + np.arange(size)
                    axes.contour(*places, share, levels=[0.5], colors="white", linewidths=1.2)
                    axes.contour(*places, share, levels=[0.5], colors="black", linewidths=0.5)
        axes.imshow(mosaic)


def _enlarged(found: np.ndarray, size: int) -> np.ndarray:
    """A map of (h, w) as shares of its highest value, float (size, size), bilinear."""
    large = Image.fromarray(np.asarray(found, np.float32)).resize((size, size), Image.Resampling.BILINEAR)
    highest = np.max(large)
    return np.clip(np.asarray(large) / highest, 0, 1) if highest > 0 else np.zeros((size, size), np.float32)


def mean_spectra(path: Path | str, spectra: Mapping[str, Spectrum], title: str) -> None:
    """Mean spectra of real and of fake images, their difference, and both profiles from coarse to fine.

    `spectra`: under `real` and `fake`, either of which may be missing: then there is no difference.
    """
    real, fake = spectra.get("real"), spectra.get("fake")
    if real is None and fake is None:
        raise DetectorError(f"{path}: no images to take a spectrum of")
    values = np.concatenate([part.mean.ravel() for part in spectra.values()])
    low, high = np.percentile(values, [0.5, 99.5])
    shown = {f"{name} (n = {len(part.profiles):,})": part for name, part in spectra.items()}
    if len(spectra) == 1:
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
