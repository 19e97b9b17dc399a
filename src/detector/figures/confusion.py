"""Figure of confusion matrices."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from detector.figures import drawing
from detector.stats import classification


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
            counts = classification.confusion(label, logit)
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
