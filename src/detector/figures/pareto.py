"""Accuracy against cost.

Each trial of the search for two goals: validation accuracy against what the network costs, by pruning method. Up
and to the left is better; filled and joined are those that no other beats in both, with the branch that each would
be. All are trained for a few epochs alone and chosen by the accuracy that is shown, so what the points promise
holds once they are branches: pareto.csv has the line to write.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from detector.figures import drawing, placement

FILE = "pareto_{arch}_seed{seed}.svg"
FROM = {"table": "tables/pareto.csv"}
AXES = {
    "parameters": ("parameters that are not zero (millions)", 1e-6),
    "bytes": ("sparse file, fp16 (MB)", 1e-6),
    "latency": ("time of a pass (1: the baseline's)", 1.0),
}


def draw(path: Path, table: pd.DataFrame, arch: str, seed: int) -> None:
    """Draw the search of a run."""
    pareto(path, table[(table["arch"] == arch) & (table["seed"] == seed)], f"Two goals: {arch}, seed {seed}")


def pareto(path: Path | str, table: pd.DataFrame, title: str) -> None:
    """Draw pareto.csv of one run; trials that diverged are left out, a note says so where all did."""
    table = table.dropna(subset=["valid_accuracy", "value"])
    if table.empty:
        drawing.note(path, title, "every trial diverged")
        return
    label, factor = AXES[table["goal"].iloc[0]]
    table = table.assign(x=factor * table["value"], y=100 * table["valid_accuracy"]).sort_values(["x", "y"])
    styles = {name: drawing.METHODS.get(name, drawing.OTHER) | {"linestyle": "none"} for name in table["method"]}
    best = table["front"] == "yes"
    with drawing.figure(path, title, 7.0, 4.6) as figure:
        axes = figure.subplots()
        axes.set_xlabel(label)
        axes.set_ylabel("validation accuracy (%)")
        axes.set_title("up and to the left is better", fontstyle="italic")
        axes.margins(0.12)
        axes.plot(table["x"][best], table["y"][best], drawstyle="steps-post", zorder=1.5, **_FRONT)
        for row in table.itertuples():
            fill = {} if row.front == "yes" else {"markerfacecolor": "none"}
            axes.plot(row.x, row.y, **styles[row.method] | fill)
        drawing.legend(figure, styles | {"no other is better in both": _FRONT})
        figure.draw_without_rendering()  # before that nobody knows where a point lies on the page
        figure.set_layout_engine("none")
        points = axes.transData.transform(table[["x", "y"]])
        spots = np.hstack([points - 5, points + 5])  # as large as a marker
        front = table[best]
        placement.name_front(axes, list(front["branch"]), front[["x", "y"]].to_numpy(), spots, spots[:0])


_FRONT: drawing.Style = {"color": "0.3", "linewidth": 0.8}
