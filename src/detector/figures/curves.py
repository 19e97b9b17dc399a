"""Training curves.

Loss and accuracy of each branch by epoch, dashed on training and solid on validation images; the star marks the
epoch whose weights are kept: the best of those in which all pruning is done. A training line that leaves the
validation line behind is overfitting. Training values are averages over an epoch in which the network still
changed, so they may start below validation. The loss axis is one for all branches, the accuracy axes are not:
compare accuracies by the numbers above the panels.
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from detector.figures import drawing

FILE = "curves_{arch}_seed{seed}.svg"
FROM = {
    "histories": "runs/{arch}/seed{seed}/{branch}/history.csv",
    "metas": "runs/{arch}/seed{seed}/{branch}/meta.json",
}


def draw(path: Path, histories: dict[str, pd.DataFrame], metas: dict[str, dict], arch: str, seed: int) -> None:
    """Draw all branches of a run, each with the epoch that its meta.json names."""
    kept = {branch: meta["best_epoch"] for branch, meta in metas.items()}
    training_curves(path, histories, kept, f"Training: {arch}, seed {seed}")


def training_curves(
    path: Path | str, histories: Mapping[str, pd.DataFrame], kept: Mapping[str, int], title: str
) -> None:
    """Draw how each branch learned: loss above, accuracy below, one panel per branch, epochs to the right.

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
