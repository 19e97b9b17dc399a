"""A search for two goals has exactly the configured trials, and a broken one draws what an unbroken one does."""

import argparse
import copy
import importlib.util
import json
import time

import pytest
import torch
from torch import nn

from detector.core.errors import DetectorError, DivergedError
from detector.models import devices
from detector.training import pareto, search
from tests.support import ROOT

KNOBS = search.Space({"optimizer": ["Adam", "SGD"], "learning_rate": {"low": 1e-6, "high": 1e-4, "log": True}})
SPACE = pareto.Space(("l1", "channels"), (30, 95), KNOBS)
TRIALS = 14  # TPE learns from the eleventh on


def score(number, values, report):
    """A made-up accuracy that falls with the percent, and a size that falls faster where channels go."""
    report(1, 0.5)
    size = 100 - values["percent"] * (1.1 if values["method"] == "channels" else 1.0)
    return (1 - (values["percent"] / 100) ** 3 + 100 * values["learning_rate"], size), 1


def searched(path, objective=score, trials=TRIALS, seed=0):
    return pareto.run(path, SPACE, trials, seed, objective, key="study", goal="parameters")


def timeless(rows):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def test_values_are_in_the_space_and_rows_have_both_goals(tmp_path):
    rows = searched(tmp_path / "j.log")
    assert [row["trial"] for row in rows] == list(range(TRIALS))
    assert {row["method"] for row in rows} == {"l1", "channels"}
    assert all(isinstance(row["percent"], int) and 30 <= row["percent"] <= 95 for row in rows)
    for row in rows:
        assert (row["valid_accuracy"], row["parameters"]) == score(0, row, lambda *_: None)[0]
    assert list(rows[0]) == [
        *("trial", "state", "method", "percent", "optimizer", "learning_rate", "valid_accuracy", "parameters"),
        *("epochs", "seconds", "device", "precision"),
    ]


def test_the_seed_decides(tmp_path):
    first, again, other = (searched(tmp_path / f"{n}.log", seed=seed) for n, seed in enumerate((0, 0, 1)))
    assert timeless(first) == timeless(again)
    assert timeless(first) != timeless(other)


@pytest.mark.parametrize("breaks_in", [0, 5, 12])
def test_a_broken_search_goes_on_to_the_same_end(tmp_path, breaks_in):
    whole = searched(tmp_path / "whole.log")

    def breaking(number, values, report):
        if number == breaks_in:
            raise KeyboardInterrupt
        return score(number, values, report)

    with pytest.raises(KeyboardInterrupt):
        searched(tmp_path / "broken.log", breaking)
    calls = []

    def counted(number, values, report):
        calls.append(number)
        return score(number, values, report)

    assert timeless(searched(tmp_path / "broken.log", counted)) == timeless(whole)
    assert calls == list(range(breaks_in, TRIALS)), "a finished trial was done again, or one is missing"


def test_it_learns_from_both_goals(tmp_path):
    """What is as good in accuracy and smaller in one method: TPE comes to prefer that one."""

    def objective(number, values, report):
        return (0.9, 1.0 if values["method"] == "channels" else 2.0), 1

    rows = searched(tmp_path / "j.log", objective, trials=30)
    learned = [row["method"] for row in rows[15:]]
    assert learned.count("channels") > 0.7 * len(learned)


def test_a_diverged_trial_counts_and_has_neither_goal(tmp_path):
    def objective(number, values, report):
        if number in (1, 11):
            raise DivergedError("no number")
        return score(number, values, report)

    rows = searched(tmp_path / "j.log", objective)
    assert [row["trial"] for row in rows if row["state"] == "DIVERGED"] == [1, 11]
    assert rows[1]["valid_accuracy"] is None
    assert rows[1]["parameters"] is None
    assert len(rows) == TRIALS


class Network(nn.Module):
    """Ten weights of which four are zero, and a bias; a pass takes so many seconds."""

    def __init__(self, seconds=0.001):
        super().__init__()
        self.linear, self.seconds = nn.Linear(10, 1), seconds
        with torch.no_grad():
            self.linear.weight.copy_(torch.tensor([0.0] * 4 + [1.0] * 6))
            self.linear.bias.fill_(1.0)

    def forward(self, images):
        time.sleep(self.seconds)
        return images.flatten(1).sum(1, keepdim=True)


@pytest.fixture
def script():
    spec = importlib.util.spec_from_file_location("it", ROOT / "workflow/scripts/training/search_pareto.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_a_network_costs(script):
    plan, timing = devices.plan("cpu", "fp32", 1, 8), {"batch_size": 1, "warmup": 1, "rounds": 5}

    def cost(goal, model):
        return script.cost(goal, model, Network(), 8, timing, plan)

    assert cost("parameters", Network()) == 6 + 1
    full = nn.Linear(2000, 1)
    nn.init.normal_(full.weight, generator=torch.Generator().manual_seed(0))
    pruned = copy.deepcopy(full)
    pruned.weight.data[:, ::2] = 0
    assert 2000 < cost("bytes", pruned) < 2 * 2000 < cost("bytes", full), "two bytes for each that is left"
    assert cost("latency", Network(seconds=0.1)) > 2, "as a share of the baseline's, on a busy machine too"


@pytest.mark.parametrize(
    ("goal", "said"),
    [
        ("bytes", r"at most 90% can go, not 95%; lower the highest share in search\.pareto\.sparsity"),
        (None, r"search\.goals: found null, expected two, such as \[accuracy, parameters\]"),
    ],
)
def test_what_cannot_be_searched_is_an_error_before_the_first_trial(goal, said, script, tmp_path, monkeypatch):
    """A network that cannot lose the highest share would otherwise end the search at some later trial."""
    (tmp_path / "baseline").write_bytes(b"weights")
    (tmp_path / "meta.json").write_text("{}")
    space = {"goal": goal, "space": {}, "methods": {"l1": {}, "channels": {}}, "percent": [30, 95], "trials": 2}
    images = argparse.Namespace(fingerprint=lambda: "", size=8)
    monkeypatch.setattr(script.stage, "prepare", lambda *_: (images, argparse.Namespace(device="cpu"), None, None))
    monkeypatch.setattr(script.checkpoints, "load_weights", lambda path: None)
    monkeypatch.setattr(script.networks, "load", lambda *_: None)
    monkeypatch.setattr(script.pareto, "run", lambda *_, **__: pytest.fail("the search began"))

    def start(model, pruning, seed):
        if pruning["method"] == "channels" and pruning["sparsity"] > 0.9:
            raise DetectorError(f"channels: at most 90% can go, not {pruning['sparsity']:.0%}")
        return model, None

    monkeypatch.setattr(script.start, "start", start)
    arguments = argparse.Namespace(
        config=json.dumps({"pareto": space, "recipe": {"augment": None}, "runtime": {}, "latency": None}),
        **{"arch": "resnet18", "seed": 0, "manifest": None, "packs": [], "threads": 1, "state": tmp_path},
        **{"baseline": tmp_path / "baseline", "journal": tmp_path / "j.log", "worker": None, "trials": None},
    )
    with pytest.raises(DetectorError, match=said):
        script.main(arguments)
