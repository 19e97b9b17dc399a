"""ROC curves.

How many fakes each branch finds for how many false alarms, at every cut, on one test set. Up and to the left is
better; a ring is the cut at probability one half, and the number beside a branch is the area under its curve.
The right panel has the same curves where false alarms are rare, on a logarithmic axis from one real image on:
there branches that look alike on the left differ, and there few images decide. Compare a branch with the dense
and matched controls (grey), not with the baseline alone. Which differences of areas are more than chance stands
in ``metrics.csv`` (intervals), of accuracies in ``significance.csv``. A curve says how well logits rank these
images, not which cut will hold on others: cuts are chosen on validation images. Where a source has no real or no
fake images, there is no curve.
"""

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

from detector.experiment.variants import COMBINED, MATCHED, Branch
from detector.figures import drawing
from detector.figures.drawing import PERFECT
from detector.figures.scores import Scored, scored
from detector.stats import classification, ranking
from detector.stats.auc import auc

FILE = "roc_{arch}_seed{seed}_{testset}.svg"
FROM = {"predictions": "runs/{arch}/seed{seed}/{branch}/predictions/{source}.parquet"}
_BASELINE: drawing.Style = {"linestyle": (0, (5, 3)), "linewidth": 1.6}
_CONTROL = {"linestyle": "-", "linewidth": 1.8}
_MATCHED = {"linestyle": ":", "linewidth": 1.8}
_HALF: drawing.Style = {"marker": "o", "markerfacecolor": "white", "markersize": 4, "linestyle": "none"}


def draw(path: Path, predictions: dict[str, dict[str, pd.DataFrame]], arch: str, seed: int, testset: str) -> None:
    """Draw all branches of a run on one test set. Raises as `scores.scored`."""
    found = scored(predictions, f"{arch}, seed {seed}")
    of = "all test images" if testset == COMBINED else f"test images of {testset}"
    shown = {branch: sets[testset] for branch, sets in found.items()}
    roc_curves(path, shown, f"ROC curves: {arch}, seed {seed}, {of}")


def roc_curves(
    path: Path | str,
    predictions: Mapping[str, Scored],
    title: str,
    *,
    styles: Mapping[str, drawing.Style] | None = None,
    cut: str = "probability one half",
    without: Collection[str] = (),
) -> None:
    """Draw the ROC curves of all models on one test set; at the right, few false alarms.

    `predictions` by model, `styles` too; without styles, models are branches. The right panel has a logarithmic
    axis that begins at one real image: there models differ and there a detector is used. A ring is the cut at 0,
    called `cut` in the legend; models `without` one have none. The legend has the areas under the curves. Where a
    class is missing there is no curve, and the figure says so.
    """
    with drawing.figure(path, title, 11.0, 4.6) as figure:
        panels = figure.subplots(1, 2, sharey=True)
        reals, fakes = (max(int((label == kind).sum()) for label, _ in predictions.values()) for kind in (1, 0))
        panels[0].set_ylabel("fakes found (%)")
        for axes, scale in zip(panels, ("linear", "log"), strict=True):
            axes.set_xlabel("real images called fake (%)" + (", logarithmic" if scale == "log" else ""))
        if not reals or not fakes:
            missing = "real" if fakes else "fake"
            for axes in panels:
                axes.text(0.5, 0.5, f"no {missing} images here: there is no curve", ha="center")
                axes.set_xticks([])
                axes.set_yticks([])
            return
        panels[0].set_title(f"{reals:,} real, {fakes:,} fake")
        panels[1].set_title("few false alarms")
        panels[1].set_xscale("log")
        panels[1].set_xlim(100 / max(reals, 2), 100)
        panels[1].xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if reals < 100 else (1,)))
        panels[1].xaxis.set_major_formatter("{x:g}")
        panels[1].xaxis.set_minor_formatter(NullFormatter())
        panels[0].set_ylim(-2, 102)
        styles = _of_branches(predictions) if styles is None else styles
        entries: dict[str, drawing.Style] = {"area under the curve": {"linestyle": "none"}}
        for order, (name, (label, logit)) in enumerate(predictions.items()):
            false, true, _ = ranking.roc(label, logit)
            if not false[-1] or not true[-1]:
                continue
            counts, look = classification.confusion(label, logit), styles[name]
            x, y = 100 * false / false[-1], 100 * true / true[-1]
            for axes in panels:
                axes.plot(*_thinned(axes, x, y), **look, zorder=3 + order / 100)
                if name not in without:
                    ring = 100 * counts["fp"] / false[-1], 100 * counts["tp"] / true[-1]
                    axes.plot(*ring, color=look["color"], zorder=4, **_HALF)
            entries[f"{auc(label, logit):.4f}  {name}"] = look
        panels[0].plot([0, 100], [0, 100], **PERFECT)
        shares = np.geomspace(100 / reals, 100, 200)
        panels[1].plot(shares, shares, **PERFECT)
        if len(without) < len(predictions):
            entries[cut] = _HALF | {"color": "black"}
        entries["a coin"] = PERFECT
        drawing.legend(figure, entries, side=True)


def _thinned(axes: Axes, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A rising curve without the points that lie where the one before does, to a thousandth of the panel."""
    low, high = axes.get_xlim()
    if axes.get_xscale() == "log":
        place = np.log(np.maximum(x, low) / low) / np.log(high / low)
    else:
        place = x / 100
    cells = np.round(1000 * np.stack([place, y / 100]))
    kept = np.append(True, (np.diff(cells) != 0).any(axis=0))
    return x[kept], y[kept]


def _of_branches(names: Collection[str]) -> dict[str, drawing.Style]:
    colours = drawing.colours(names)
    return {name: _line(name) | {"color": colours[name]} for name in names}


def _line(name: str) -> drawing.Style:
    branch = Branch.of(name)
    if not branch.method:
        return _BASELINE
    if branch.is_control:
        return _MATCHED if branch.method == MATCHED else _CONTROL
    return {"linestyle": drawing.METHODS.get(branch.method, drawing.OTHER)["linestyle"], "linewidth": 1.1}
