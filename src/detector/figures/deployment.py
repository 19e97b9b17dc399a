"""Size, speed and accuracy.

Accuracy on all test images against file size (left) and against the time of one pass (right). What is up and to
the left is better; the joined points are those that no other beats in both. Bars are 95 % intervals: where they
overlap, do not read an order into the points. Times are of one machine, whose name is in the table.
"""

from collections.abc import Mapping
from itertools import cycle
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

from detector.core.errors import DetectorError
from detector.figures import drawing, placement
from detector.stats import groups, intervals
from detector.stats.pareto import front

FILE = "deployment_{arch}_seed{seed}.svg"
FROM = {"table": "tables/deployment.csv"}


def draw(path: Path, table: pd.DataFrame, arch: str, seed: int) -> None:
    """Draw a run at the first batch size that was timed. Raises `DetectorError` where the run has no row."""
    run = table[(table["arch"] == arch) & (table["seed"] == seed)]
    if run.empty:
        raise DetectorError(f"{path}: deployment.csv has no row of {arch}, seed {seed}")
    deployment(path, run[run["batch"] == run["batch"].iloc[0]])


def deployment(path: Path | str, table: pd.DataFrame, title: str | None = None) -> None:
    """Draw accuracy against file size in MB and against latency in ms, both on logarithmic axes.

    `table`: deployment.csv of one architecture and seed, one batch size and one number of threads. The marker is
    format, runtime and precision, the colour the branch. What no other point beats (Pareto's front) is filled,
    joined by steps and labelled with branch and precision; the rest is hollow. Bars are 95 % intervals (Wilson). A
    row without size or latency is missing in that panel. Raises `DetectorError` where rows do not belong together.
    """
    table = table.dropna(subset=["accuracy"])
    for column in ("accuracy", *_COSTS):
        if table[column].isna().all():
            raise DetectorError(f"{path}: the table of deployments has no {column} in it; measure it first")
    for column in ("arch", "seed", "batch", "threads"):
        if len(found := table[column].unique().tolist()) > 1:
            raise DetectorError(f"{path}: expected rows of one {column}, found {found}; draw a figure for each")
    arch, seed, batch, threads = table.iloc[0][["arch", "seed", "batch", "threads"]]
    single = [intervals.wilson(row.accuracy, row.n) for row in table.itertuples()]
    bounds = [
        groups.bounds({**row, "accuracy_low": low, "accuracy_high": high}, "accuracy", "grouped")
        for row, (low, high) in zip(table.to_dict("records"), single, strict=True)
    ]
    table = table.assign(
        kind=table["format"] + ", " + table["runtime"] + ", " + table["precision"],
        percent=100 * table["accuracy"],
        low=[100 * low for low, _ in bounds],
        high=[100 * high for _, high in bounds],
    )
    markers = dict(zip(table["kind"].unique(), cycle("osD^vPX<>h"), strict=False))
    colours = drawing.colours(table["branch"].unique())
    with drawing.figure(path, title or f"Deployment: {arch}, seed {seed}", 11.5, 5.0) as figure:
        panels = figure.subplots(1, 2, sharey=True)
        panels[0].set_ylabel("accuracy (%)")
        panels[0].set_xlabel("file size (MB)")
        panels[1].set_xlabel(f"median latency (ms), batch {batch}, threads {threads}")
        for axes, column in zip(panels, _COSTS, strict=True):
            axes.set_title("up and to the left is better", fontstyle="italic")
            axes.set_xscale("log")
            _deployed(axes, table.dropna(subset=[column]), column, markers, colours)
        bottom, top = panels[0].get_ylim()
        panels[0].set_ylim(bottom, top + 0.1 * (top - bottom))  # the last points have their labels above
        heading: drawing.Style = {"linestyle": "none"}
        point: drawing.Style = {"linestyle": "none", "color": "black"}
        entries = {"branch": heading} | {name: point | {"marker": "o", "color": colours[name]} for name in colours}
        entries |= {"\nformat, runtime, precision": heading}
        entries |= {name: point | {"marker": marker} for name, marker in markers.items()}
        entries |= {
            "\nPareto's front": _FRONT | {"marker": "o"},
            "beaten by another": point | {"marker": "o"} | _BEATEN,
        }
        drawing.legend(figure, entries, side=True)
        figure.draw_without_rendering()  # before that nobody knows where a point lies on the page
        figure.set_layout_engine("none")
        for axes, column in zip(panels, _COSTS, strict=True):
            _label_front(axes, table.dropna(subset=[column]), column)


_COSTS = ("file_mb", "latency_ms_median")
_FRONT: drawing.Style = {"color": "0.3", "linewidth": 0.8}
_BEATEN: drawing.Style = {"markerfacecolor": "none", "markersize": 4, "alpha": 0.4}


def _deployed(axes: Axes, table: pd.DataFrame, column: str, markers: Mapping, colours: Mapping) -> None:
    best = front(table[column], table["percent"])
    edge = table[best].sort_values(column)
    axes.plot(edge[column], edge["percent"], drawstyle="steps-post", zorder=1.5, **_FRONT)
    for row, at_front in zip(table.itertuples(), best, strict=True):
        x, colour = getattr(row, column), colours[row.branch]
        bar, look = ({"linewidth": 1}, {"zorder": 3}) if at_front else ({"linewidth": 0.5, "alpha": 0.2}, _BEATEN)
        axes.plot([x, x], [row.low, row.high], color=colour, **bar)
        axes.plot(x, row.percent, marker=markers[row.kind], color=colour, linestyle="none", **look)
    low, high = np.log10(table[column].min()), np.log10(table[column].max())
    room = max(high - low, 0.1)
    axes.set_xlim(10 ** (low - 0.4 * room), 10 ** (high + 0.35 * room))  # for the first and the last labels
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())


def _label_front(axes: Axes, table: pd.DataFrame, column: str) -> None:
    """Branch and precision beside each point of the front, clear of each other, of its bars and of its steps."""
    table = table.sort_values(column)
    best = front(table[column], table["percent"])
    low, high = (axes.transData.transform(table[[column, y]]) for y in ("low", "high"))
    bars = np.hstack([low - (5, 0), high + (5, 0)])  # as wide as a marker
    names = [f"{row.branch} {row.precision}" for row in table[best].itertuples()]
    placement.name_front(axes, names, table[[column, "percent"]][best].to_numpy(), bars[best], bars[~best])
