"""Confusion matrices.

Which errors each branch makes on one test set (the study's Fig 5): true class by row, called class by column,
fake first because it is the positive class. Top right are fakes missed, bottom left real images accused. The
percentages are shares of a row and do not depend on how many images a class has; a hatched row means that the
test set has no image of that class. Between branches, compare with ``l1-00`` before giving pruning the credit.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from detector.figures import drawing
from detector.figures.scores import Scored, scored
from detector.stats import classification

FILE = "confusion_{arch}_seed{seed}_{source}.svg"
FROM = {"predictions": "runs/{arch}/seed{seed}/{branch}/predictions/{source}.parquet"}


def draw(path: Path, predictions: dict[str, dict[str, pd.DataFrame]], arch: str, seed: int, source: str) -> None:
    """Draw all branches of a run on the test images of one source. Raises as `scores.scored`."""
    found = scored(
        {branch: {source: sets[source]} for branch, sets in predictions.items()}, f"{arch}, seed {seed}"
    )
    title = f"Confusion matrices: {arch}, seed {seed}, test images of {source}"
    confusion_matrices(path, {branch: sets[source] for branch, sets in found.items()}, title)


def confusion_matrices(path: Path | str, predictions: Mapping[str, Scored], title: str) -> None:
    """Draw which errors each branch makes: true class by row, called class by column, fake (positive) first.

    `predictions`: label (n,), 1 = real, and logit (n,), below 0 = called fake, by branch. A cell holds the count
    and its share of the row; the shade is that share, on one scale for all branches. A good detector is dark from
    top left to bottom right. A class without images leaves its row hatched.
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
