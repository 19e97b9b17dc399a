"""How well the logits of each branch rank images, and how far their probabilities can be believed, as charts."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter
from scipy.special import expit

from detector import drawing, metrics, scores
from detector.calibration import temperature

Scored = tuple[
    np.ndarray, np.ndarray
]  # label int (n,), 1 = real; logit float (n,), the more below 0 the more fake

_BASELINE = {"linestyle": (0, (5, 3)), "linewidth": 1.6}
_CONTROL = {"linestyle": "-", "linewidth": 1.8}
_MATCHED = {"linestyle": ":", "linewidth": 1.8}
_HALF = {"marker": "o", "markerfacecolor": "white", "markersize": 4, "linestyle": "none"}
_RAW = {"color": drawing.GREY, "marker": "s", "markerfacecolor": "white", "linestyle": "--"}
_SCALED = {"color": drawing.BLUE, "marker": "o", "linestyle": "-"}
_PERFECT = {"color": "black", "linestyle": ":", "linewidth": 0.8}
_HISTOGRAM = np.linspace(0, 1, 21)


def roc_curves(path: Path | str, predictions: Mapping[str, Scored], title: str) -> None:
    """How many fakes each branch finds for how many false alarms, on one test set; at the right, few alarms.

    `predictions` by branch. The right panel has a logarithmic axis that begins at one real image: there branches
    differ and there a detector is used. A ring is the cut at probability one half. The legend has the areas under
    the curves. Where a class is missing there is no curve, and the figure says so.
    """
    with drawing.figure(path, title, 11.0, 4.6) as figure:
        panels = figure.subplots(1, 2, sharey=True)
        label = next(iter(predictions.values()))[0]
        reals, fakes = int((label == 1).sum()), int((label == 0).sum())
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
        entries = {"area under the curve": {"linestyle": "none"}}
        colours = drawing.colours(predictions)
        for order, (branch, (label, logit)) in enumerate(predictions.items()):
            false, true, _ = scores.roc(label, logit)
            counts = metrics.confusion(label, logit)
            look = _line(branch) | {"color": colours[branch]}
            for axes in panels:
                axes.plot(*_thinned(axes, 100 * false / reals, 100 * true / fakes), **look, zorder=3 + order / 100)
                ring = 100 * counts["fp"] / reals, 100 * counts["tp"] / fakes
                axes.plot(*ring, color=look["color"], zorder=4, **_HALF)
            entries[f"{metrics.auc(label, logit):.4f}  {branch}"] = look
        panels[0].plot([0, 100], [0, 100], **_PERFECT)
        shares = np.geomspace(100 / reals, 100, 200)
        panels[1].plot(shares, shares, **_PERFECT)
        entries |= {"probability one half": _HALF | {"color": "black"}, "a coin": _PERFECT}
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


def _line(branch: str) -> dict:
    if branch == "baseline":
        return _BASELINE
    method = branch.rpartition("-")[0]
    if drawing.is_control(branch):
        return _MATCHED if method == "matched" else _CONTROL
    return {"linestyle": drawing.METHODS.get(method, drawing.OTHER)["linestyle"], "linewidth": 1.1}


def reliability_diagrams(path: Path | str, predictions: Mapping[str, tuple[Scored, Scored]], title: str) -> None:
    """Whether probabilities come true: what was said against what was so, for each branch, and how often.

    `predictions`: validation and test images by branch. Points are the bins of the `ece` of metrics.csv, each of
    equally many test images, with Wilson's 95 % interval; before and after division by the temperature that was
    fitted on the validation images. On the dotted line, probabilities are right; below it the model says fake too
    surely. The lower panels count images by probability.
    """
    rows, columns = drawing.shape(len(predictions), 5)
    with drawing.figure(path, title, 2.2 * columns + 1.0, 3.4 * rows + 0.8) as figure:
        grid = figure.subplots(2 * rows, columns, squeeze=False, sharex=True, height_ratios=[3, 1] * rows)
        for spare in range(len(predictions), rows * columns):
            for axes in grid[2 * (spare // columns) :, spare % columns][:2]:
                axes.remove()
        for i, (branch, ((label, logit), test)) in enumerate(predictions.items()):
            heat = temperature(label, logit) if len(label) else np.nan
            above, below = grid[2 * (i // columns) : 2 * (i // columns) + 2, i % columns]
            errors = [
                _reliability(above, below, test[0], np.asarray(test[1], dtype=np.float64) / by, style)
                for by, style in ((1.0, _RAW), (heat, _SCALED))
            ]
            above.set_title(f"{branch}\nT = {heat:.2f}, ECE {errors[0]:.3f} → {errors[1]:.3f}")
            above.plot([0, 1], [0, 1], **_PERFECT)
            above.set_aspect("equal", adjustable="box")
            above.set_ylim(-0.03, 1.03)
            if i % columns == 0:
                above.set_ylabel("share of fakes")
                below.set_ylabel("images")
            if i + columns >= len(predictions):
                below.set_xlabel("probability of a fake")
                below.tick_params(labelbottom=True)
        entries = {"as trained": _RAW, "divided by the temperature": _SCALED, "right": _PERFECT}
        drawing.legend(figure, entries)


def _reliability(above: Axes, below: Axes, label: np.ndarray, logit: np.ndarray, style: Mapping) -> float:
    """One line and its histogram; returns the calibration error."""
    chance, share, count = scores.reliability(label, logit)
    low, high = np.transpose([metrics.wilson(s, n) for s, n in zip(share, count, strict=True)]).reshape(2, -1)
    bars = {"markersize": 3, "linewidth": 0.9, "elinewidth": 0.7}
    above.errorbar(chance, share, yerr=np.abs([share - low, high - share]), **style, **bars)
    line = {"color": style["color"], "linestyle": style["linestyle"], "linewidth": 0.9}
    below.stairs(np.histogram(expit(-logit), _HISTOGRAM)[0], _HISTOGRAM, **line)
    return scores.probabilities(label, logit)["ece"]
