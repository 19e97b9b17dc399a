"""ROC curves and reliability diagrams show the numbers of metrics.csv, and say where there is nothing to show."""

import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from scipy.special import expit

from detector.experiment.variants import Variant
from detector.figures import calibration, ranking
from detector.stats.calibration import BINS, probabilities, reliability, temperature
from detector.tables.metrics import metrics
from tests.figures.test_figures import SCRIPTS, scored, texts

BRANCHES = ("baseline", "l1-00", "l1-40", "l1-90", "matched-40", "random-40")


def test_the_bins_are_those_of_the_calibration_error():
    label, logit = scored("x", 70, 61)
    chance, share, count = reliability(label, logit)
    assert (len(count), count.sum()) == (BINS, 131)
    assert (np.abs(chance - share) * count).sum() / 131 == pytest.approx(probabilities(label, logit)["ece"])
    assert (chance * count).sum() == pytest.approx(expit(-logit).sum())


def test_fewer_images_than_bins():
    chance, share, count = reliability(np.array([0, 1, 0]), np.array([-1.0, 2.0, 0.5]))
    assert (share.tolist(), count.tolist()) == ([1, 1, 0], [1, 1, 1])
    assert chance == pytest.approx(expit([1.0, -0.5, -2.0]))


def test_the_figures_show_the_numbers_of_the_table(tmp_path):
    """The script as the workflow calls it, and metrics.csv of the same predictions."""
    found = {}
    for branch in BRANCHES:
        sets = {}
        for name, counts in (("valid", (80, 70)), ("faces", (60, 40)), ("fakes", (0, 30))):
            label, logit = scored(branch + name, *counts)
            sets[name] = pd.DataFrame(
                {
                    "label": label,
                    "logit": logit,
                    "source": name,
                    "path": [str(i) for i in range(len(label))],
                    "generator": "",
                }
            )
            (tmp_path / branch).mkdir(exist_ok=True)
            sets[name].to_parquet(tmp_path / branch / f"{name}.parquet")
        found[Variant("resnet18", 0, branch)] = sets
    places = {name: tmp_path / f"{name}.svg" for name in ("faces", "fakes", "combined")}
    done = subprocess.run(
        [
            *(
                sys.executable,
                SCRIPTS / "figures/ranking.py",
                "--title",
                "resnet18",
                "--sets",
                "valid",
                "faces",
                "fakes",
            ),
            *("--predictions", *(f"{branch}={tmp_path / branch}" for branch in BRANCHES)),
            *("--roc", *(f"{name}={path}" for name, path in places.items())),
            *("--reliability", tmp_path / "reliability.svg", "--log", tmp_path / "log"),
        ],
        env=os.environ,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    table = pd.DataFrame(metrics(found)).query("threshold == '0.5'").set_index(["branch", "testset"])
    for name in ("faces", "combined"):
        areas = [f"{table.loc[(branch, name), 'auc']:.4f}  {branch}" for branch in BRANCHES]
        assert [text for text in texts(places[name]) if re.match(r"0\.\d{4} ", text)] == areas
    assert texts(places["fakes"]).count("no real images here: there is no curve") == 2
    errors = table.xs("combined", level="testset")
    expected = [
        f"T = {row['temperature']:.2f}, ECE {row['ece']:.3f} → {row['ece_scaled']:.3f}"
        for _, row in errors.iterrows()
    ]
    assert [text for text in texts(tmp_path / "reliability.svg") if text.startswith("T = ")] == expected


def test_the_temperature_is_that_of_validation_images(tmp_path):
    label, logit = scored("x", 300, 300)
    calibration.reliability_diagrams(tmp_path / "x.svg", {"l1-40": ((label, 3 * logit), (label, logit))}, "T")
    heat = temperature(label, 3 * logit)
    assert any(text.startswith(f"T = {heat:.2f}, ") for text in texts(tmp_path / "x.svg"))


def test_thinning_keeps_the_curve():
    rng = np.random.default_rng(0)
    x, y = (np.sort(rng.random(20_000)) * 100 for _ in range(2))
    axes = Figure().subplots()
    for scale, limits in (("linear", (0, 100)), ("log", (0.01, 100))):
        axes.set_xscale(scale)
        axes.set_xlim(*limits)
        kept = ranking._thinned(axes, x, y)
        assert len(kept[0]) < 4000
        assert np.diff(kept[1]).max() < 0.25, "a point that can be seen is missing"
        seen = x >= limits[0]
        assert np.abs(np.interp(x, *kept) - y)[seen].max() < 0.25
