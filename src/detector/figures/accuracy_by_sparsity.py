"""Accuracy by sparsity.

Test accuracy against the share of weights removed. The dashed line is the unpruned baseline, the filled diamond
the dense control ``l1-00``, a hollow one a matched control: nothing pruned, trained as the ``l1`` branch of that
sparsity. From the line to a diamond is what more training did, from there to a branch what pruning did; ``random``
removes as many weights without choosing. One seed: bars and band are 95 % intervals about other images, not other
runs. Several: points are means, dashes seeds, bars Student's 95 % intervals over them. Bars that overlap show no
sameness: branches share baseline and images. The second panel therefore has each seed's branches less its own
dense control: what lies below 0 with its whole bar pruning lost, or what its search found; ``ablation.csv`` takes
images in. With one seed, beside a cliff, it shows what is near the baseline.
"""

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy.special import stdtrit

from detector.core.errors import DetectorError
from detector.experiment.variants import BASELINE, COMBINED, MATCHED, Branch
from detector.figures import drawing
from detector.stats import groups

FILE = "accuracy_by_sparsity.svg"
FROM = {"table": "tables/final_accuracy.csv"}
_BASELINE: drawing.Style = {"color": drawing.BASELINE, "linestyle": (0, (5, 3)), "linewidth": 1.2}
_DENSE: drawing.Style = {"marker": "D", "color": drawing.CONTROL, "linestyle": "none", "markersize": 6}
_MATCHED = _DENSE | {"markerfacecolor": "white"}
_SEED: drawing.Style = {
    "marker": "_",
    "color": "black",
    "linestyle": "none",
    "markersize": 5,
    "markeredgewidth": 0.8,
}
_CLIFF = 0.08  # a fall from the best to the worst after which small differences cannot be read any more
_NEAR = 0.02  # what is shown larger then: this far from the baseline, or from the dense control
WHOLE, NEAR, PAIRED = "", "near the baseline", "less the dense control of the same seed"  # panels


def draw(path: Path, table: pd.DataFrame) -> None:
    """Draw all variants of final_accuracy.csv."""
    accuracy_by_sparsity(path, table)


def accuracy_by_sparsity(path: Path | str, table: pd.DataFrame, title: str = "Accuracy against sparsity") -> None:
    """Draw accuracy against the share of weights removed, one panel per architecture and test set.

    `table`: final_accuracy.csv. With one seed, bars and the band of the unpruned baseline are 95 % intervals over
    images (Wilson); with several, a point is the mean, dashes are the seeds and bars Student's 95 % interval over
    them. Controls: the filled diamond at 0 % is the dense control, a hollow one a matched control, at the sparsity
    of the branch that it was trained like. Each panel has its own axis. With several seeds a second panel shows
    each seed's difference from its own dense control, which the seeds' common ups and downs do not blur; with one,
    where accuracy falls off a cliff, what is near the baseline. With a single test set, `combined` would repeat it
    and is left out.

    Raises `DetectorError` where the table has no accuracy.
    """
    table = table.dropna(subset=["accuracy"])
    if table["testset"].nunique() == 2:
        table = table[table["testset"] != COMBINED]
    if table.empty:
        raise DetectorError(f"{path}: the table of accuracies has no number in it")
    parts = [Branch.of(name) for name in table["branch"]]
    table = table.assign(
        method=[part.method or None for part in parts],
        percent=[float(part.percent) if part.method else np.nan for part in parts],
    )
    # Systems have a baseline alone: nothing to draw against.
    pruned = table.groupby("arch", sort=False)["percent"].transform("count") > 0
    table = table[pruned] if pruned.any() else table
    methods = [name for name in drawing.METHODS if name in set(table["method"])]
    methods += sorted(set(table["method"].dropna()) - {*methods, MATCHED})
    several = table["seed"].nunique() > 1
    groups = []
    for key, rows in table.groupby(["arch", "testset"], sort=False):
        groups.append((key, rows, WHOLE))
        if several and (rows["percent"] == 0).any():
            groups.append((key, rows.assign(accuracy=rows["delta_vs_dense_control"]), PAIRED))
        elif (rows["branch"] == BASELINE).any() and _falls(_points(rows)):
            groups.append((key, rows, NEAR))
    shape = down, across = drawing.shape(len(groups), 3 if all(kind == WHOLE for *_, kind in groups) else 2)
    with drawing.figure(path, title, max(3.6 * across + 2.8, 9.0), 3.2 * down + 0.7) as figure:
        what = "weights removed (%)" + ("\nchannels: of all parameters" if "channels" in methods else "")
        panels = drawing.panels(figure, len(groups), shape, what, "accuracy (%)")
        for axes, ((arch, testset), rows, kind) in zip(panels, groups, strict=True):
            count = f"n = {rows['n'].max():,.0f}"
            axes.set_title(f"{arch}, {testset}\n{kind or count}")
            points = _points(rows, bounds=(-1.0, 1.0) if kind == PAIRED else (0.0, 1.0))
            _panel(axes, points, rows, methods, several)
            if kind == PAIRED:
                axes.set_ylabel("points")
                axes.axhline(0, color="black", linewidth=0.8)
            if kind:
                middle = 0 if kind == PAIRED else points.loc[points["branch"] == BASELINE, "mean"].iloc[0]
                close = points[abs(points["mean"] - middle) <= 100 * _NEAR]
                axes.set_ylim(close["low"].min() - 0.2, close["high"].max() + 0.2)
        entries: dict[str, drawing.Style] = {BASELINE: _BASELINE}
        if (table["percent"] == 0).any():
            entries["dense control"] = _DENSE
        if (table["method"] == MATCHED).any():
            entries["matched control: nothing pruned,\ntrained as l1 of that percent"] = _MATCHED
        entries |= {f"{name}, pruned": drawing.METHODS.get(name, drawing.OTHER) for name in methods}
        drawing.legend(figure, entries | ({"one seed": _SEED} if several else {}), side=True)


def _falls(points: pd.DataFrame) -> bool:
    """Whether there is a cliff, and not just the noise of few images."""
    far = np.ptp(points["mean"]) > 100 * _CLIFF
    return bool(far and points["high"].min() < points["low"].max())


def _points(rows: pd.DataFrame, bounds: tuple[float, float] = (0.0, 1.0)) -> pd.DataFrame:
    """One row a branch: mean accuracy (or difference) in percent, and its interval, which ends at `bounds`."""
    found = []
    for (branch, method, percent), some in rows.groupby(["branch", "method", "percent"], sort=False, dropna=False):
        mean = some["accuracy"].mean()
        if len(some) > 1:
            half = stdtrit(len(some) - 1, 0.975) * some["accuracy"].std() / math.sqrt(len(some))
            low, high = max(bounds[0], mean - half), min(bounds[1], mean + half)
        else:
            low, high = groups.bounds(some.iloc[0], "accuracy", "grouped") if bounds[0] == 0 else (mean, mean)
        found.append((branch, method, percent, 100 * mean, 100 * low, 100 * high))
    return pd.DataFrame(found, columns=["branch", "method", "percent", "mean", "low", "high"])


def _panel(axes: Axes, points: pd.DataFrame, rows: pd.DataFrame, methods: list[str], several: bool) -> None:
    for row in points[points["branch"] == BASELINE].itertuples():
        axes.axhspan(row.low, row.high, color="0.5", alpha=0.15, linewidth=0)
        axes.axhline(row.mean, **_BASELINE)
    width = min(0.8, 6 / max(len(methods), 1))
    for i, method in enumerate([*methods, MATCHED]):
        # Side by side: bars on top of each other cannot be read.
        shift = (i - len(methods) / 2) * width
        line = points[points["method"] == method].sort_values("percent")
        x = line["percent"] + shift
        look = drawing.METHODS.get(method, drawing.OTHER) if method != MATCHED else _MATCHED
        spread = np.abs([line["mean"] - line["low"], line["high"] - line["mean"]])
        axes.errorbar(
            x, line["mean"], yerr=spread, elinewidth=1, capsize=2, linewidth=1.2, **{"markersize": 4.5} | look
        )
        if several:
            seeds = rows[rows["method"] == method]
            axes.plot(seeds["percent"] + shift + 1.6, 100 * seeds["accuracy"], **_SEED)
        dense = line["percent"] == 0
        axes.plot(x[dense], line["mean"][dense], **_DENSE, zorder=5)
    if several:
        baseline = rows[rows["branch"] == BASELINE]
        axes.plot(np.full(len(baseline), -4.0), 100 * baseline["accuracy"], **_SEED)
    ticks = sorted(points["percent"].dropna().unique())
    close = any(b - a < 5 for a, b in pairwise(ticks)) or len(ticks) > 8
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks], rotation=90 if close else 0)
    axes.margins(x=0.08)
