"""Two processes that share each batch train what one would: same curve, same weights, each image once an epoch."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from detector.models import checkpoints
from detector.training import distributed
from tests.support import ROOT
from tests.support.kills import processes
from tests.training.test_fit import RECIPE, make_batches

PROGRAM = """
import argparse, dataclasses, json, pathlib, sys, time
sys.path.insert(0, {here!r})
from tests.training import test_fit as t
from detector.core import job
from detector.models import checkpoints, networks
from detector.pruning import masks
from detector.training import distributed, resume, stage

def main(args):
    if distributed.launch(args.processes):
        return
    team = distributed.join("cpu")
    train, valid = t.make_batches(61, 0), t.make_batches(40, 1)
    if args.pause:
        gather = train.gather
        def slowly(*given):
            time.sleep(args.pause)
            return gather(*given)
        train.gather = slowly
    plan = dataclasses.replace(t.PLAN, evaluation_batch=7)  # some batches of validation for each
    for number, knobs in enumerate(args.knobs):
        model = t.small_net()
        # A bias before batch normalisation has no gradient but rounding, which Adam blows up. ResNets have none.
        model[0].bias = None
        kept = masks.global_l1(networks.prunable(model), 0.4)
        folder = args.folder / str(number)
        state = resume.ResumeState(folder / "resume")
        recipe = dataclasses.replace(t.RECIPE, **knobs)
        result = t.fit(model, train, valid, recipe, plan, masks=kept, state=state)
        if team.rank == 0:
            checkpoints.save_weights(folder / "model.safetensors", result.weights)
            stage.write_history(folder / "history.csv", result.history)

parser = argparse.ArgumentParser()
parser.add_argument("--folder", type=pathlib.Path)
parser.add_argument("--processes", type=int)
parser.add_argument("--pause", type=float, default=0)
parser.add_argument("--knobs", type=json.loads)
job.run(main, parser)
"""


def start(folder, processes, pause=0.0, knobs=({},)):
    script = folder / "train.py"
    folder.mkdir(exist_ok=True)
    script.write_text(PROGRAM.format(here=str(ROOT)))
    return subprocess.Popen(
        [
            sys.executable,
            script,
            "--folder",
            folder,
            "--processes",
            str(processes),
            "--pause",
            str(pause),
            "--knobs",
            json.dumps(knobs),
            "--log",
            folder / "log",
        ],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def compare(one, two):
    histories = [pd.read_csv(folder / "history.csv") for folder in (one, two)]
    assert histories[0]["epoch"].tolist() == histories[1]["epoch"].tolist()
    for column in ("train_loss", "valid_loss", "learning_rate"):
        np.testing.assert_allclose(*(h[column] for h in histories), rtol=1e-4)
    # an image whose logit lies within rounding of 0 may count on either side
    for column, count in (("train_accuracy", 61), ("valid_accuracy", 40)):
        np.testing.assert_allclose(*(h[column] for h in histories), atol=1.01 / count)
    # of 18 real and 22 fake validation images; two logits within rounding may come in either order
    for column, step in (("valid_balanced_accuracy", 1 / 36), ("valid_auc", 1 / (18 * 22))):
        np.testing.assert_allclose(*(h[column] for h in histories), atol=2.01 * step)


# The study's, and between the other two each knob.
SGD = {"optimizer": "SGD", "momentum": 0.9, "nesterov": True, "learning_rate": 0.01}
RECIPES = (
    {},
    {**SGD, "schedule": "one_cycle", "clip": 0.3, "balance": "weights", "ema": 0.7, "select": "auc"},
    {**SGD, "freeze": 2, "body_rate": 0.5, "ema": 0.7},
    {
        **SGD,
        "schedule": "cosine",
        "warmup": 0.5,
        "label_smoothing": 0.1,
        "balance": "sampling",
        "weight_decay": 0.1,
        "select": "loss",
    },
)


def test_two_processes_train_what_one_does(tmp_path):
    for name, size in (("one", 1), ("two", 2)):
        job = start(tmp_path / name, size, knobs=RECIPES)
        _, errors = job.communicate(timeout=300)
        assert job.returncode == 0, errors
    log = (tmp_path / "two/log").read_text()
    assert "starting 2 processes" in log
    assert [log.count(f"epoch {number}/4") for number in (1, 2, 3, 4)] == [len(RECIPES)] * 4
    for number, knobs in enumerate(RECIPES):
        one, two = (tmp_path / name / str(number) for name in ("one", "two"))
        compare(one, two)
        first, second = (checkpoints.load_weights(folder / "model.safetensors") for folder in (one, two))
        for name, tensor in first.items():
            torch.testing.assert_close(
                tensor, second[name], rtol=1e-3, atol=1e-4, msg=lambda said, at=(knobs, name): f"{at}: {said}"
            )


@pytest.fixture
def alone(tmp_path):
    """This process as a team of one that still goes through the collective calls."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize(("dtype", "near"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)], ids=str)
def test_batch_normalisation_over_processes_is_torch_s_own_in_each_precision(dtype, near, alone):
    """Output, gradients and running statistics; in bf16 a layer gets bf16 from autocast, and its own are fp32."""
    torch.manual_seed(0)
    pixels = (3 * torch.randn(4, 5, 6, 6) + 2).to(dtype)
    found = []
    for convert in (lambda layer: layer, distributed._convert):
        layer = convert(nn.BatchNorm2d(5))
        x = pixels.clone().requires_grad_()
        out = layer(x)
        assert out.dtype == dtype
        (out.float() ** 3).sum().backward()
        found.append([out, x.grad, layer.weight.grad, layer.bias.grad, layer.running_mean, layer.running_var])
    for theirs, ours in zip(*found, strict=True):
        assert theirs.dtype == ours.dtype
        scale = theirs.float().abs().max().item()
        torch.testing.assert_close(ours.float(), theirs.float(), rtol=near, atol=near * scale)


@pytest.mark.long
def test_a_stopped_team_leaves_no_process_and_goes_on(tmp_path):
    job = start(tmp_path / "two", 2, pause=0.25)
    resume = tmp_path / "two/0/resume"
    deadline = time.monotonic() + 60
    while not resume.exists() or not list(resume.glob("*.state")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    children = [int(p) for p in Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text().split()]
    job.send_signal(signal.SIGTERM)
    _, errors = job.communicate(timeout=120)
    assert job.returncode == 75, errors  # stopped, not at its end
    assert [processes(session) for session in children] == [{}]
    for name, size in (("two", 2), ("one", 1)):
        job = start(tmp_path / name, size)
        _, errors = job.communicate(timeout=300)
        assert job.returncode == 0, errors
    compare(tmp_path / "one/0", tmp_path / "two/0")


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_each_image_is_seen_once_by_one_process(ranks):
    batches = make_batches(61, 0)
    seen = []
    gather = batches.gather
    batches.gather = lambda chosen: seen.extend(chosen.tolist()) or gather(chosen)
    sizes = []
    for rank in range(ranks):
        parts = [len(labels) for _, labels in batches.train(8, RECIPE.seed, 1, 0.5, rank=rank, ranks=ranks)]
        assert min(parts) > 0, "a process without an image has no gradient to share"
        sizes.append(parts)
    assert sorted(seen) == list(range(61))
    assert [sum(parts) for parts in zip(*sizes, strict=True)] == [b - a for a, b in batches.steps(8, ranks)]
