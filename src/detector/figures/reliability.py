"""Reliability diagrams.

Whether probabilities come true, on all test images of a run. Each point is a fifteenth of the images: the mean
probability of a fake that was given, and the share of fakes there was, with Wilson's 95 % interval. On the
dotted line the two agree; an S from above the line to below it is a network that is too sure of itself. Squares
are the logits as trained, circles the same divided by a temperature ``T`` that was fitted on validation images
alone. ``ECE`` is the mean distance from the line, before and after (``metrics.csv``, combined); chance alone
makes it more than 0. The lower panels count the images. A temperature changes no verdict and no ROC curve.
Agreement here holds for images like these, in this mixture of real and fake; on another mixture or an unseen
generator the same probabilities can be wrong.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy.special import expit

from detector.experiment.variants import COMBINED, VALID
from detector.figures import drawing
from detector.figures.drawing import PERFECT
from detector.figures.scores import Scored, scored
from detector.stats import calibration, intervals
from detector.stats.calibration import temperature

FILE = "reliability_{arch}_seed{seed}.svg"
FROM = {"predictions": "runs/{arch}/seed{seed}/{branch}/predictions/{set}.parquet"}
_RAW = {"color": drawing.GREY, "marker": "s", "markerfacecolor": "white", "linestyle": "--"}
_SCALED = {"color": drawing.BLUE, "marker": "o", "linestyle": "-"}
_HISTOGRAM = np.linspace(0, 1, 21)


def draw(path: Path, predictions: dict[str, dict[str, pd.DataFrame]], arch: str, seed: int) -> None:
    """Draw all branches of a run on all its test images. Raises as `scores.scored`."""
    found = scored(predictions, f"{arch}, seed {seed}")
    shown = {branch: (sets[VALID], sets[COMBINED]) for branch, sets in found.items()}
    reliability_diagrams(path, shown, f"Reliability: {arch}, seed {seed}, all test images")


def reliability_diagrams(
    path: Path | str, predictions: Mapping[str, tuple[Scored, Scored]], title: str, raw: str = "as trained"
) -> None:
    """Whether probabilities come true: what was said against what was so, for each model, and how often.

    `predictions`: validation and test images by model. Points are the bins of the `ece` of metrics.csv, each of
    equally many test images, with Wilson's 95 % interval; before and, where there are validation images, after
    division by the temperature that was fitted on them. On the dotted line, probabilities are right; below it the
    model says fake too surely. The lower panels count images by probability. `raw`: what the legend calls
    probabilities before the division.
    """
    rows, columns = drawing.shape(len(predictions), 5)
    with drawing.figure(path, title, 2.2 * columns + 1.0, 3.4 * rows + 0.8) as figure:
        grid = figure.subplots(2 * rows, columns, squeeze=False, sharex=True, height_ratios=[3, 1] * rows)
        for spare in range(len(predictions), rows * columns):
            for axes in grid[2 * (spare // columns) :, spare % columns][:2]:
                axes.remove()
        for i, (branch, ((label, logit), test)) in enumerate(predictions.items()):
            looks = [(1.0, _RAW)] + ([(temperature(label, logit), _SCALED)] if len(label) else [])
            above, below = grid[2 * (i // columns) : 2 * (i // columns) + 2, i % columns]
            errors = [
                _reliability(above, below, test[0], np.asarray(test[1], dtype=np.float64) / by, style)
                for by, style in looks
            ]
            shown = " → ".join(f"{error:.3f}" for error in errors)
            fitted = f"T = {looks[-1][0]:.2f}, " if len(label) else ""
            above.set_title(f"{branch}\n{fitted}ECE {shown}")
            above.plot([0, 1], [0, 1], **PERFECT)
            above.set_aspect("equal", adjustable="box")
            above.set_ylim(-0.03, 1.03)
            if i % columns == 0:
                above.set_ylabel("share of fakes")
                below.set_ylabel("images")
            if i + columns >= len(predictions):
                below.set_xlabel("probability of a fake")
                below.tick_params(labelbottom=True)
        entries = {raw: _RAW, "divided by the temperature": _SCALED, "right": PERFECT}
        if not any(len(label) for (label, _), _ in predictions.values()):
            del entries["divided by the temperature"]
        drawing.legend(figure, entries)


def _reliability(above: Axes, below: Axes, label: np.ndarray, logit: np.ndarray, style: Mapping) -> float:
    """One line and its histogram; returns the calibration error."""
    chance, share, count = calibration.reliability(label, logit)
    low, high = np.transpose([intervals.wilson(s, n) for s, n in zip(share, count, strict=True)]).reshape(2, -1)
    bars = {"markersize": 3, "linewidth": 0.9, "elinewidth": 0.7}
    above.errorbar(chance, share, yerr=np.abs([share - low, high - share]), **style, **bars)
    line = {"color": style["color"], "linestyle": style["linestyle"], "linewidth": 0.9}
    below.stairs(np.histogram(expit(-logit), _HISTOGRAM)[0], _HISTOGRAM, **line)
    return calibration.probabilities(label, logit)["ece"]
