"""Each trial says whether another beats it, and its line of config makes it a branch and drops none."""

import pandas as pd
import pytest
import yaml

from detector.experiment.branches import branches
from detector.experiment.variants import Branch
from detector.tables.pareto import COLUMNS, line, pareto
from tests.support.tables import written

TRIALS = pd.DataFrame(
    {
        "trial": [0, 1, 2, 3],
        "state": ["COMPLETE"] * 3 + ["DIVERGED"],
        "method": ["l1", "channels", "l1", "l1"],
        "percent": [40, 55, 5, 90],
        "optimizer": ["Adam", "SGD", "Adam", "SGD"],
        "learning_rate": [1.23456e-5, 1e-4, 1e-5, 1e-3],
        "weight_decay": [None, 0.1, None, None],
        "valid_accuracy": [0.9, 0.9, 0.95, None],
        "bytes": [200.0, 100.0, 900.0, None],
        **{"epochs": 1, "seconds": 1.0, "device": "cpu", "precision": "fp32"},
    }
)


def test_pareto(tmp_path):
    got = written(pareto({("resnet18", 3): TRIALS}, "bytes", {"l1": [0.4]}), COLUMNS, tmp_path)
    assert got["front"].tolist() == ["no", "yes", "yes", "no"], "as accurate, and larger; diverged"
    assert got["branch"].tolist() == ["l1-40", "channels-55", "l1-05", "l1-90"]
    assert got["percent_of"].tolist() == ["weights", "parameters", "weights", "weights"]
    assert got["knobs"].tolist()[:2] == [
        "optimizer Adam, learning_rate 1.23e-05",
        "optimizer SGD, learning_rate 0.0001, weight_decay 0.1",
    ]
    assert got["value"].tolist()[:3] == [200, 100, 900]
    assert ",bytes,200,no," in (tmp_path / "table.csv").read_text(), "a count has all its digits"
    assert set(got["goal"]) == {"bytes"}
    assert set(got["seed"]) == {3}
    assert got["config"].fillna("").tolist() == [
        "",
        "prune: {methods: {channels: [0.55]}}",
        "prune: {methods: {l1: [0.05, 0.4]}}",
        "prune: {methods: {l1: [0.4, 0.9]}}",
    ]


def test_runs_do_not_beat_each_other():
    worse = TRIALS.assign(valid_accuracy=TRIALS["valid_accuracy"] - 0.1)
    rows = pareto({("resnet18", 0): TRIALS, ("resnet18", 1): worse}, "bytes", {})
    assert [row["front"] for row in rows[4:]] == [row["front"] for row in rows[:4]]


@pytest.mark.parametrize("percent", [1, 7, 29, 57, 58, 95])
def test_the_line_makes_the_point_a_branch_beside_those_there_are(percent):
    """Percents whose share is no round binary number come back whole."""
    methods, branch = {"l1": [0.1, 0.29, 0.4], "channels": [0.5]}, Branch("l1", percent)
    said = line(methods, branch)
    overlay = yaml.safe_load(said)["prune"]["methods"] if said else {}
    made = branches({"prune": {"methods": {**methods, **overlay}, "dense_control": True, "ramp": 5}})
    assert {str(branch), "l1-00", "l1-10", "l1-29", "l1-40", "channels-50"} == set(made)
