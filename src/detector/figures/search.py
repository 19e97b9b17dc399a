"""Trials of the search.

Each trial of each branch's search, or of the one that all share: learning rate against the validation accuracy
reached, the marker telling the optimizer, hollow where a trial was stopped early. The star is the trial whose
settings fine-tuning used. A star at the edge of the range says that the best value may lie outside it. With few
trials the height of one point is as much chance as effect.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from detector.figures import drawing

FILE = "search_{arch}_seed{seed}.svg"
FROM = {"trials": "runs/{arch}/seed{seed}/{searched}/trials.csv"}


def draw(path: Path, trials: dict[str, pd.DataFrame], arch: str, seed: int) -> None:
    """Draw the searches of a run."""
    search_trials(path, trials, f"Search: {arch}, seed {seed}")


def search_trials(path: Path | str, trials: Mapping[str, pd.DataFrame], title: str) -> None:
    """Draw learning rate against validation accuracy: one panel per branch, one point per trial.

    `trials`: trials.csv by branch. The marker is the optimizer, hollow where the trial was stopped early; the star
    is the trial whose settings fine-tuning uses. Both axes are the same in all panels.
    """
    table = pd.concat(trials.values())
    styles = dict(zip(sorted(table["optimizer"].unique()), drawing.SERIES, strict=False))
    shape = rows, columns = drawing.shape(len(trials), 5)
    with drawing.figure(path, title, max(2.1 * columns + 0.6, 5.0), 2.3 * rows + 0.9) as figure:
        panels = drawing.panels(
            figure, len(trials), shape, "learning rate", "validation accuracy (%)", share="both"
        )
        for axes, (branch, tried) in zip(panels, trials.items(), strict=True):
            best = tried.loc[tried["score"].idxmax()]
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
