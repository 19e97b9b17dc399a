"""Accuracy on perturbed images.

Accuracy on perturbed test images, all test sets together: one panel for each kind of perturbation, stronger to
the right, the images as they are at the left. Branches stand side by side, the more pruned the darker; the
dashed line follows the baseline. A steep fall says that the detector reads what the perturbation destroys. Do
not read from it that one branch falls deeper than another: their bars are for each branch alone (95 %, Wilson; by
groups where it is known which images belong together), and the next figure compares them on the same images. Near
one half a network has nothing left to lose.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from detector.core.errors import DetectorError
from detector.experiment.variants import BASELINE, COMBINED, DENSE_CONTROL
from detector.figures import drawing
from detector.imaging.perturbations import CHAIN, CLEAN, axis_label, strength
from detector.stats import groups

FILE = "robustness_{arch}_seed{seed}.svg"
FROM = {"table": "tables/robustness.csv"}
WIDTH = 0.7  # of a place on the axis, shared by the branches; less where they are few


def draw(path: Path, table: pd.DataFrame, arch: str, seed: int) -> None:
    """Draw a run on all its test images together; a note where there are none."""
    rows = of_run(table, arch, seed)
    title = f"Accuracy on perturbed images: {arch}, seed {seed}, all test sets"
    if rows.empty:
        drawing.note(path, title, "there are no test images")
    else:
        robustness(path, rows, title)


def of_run(table: pd.DataFrame, arch: str, seed: int) -> pd.DataFrame:
    """Rows of robustness.csv for a run, on all its test images together, with intervals of groups where known."""
    rows = table[(table["arch"] == arch) & (table["seed"] == seed) & (table["testset"] == COMBINED)]
    for name, grouped in (("accuracy", "grouped"), ("extra", "extra_grouped")):
        bounds = np.reshape([groups.bounds(row, name, grouped) for row in rows.to_dict("records")], (-1, 2))
        rows = rows.assign(**{f"{name}_low": bounds[:, 0], f"{name}_high": bounds[:, 1]})
    return rows


def robustness(path: Path | str, table: pd.DataFrame, title: str) -> None:
    """Draw each branch's accuracy by perturbation: a panel per kind, stronger to the right, clean at the left.

    `table`: robustness.csv of one architecture, seed and test set. Bars are 95 % intervals (Wilson). Branches
    stand side by side at each place; each has a marker of its own, and within a method the more pruned are darker.
    """
    table = table.drop_duplicates(["branch", "perturbation"])
    styles = styles_of_branches(table["branch"].unique())
    with panels_of_kinds(path, table, title, "accuracy (%)", styles) as panels:
        for axes, part in panels:
            clean = table[table["perturbation"] == CLEAN]
            place(
                axes, pd.concat([clean, part]), styles, ("accuracy", "accuracy_low", "accuracy_high"), lines=True
            )


def by_model(path: Path | str, table: pd.DataFrame, title: str, styles: Mapping[str, drawing.Style]) -> None:
    """Draw each model's area under the ROC curve by perturbation, as `robustness` draws accuracy.

    `table`: columns model, perturbation, kind, value, auc, auc_low, auc_high. `styles`: by model.
    """
    table = table.rename(columns={"model": "branch"})
    with panels_of_kinds(path, table, title, "area under the ROC curve (%)", styles) as panels:
        for axes, part in panels:
            clean = table[table["kind"] == CLEAN]
            axes.axhline(50, **drawing.PERFECT)
            place(axes, pd.concat([clean, part]), styles, ("auc", "auc_low", "auc_high"), lines=False)


@contextmanager
def panels_of_kinds(
    path: Path | str, table: pd.DataFrame, title: str, ylabel: str, styles: Mapping[str, drawing.Style]
) -> Iterator[list[tuple[Axes, pd.DataFrame]]]:
    """Context with a figure of one panel per kind of perturbation: pairs of axes and the kind's rows.

    Raises `DetectorError` where the table has no perturbed images.
    """
    kinds = {name: part for name, part in table.groupby("kind", sort=False) if name != CLEAN}
    if not kinds:
        raise DetectorError(f"{path}: the table has no row of a perturbed image to show")
    shape = rows, columns = drawing.shape(len(kinds), 4)
    with drawing.figure(path, title, 3.0 * columns + 1.6, 2.3 * rows + 0.6) as figure:
        panels = drawing.panels(figure, len(kinds), shape, "", ylabel, share="y")
        for axes, name in zip(panels, kinds, strict=True):
            axes.set_xlabel(axis_label(name))
        yield list(zip(panels, kinds.values(), strict=True))
        drawing.legend(figure, styles, side=True)


def styles_of_branches(branches: Sequence[str]) -> dict[str, drawing.Style]:
    """Line style of each branch: marker by order, colour as in every figure."""
    markers, colours = cycle("s^v<>P*Xhdp"), drawing.colours(branches)
    styles: dict[str, drawing.Style] = {}
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


def place(
    axes: Axes,
    table: pd.DataFrame,
    styles: Mapping[str, drawing.Style],
    columns: tuple[str, str, str],
    lines: bool,
) -> None:
    """Draw points with their intervals, branches side by side at each perturbation."""
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
