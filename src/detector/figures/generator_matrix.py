"""Generators that training never saw.

Each row is a network, trained without one generator or, at the top, with all; each column is a generator that it
is tested on. Left the share of the generator's fakes that are called fake at probability one half, right the area
under the ROC curve against all real test images, both in percent, with their 95 % interval (for groups of images,
where these are known). Framed cells are those of a generator that the network was not trained with: compare them
with the rest of their column, which is about the same images. A framed cell that is much paler than its column is
a generator that has to be seen to be found; what the other rows of the column differ by is what another training
costs anyway.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from detector.figures import drawing

FILE = "generator_matrix_{arch}_seed{seed}.svg"
FROM = {"table": "tables/generator_matrix.csv"}
# By column, what it is, and the columns of its intervals, the first that is there.
SHOWN = {
    "accuracy": ("fakes called fake", ("grouped", "accuracy")),
    "auc": ("area under the ROC curve", ("auc_grouped", "auc")),
}


def draw(path: Path, table: pd.DataFrame, arch: str, seed: int) -> None:
    """Draw a run: a row of panels for each branch; a note where no generator was tested."""
    rows = table[(table["arch"] == arch) & (table["seed"] == seed)]
    title = f"Generators that training never saw: {arch}, seed {seed}"
    named = {"held_out": "network", "generator": "part", "generators": "parts"}
    matrices(path, rows.rename(columns=named), title, "without {}", "generators")


def matrices(path: Path | str, table: pd.DataFrame, title: str, network: str, parts: str) -> None:
    """Draw a table of `transfer.matrix` with the column `branch`, as it was read: missing names are empty.

    `network`: what a network is called, with {} for its name; `parts`: what the columns are.
    """
    table = table.fillna({"network": "", "part": ""})
    cells = table[table["part"] != ""]
    if cells.empty:
        drawing.note(path, title, "there is no fake image to test on")
        return
    branches = list(cells["branch"].unique())
    names = list(cells["part"].unique())
    networks = list(cells["network"].unique())
    rows = {name: network.format(name) if name else "with all" for name in networks}
    width = max(2 * 0.62 * len(names) + 2.6, 7.0)
    height = (0.42 * len(networks) + 1.9) * len(branches) + 0.5
    with drawing.figure(path, title, width, height) as figure:
        panels = figure.subplots(len(branches), len(SHOWN), squeeze=False, sharey="row")
        for line, branch in zip(panels, branches, strict=True):
            of_branch = table[table["branch"] == branch]
            for axes, column in zip(line, SHOWN, strict=True):
                shades = _matrix(axes, of_branch, column, rows, names)
                axes.set_xlabel(f"{parts} tested on")
            line[0].set_ylabel(f"{branch}, trained")
        figure.colorbar(shades, ax=panels, label="percent", aspect=25, fraction=0.03, pad=0.01)


def _matrix(axes: Axes, table: pd.DataFrame, column: str, rows: Mapping[str, str], names: list[str]) -> object:
    cells = table[table["part"] != ""].set_index(["network", "part"])
    values = np.array([[100 * cells[column].get((row, name), np.nan) for name in names] for row in rows])
    shades = axes.imshow(values, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    for y, row in enumerate(rows):
        for x, name in enumerate(names):
            if np.isnan(values[y, x]):
                axes.text(x, y, "—", ha="center", va="center")
                continue
            cell = cells.loc[(row, name)]
            colour = "white" if values[y, x] > 60 else "black"
            axes.text(x, y - 0.13, f"{values[y, x]:.1f}", ha="center", va="center", color=colour)
            axes.text(x, y + 0.25, _between(cell, column), ha="center", va="center", color=colour, fontsize=6)
            if cell["seen"] == "no":
                frame = {"fill": False, "edgecolor": drawing.ORANGE, "linewidth": 2}
                axes.add_patch(Rectangle((x - 0.46, y - 0.46), 0.92, 0.92, **frame))
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(rows)), list(rows.values()))
    axes.tick_params(length=0)
    axes.grid(visible=False)
    means = table[table["part"] == ""].set_index("seen")
    told = [
        f"mean {word}: {100 * means.loc[seen, column]:.1f} ({_between(means.loc[seen], column)})"
        for word, seen in (("unseen", "no"), ("seen", "yes"))
        if seen in means.index
    ]
    axes.set_title("\n".join([f"{SHOWN[column][0]} (%)", *told]))
    return shades


def _between(row: pd.Series, column: str) -> str:
    """The interval of a cell, of groups where there is one; "" where there is none."""
    for name in SHOWN[column][1]:
        low, high = row[f"{name}_low"], row[f"{name}_high"]
        if not np.isnan(low) and not np.isnan(high):
            return f"{100 * low:.0f}–{100 * high:.0f}"
    return ""
