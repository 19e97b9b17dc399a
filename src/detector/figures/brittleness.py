"""Brittleness.

How much more each branch's accuracy changed under a perturbation than that of its reference, on the same images:
below 0 it lost more. Of a system, which has a baseline alone, how much more its accuracy changed than that of each
network. Filled markers have the verdict more or less brittle, corrected for all comparisons of the run, or of all
systems of the seed; hollow ones are undecided or as brittle, and the table says which; the grey band is the
margin. Bars are 95 % intervals of one comparison each, so some leave out 0 by chance; they are of groups where it
is known which images belong together. All of it is about these networks: to say that pruning as such makes brittle
takes more seeds.
"""

from collections.abc import Mapping
from itertools import cycle
from pathlib import Path

import pandas as pd

from detector.experiment.variants import BASELINE, DENSE_CONTROL
from detector.figures import drawing
from detector.figures.robustness import of_run, panels_of_kinds, place, styles_of_branches

FILE = "brittleness_{arch}_seed{seed}.svg"
FROM = {"table": "tables/robustness.csv"}


def draw(path: Path, table: pd.DataFrame, arch: str, seed: int) -> None:
    """Draw a run against its dense control, else its baseline, a system against networks; a note where none is."""
    rows = of_run(table, arch, seed)
    title = f"Does pruning make it more brittle? {arch}, seed {seed}, all test sets"
    reference = next((name for name in (DENSE_CONTROL, BASELINE) if (rows["reference"] == name).any()), None)
    if reference is None and rows["reference"].notna().any():
        title = f"More brittle than networks? {arch}, seed {seed}, all test sets"
        against_networks(path, rows[rows["reference"].notna()], title)
    elif reference is None:
        drawing.note(path, title, "there is nothing to compare")
    else:
        brittleness(path, rows[rows["reference"] == reference], reference, title)


def brittleness(path: Path | str, table: pd.DataFrame, reference: str, title: str) -> None:
    """Draw how much more each branch's accuracy changed than that of `reference`, below 0 = more brittle."""
    styles = styles_of_branches([reference, *table["branch"].unique()])
    styles.pop(reference)
    _draw(path, table, reference, title, styles)


def against_networks(path: Path | str, table: pd.DataFrame, title: str) -> None:
    """Draw how much more a system's accuracy changed than that of each network, in the place of its branches."""
    names = table["reference"].unique()
    styles = {
        name: {"marker": marker, "color": colour, "linestyle": "none", "markersize": 4}
        for name, (marker, colour) in zip(names, cycle(drawing.SERIES))
    }
    _draw(path, table.assign(branch=table["reference"]), "the network", title, styles)


def _draw(
    path: Path | str, table: pd.DataFrame, reference: str, title: str, styles: Mapping[str, drawing.Style]
) -> None:
    margin = 100 * table["margin"].iloc[0]
    label = f"change of accuracy less\nthat of {reference} (points)"
    with panels_of_kinds(path, table, title, label, styles) as panels:
        for axes, part in panels:
            axes.axhspan(-margin, margin, color="0.85", zorder=0)
            axes.axhline(0, color="0.3", linewidth=0.8)
            place(axes, part, styles, ("extra", "extra_low", "extra_high"), lines=False)
