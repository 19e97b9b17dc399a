"""Charts and sample grids from result files: each function takes data and a path and writes one file.

Equal data give equal bytes, so a figure under version control changes only where its numbers do. Every difference
that a colour shows is also shown by a marker, a line style or a number.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from detector import drawing, layout, metrics
from detector.errors import DetectorError

MOST_ROWS, MOST_COLUMNS = 12, 8  # of a sample grid


def sample_grid(path: Path | str, rows: Mapping[str, np.ndarray], title: str) -> None:
    """What a source's images look like: one row a kind (real, then each generator), images side by side.

    `rows`: uint8 (n, size, size, 3) by row title; n may differ. At most 12 rows of 8 images are shown, and
    the title says how many rows are not.
    """
    shown = list(rows.items())[:MOST_ROWS]
    if not any(len(images) for _, images in shown):
        raise DetectorError(f"{path}: no images to show")
    size = next(images.shape[1] for _, images in shown if len(images))
    columns = min(MOST_COLUMNS, max(len(images) for _, images in shown))
    cell = size + (gap := max(1, size // 24))
    mosaic = np.full((len(shown) * cell - gap, columns * cell - gap, 3), 255, np.uint8)
    for i, (_, images) in enumerate(shown):
        for j, image in enumerate(images[:columns]):
            mosaic[i * cell : i * cell + size, j * cell : j * cell + size] = image
    if len(rows) > len(shown):
        title += f" (first {len(shown)} of {len(rows)} rows)"
    with drawing.figure(path, title, 1.0 * columns + 1.8, 1.0 * len(shown) + 0.5) as figure:
        axes = figure.subplots()
        axes.imshow(mosaic)
        axes.set_xticks([])
        axes.set_yticks([i * cell + size / 2 for i in range(len(shown))], [name for name, _ in shown])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.grid(visible=False)


def confusion_matrices(
    path: Path | str, predictions: Mapping[str, tuple[np.ndarray, np.ndarray]], title: str
) -> None:
    """Which errors each branch makes: true class by row, called class by column, fake (positive) first.

    `predictions`: label (n,), 1 = real, and logit (n,), below 0 = called fake, by branch. A cell holds the
    count and its share of the row; the shade is that share, on one scale for all branches. A good detector
    is dark from top left to bottom right. A class without images leaves its row hatched.
    """
    shape = rows, columns = drawing.shape(len(predictions), 5)
    with drawing.figure(path, title, 1.75 * columns + 1.3, 2.1 * rows + 0.6) as figure:
        panels = drawing.panels(figure, len(predictions), shape, "called", "true class")
        for axes, (branch, (label, logit)) in zip(panels, predictions.items(), strict=True):
            counts = metrics.confusion(label, logit)
            right = counts["tp"] + counts["tn"]
            axes.set_title(f"{branch}\naccuracy {100 * right / max(len(label), 1):.2f} %")
            shades = _matrix(axes, [[counts["tp"], counts["fn"]], [counts["fp"], counts["tn"]]])
        figure.colorbar(shades, ax=panels, label="share of the row (%)", aspect=25, fraction=0.05)


def _matrix(axes: Axes, counts: Sequence[Sequence[int]]) -> object:
    totals = np.sum(counts, axis=1, keepdims=True)
    share = 100 * np.divide(counts, totals, out=np.full((2, 2), np.nan), where=totals > 0)
    shades = axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
    for row in range(2):
        if not totals[row, 0]:
            axes.axhspan(row - 0.5, row + 0.5, facecolor="white", edgecolor="0.8", hatch="///")
            axes.text(0.5, row, "no images", ha="center", va="center", backgroundcolor="white")
            continue
        for column in range(2):
            text = f"{counts[row][column]:,}\n{share[row, column]:.1f} %"
            colour = "white" if share[row, column] > 55 else "black"
            axes.text(column, row, text, ha="center", va="center", color=colour)
    axes.set_xticks([0, 1], ["fake", "real"])
    axes.set_yticks([0, 1], ["fake", "real"], rotation=90, va="center")
    axes.tick_params(length=0)
    axes.grid(visible=False)
    return shades


def training_curves(
    path: Path | str, histories: Mapping[str, pd.DataFrame], kept: Mapping[str, int], title: str
) -> None:
    """How each branch learned: loss above, accuracy below, one panel a branch, epochs to the right.

    `histories`: history.csv by branch; `kept`: the epoch whose weights are kept, `best_epoch` of meta.json. Of a
    branch that is pruned in steps it need not be the best one of all: until the last step it was pruned less.
    Training is dashed, validation solid; the star is the epoch that is kept. A gap that opens between the two
    lines is overfitting. The loss axis is one for all panels; each accuracy axis is its own, or the baseline's
    climb would flatten all others.
    """
    shape = rows, columns = drawing.shape(len(histories), 5)
    with drawing.figure(path, title, max(2.2 * columns + 0.6, 5.0), 4.2 * rows + 0.8) as figure:
        above, below = figure.subfigures(2, 1)
        losses = drawing.panels(above, len(histories), shape, "epoch", "loss (nats)", share="y")
        accuracies = drawing.panels(below, len(histories), shape, "epoch", "accuracy (%)")
        for loss, accuracy, (branch, history) in zip(losses, accuracies, histories.items(), strict=True):
            star = history.set_index("epoch", drop=False).loc[kept[branch]]
            loss.set_title(branch)
            accuracy.set_title(f"{branch}\n{100 * star['valid_accuracy']:.2f} % at epoch {star['epoch']:.0f}")
            for axes, name, factor in ((loss, "loss", 1), (accuracy, "accuracy", 100)):
                for part, style in (("train", _TRAIN), ("valid", _VALID)):
                    axes.plot(history["epoch"], factor * history[f"{part}_{name}"], **style)
                axes.plot(star["epoch"], factor * star[f"valid_{name}"], **drawing.BEST, clip_on=False)
                axes.xaxis.set_major_locator(MaxNLocator(4, integer=True, min_n_ticks=1))
            loss.set_yscale("log")
            loss.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            loss.yaxis.set_major_formatter("{x:g}")
            loss.yaxis.set_minor_formatter(NullFormatter())
        drawing.legend(figure, {"training": _TRAIN, "validation": _VALID, "the epoch that is kept": drawing.BEST})


_TRAIN = {"color": drawing.GREY, "linestyle": "--", "marker": ".", "markersize": 3}
_VALID = {"color": drawing.BLUE, "linestyle": "-", "marker": "o", "markersize": 3}


def search_trials(path: Path | str, trials: Mapping[str, pd.DataFrame], title: str) -> None:
    """What the search tried: learning rate against validation accuracy, one panel a branch, one point a trial.

    `trials`: trials.csv by branch. The marker is the optimizer, hollow where the trial was stopped early; the
    star is the trial whose settings fine-tuning uses. Both axes are the same in all panels.
    """
    table = pd.concat(trials.values())
    styles = dict(zip(sorted(table["optimizer"].unique()), drawing.SERIES, strict=False))
    shape = rows, columns = drawing.shape(len(trials), 5)
    with drawing.figure(path, title, max(2.1 * columns + 0.6, 5.0), 2.3 * rows + 0.9) as figure:
        panels = drawing.panels(
            figure, len(trials), shape, "learning rate", "validation accuracy (%)", share="both"
        )
        for axes, (branch, tried) in zip(panels, trials.items(), strict=True):
            best = tried.loc[tried["valid_accuracy"].idxmax()]
            axes.set_title(f"{branch}\n{best['optimizer']}, {best['learning_rate']:.2e}")
            axes.plot(
                best["learning_rate"],
                100 * best["valid_accuracy"],
                **drawing.BEST | {"markersize": 17},
                clip_on=False,
            )
            for (optimizer, state), some in tried.groupby(["optimizer", "state"]):
                marker, colour = styles[optimizer]
                fill = "white" if state == "PRUNED" else colour
                points = {"marker": marker, "markerfacecolor": fill, "markeredgecolor": colour}
                axes.plot(some["learning_rate"], 100 * some["valid_accuracy"], linestyle="none", **points)
        # Whole decades, so that a narrow range still has two labelled ticks.
        low, high = np.log10(table["learning_rate"].min()), np.log10(table["learning_rate"].max())
        panels[0].set_xscale("log")
        panels[0].set_xlim(10 ** (math.floor(low) - 0.15), 10 ** (math.ceil(high) + 0.15))
        markers = {name: {"marker": m, "color": c, "linestyle": "none"} for name, (m, c) in styles.items()}
        hollow = {"marker": "o", "markerfacecolor": "white", "markeredgecolor": "black", "linestyle": "none"}
        stopped = {"stopped early": hollow} if (table["state"] == "PRUNED").any() else {}
        drawing.legend(figure, markers | stopped | {"best, used for fine-tuning": drawing.BEST})


def deployment(path: Path | str, table: pd.DataFrame, title: str | None = None) -> None:
    """What each file of a run gives for its size and for its time: accuracy against MB and against ms, both log.

    `table`: deployment.csv of one architecture and seed, one batch size and one number of threads. The marker is
    format, runtime and precision, the colour the branch. What no other point beats (Pareto's front)
    is filled, joined by steps and labelled with branch and precision; the rest is hollow. Bars are 95 % intervals
    (Wilson). A row without size or latency is missing in that panel. Raises `DetectorError` where rows do not
    belong together.
    """
    table = table.dropna(subset=["accuracy"])
    for column in ("accuracy", *_COSTS):
        if table[column].isna().all():
            raise DetectorError(f"{path}: the table of deployments has no {column} in it; measure it first")
    for column in ("arch", "seed", "batch", "threads"):
        if len(found := table[column].unique().tolist()) > 1:
            raise DetectorError(f"{path}: expected rows of one {column}, found {found}; draw a figure for each")
    arch, seed, batch, threads = table.iloc[0][["arch", "seed", "batch", "threads"]]
    bounds = [metrics.wilson(row.accuracy, row.n) for row in table.itertuples()]
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
        heading, point = {"linestyle": "none"}, {"linestyle": "none", "color": "black"}
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
_FRONT = {"color": "0.3", "linewidth": 0.8}
_BEATEN = {"markerfacecolor": "none", "markersize": 4, "alpha": 0.4}


def _deployed(axes: Axes, table: pd.DataFrame, column: str, markers: Mapping, colours: Mapping) -> None:
    best = metrics.front(table[column], table["percent"])
    front = table[best].sort_values(column)
    axes.plot(front[column], front["percent"], drawstyle="steps-post", zorder=1.5, **_FRONT)
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
    best = metrics.front(table[column], table["percent"])
    low, point, high = (axes.transData.transform(table[[column, y]]) for y in ("low", "percent", "high"))
    texts = [
        axes.annotate(f"{row.branch} {row.precision}", (getattr(row, column), row.percent), **_LABEL)
        for row in table[best].itertuples()
    ]
    sizes = np.array([text.get_window_extent().size for text in texts]) + 4
    bars = np.hstack([low - (5, 0), high + (5, 0)])  # as wide as a marker
    start, end = point[best][:-1], point[best][1:]
    corner = np.stack([end[:, 0], start[:, 1]], axis=1)
    steps = np.vstack([np.hstack([start, corner]), np.hstack([corner, end])])
    places = layout.labels(point[best], sizes, np.vstack([bars[best], steps]), bars[~best], axes.bbox.extents)
    for text, offset in zip(texts, places - point[best], strict=True):
        text.set_position(offset * 72 / axes.figure.dpi)


_LABEL = {
    "xytext": (0, 0),
    "textcoords": "offset points",
    "ha": "center",
    "va": "center",
    "fontsize": 7,
    "arrowprops": {"arrowstyle": "-", "linewidth": 0.5, "color": "0.5", "shrinkA": 0, "shrinkB": 2},
}
