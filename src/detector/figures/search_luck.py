"""Luck of the search.

The best validation score of each search by the number of its trials: the line is the mean over all orders in
which the recorded trials could have come, the band holds 95 % of them, and the steps are the order in which they
came. Of all trials there is one set alone, so the band closes at the right whatever another search would have
found. A line that still climbs there says that more trials may find better settings; one that does not is no
proof that they cannot: if trials are independent draws, one more beats all n with a chance of 1 / (n + 1). After
the first search.startup_trials (ten) a sampler learns from earlier ones; then the steps count, not the line.
"""

from pathlib import Path

import pandas as pd
from matplotlib.ticker import MaxNLocator

from detector.figures import drawing

FILE = "search_luck_{arch}_seed{seed}.svg"
FROM = {"table": "tables/search_luck.csv"}
# By what trials are selected by: the label of its axis, and what the score is multiplied with.
SCORES = {
    "accuracy": ("accuracy (%)", 100),
    "balanced_accuracy": ("balanced accuracy (%)", 100),
    "generators": ("accuracy, mean over generators (%)", 100),
    "auc": ("AUC", 1),
    "loss": ("loss (nats, negative)", 1),
}


def draw(path: Path, table: pd.DataFrame, arch: str, seed: int) -> None:
    """Draw the searches of a run, one panel each."""
    rows = table[(table["arch"] == arch) & (table["seed"] == seed)]
    search_luck(path, rows, f"Were the trials enough? {arch}, seed {seed}")


def search_luck(path: Path | str, table: pd.DataFrame, title: str) -> None:
    """Draw search_luck.csv of one run: best validation score against trials, one panel per search."""
    searches = dict(list(table.groupby("branch", sort=False)))
    shape = rows, columns = drawing.shape(len(searches), 5)
    with drawing.figure(path, title, max(2.1 * columns + 0.6, 5.0), 2.3 * rows + 0.9) as figure:
        label, factor = SCORES[table["selected_by"].iloc[0]]
        panels = drawing.panels(figure, len(searches), shape, "trials", f"best validation\n{label}", share="both")
        for axes, (branch, part) in zip(panels, searches.items(), strict=True):
            verdict = part["verdict"].iloc[-1]
            axes.set_title(f"{branch}\n{verdict}" if isinstance(verdict, str) else branch)
            low, high = factor * part["expected_low"], factor * part["expected_high"]
            axes.fill_between(part["draws"], low, high, **_BAND)
            axes.plot(part["draws"], factor * part["best_so_far"], drawstyle="steps-post", **_CAME)
            axes.plot(part["draws"], factor * part["expected_best"], **_MEAN)
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
        drawing.legend(
            figure,
            {"mean over all orders": _MEAN, "95 % of them": _BAND | {"linewidth": 8}, "as they came": _CAME},
        )


_MEAN: drawing.Style = {"color": drawing.BLUE, "linestyle": "-", "marker": "o", "markersize": 3}
_CAME: drawing.Style = {"color": drawing.ORANGE, "linestyle": "--"}
_BAND: drawing.Style = {"color": drawing.BLUE, "alpha": 0.2, "linewidth": 0}
