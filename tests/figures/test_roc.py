"""ROC curves show the areas of metrics.csv, lose nothing that can be seen, and say where there is no curve."""

import re

import numpy as np
from matplotlib.figure import Figure

from detector.figures import roc
from tests.support.figures import measured, run_predictions, texts

BRANCHES = ("baseline", "l1-00", "l1-40", "l1-90", "matched-40", "random-40")


def test_the_figures_show_the_areas_of_the_table(tmp_path):
    found = run_predictions(BRANCHES)
    table = measured(found)
    tests = {branch: {name: sets[name] for name in ("faces", "fakes")} for branch, sets in found.items()}
    for name in ("faces", "fakes", "combined"):
        roc.draw(tmp_path / f"{name}.svg", tests, "resnet18", 0, name)
    for name in ("faces", "combined"):
        areas = [f"{table.loc[(branch, name), 'auc']:.4f}  {branch}" for branch in BRANCHES]
        assert [text for text in texts(tmp_path / f"{name}.svg") if re.match(r"0\.\d{4} ", text)] == areas
    assert texts(tmp_path / "fakes.svg").count("no real images here: there is no curve") == 2
    assert "ROC curves: resnet18, seed 0, all test images" in texts(tmp_path / "combined.svg")


def test_thinning_keeps_the_curve():
    rng = np.random.default_rng(0)
    x, y = (np.sort(rng.random(20_000)) * 100 for _ in range(2))
    axes = Figure().subplots()
    for scale, limits in (("linear", (0, 100)), ("log", (0.01, 100))):
        axes.set_xscale(scale)
        axes.set_xlim(*limits)
        kept = roc._thinned(axes, x, y)
        assert len(kept[0]) < 4000
        assert np.diff(kept[1]).max() < 0.25, "a point that can be seen is missing"
        seen = x >= limits[0]
        assert np.abs(np.interp(x, *kept) - y)[seen].max() < 0.25
