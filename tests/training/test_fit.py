"""A run keeps its best weights, stops early, repeats byte for byte, and a killed run ends like an unbroken one."""

import dataclasses
import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import optimizer as hooks

from detector.core.errors import DetectorError
from detector.models import devices, networks
from detector.models.batches import Batches
from detector.pruning import masks
from detector.training import resume
from detector.training.fit import HISTORY_COLUMNS, Epoch, Fit, _doubt, _evaluate, _finished, fit
from detector.training.recipe import Recipe
from tests.support import ROOT

RECIPE = Recipe("Adam", 3e-3, batch_size=8, epochs=4, patience=None, flip=0.5, seed=0)
PLAN = devices.plan("cpu", "fp32", 1, 8)


def small_net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 1))
    )


def make_batches(count, seed, size=None):
    """Images whose left half is brighter where the label is 1, in noise: learnable, but not at once."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, count)
    pixels = rng.integers(0, 200, (count, 8, 8, 3))
    pixels[..., 0] += (label * 40)[:, None, None]
    stores, rows = [pixels.astype(np.uint8)], np.arange(count)
    return Batches(stores, np.zeros(count, int), rows, label, torch.device("cpu"), size=size)


@pytest.fixture(scope="module")
def data():
    return make_batches(61, 0), make_batches(40, 1)


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def epoch(number, **values):
    """Row of a history of which little matters."""
    return Epoch(**{**dict.fromkeys(HISTORY_COLUMNS, 0), "epoch": number, **values})


def timeless(history):
    """The history without its measured times."""
    return [dataclasses.replace(row, seconds=0, images_per_second=0) for row in history]


def test_it_learns_and_keeps_the_best_epoch(data, caplog):
    model = small_net()
    result = fit(model, *data, dataclasses.replace(RECIPE, epochs=12), PLAN)
    assert result.best.valid_accuracy > 0.75
    assert result.best.valid_accuracy == max(row.valid_accuracy for row in result.history)
    assert equal(result.weights, model.state_dict())
    found = _evaluate(model, data[1], PLAN)
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []
    assert found == {name: getattr(result.best, name) for name in found}


@pytest.mark.parametrize("ramp", [0, 1])
def test_a_layer_that_loses_every_weight_is_named_once(data, caplog, ramp):
    """Of all weights together the smallest go, and those of the classifier are the smallest here."""
    model = small_net()
    model[5].weight.data *= 1e-4
    share = 8.0 / (216 + 8)
    dropped = masks.Gradual(share, ramp) if ramp else masks.global_l1(networks.prunable(model), share)
    fit(model, *data, dataclasses.replace(RECIPE, epochs=3), PLAN, masks=dropped, title="l1")
    said = [r.message for r in caplog.records if "layer collapse" in r.message]
    assert (len(said), said[0].split(" (")[0]) == (1, "l1: 5 keeps 0 of 8 weights")
    assert not model[5].weight.any()


def test_an_epoch_of_several_windows_counts_each_of_them():
    """Losses and accuracies are means over what was seen, speed is what was seen in a second."""
    train, valid = make_batches(20, 0, size=6), make_batches(10, 1, size=6)
    train._label[:] = valid._label[:] = 1
    model = small_net()
    with torch.no_grad():
        model[-1].weight.zero_()
        model[-1].bias.fill_(2.0)
    recipe = dataclasses.replace(RECIPE, epochs=1, learning_rate=1e-12, crop={"per_image": 3})
    steps = []
    hook = hooks.register_optimizer_step_post_hook(lambda *_: steps.append(1))
    try:
        row = fit(model, train, valid, recipe, PLAN).best
    finally:
        hook.remove()
    assert row.train_accuracy == 1
    assert row.train_loss == pytest.approx(float(np.log1p(np.exp(-2.0))), rel=1e-5)
    assert len(steps) == len(train.cropped({"per_image": 3}).steps(RECIPE.batch_size))
    assert row.images_per_second * row.seconds >= 60


def test_the_same_seed_gives_the_same_bytes(data):
    first, second = (fit(small_net(), *data, RECIPE, PLAN) for _ in range(2))
    assert equal(first.weights, second.weights)
    assert timeless(first.history) == timeless(second.history)
    other = fit(small_net(), *data, dataclasses.replace(RECIPE, seed=1), PLAN)
    assert not equal(first.weights, other.weights)


@pytest.mark.parametrize(
    ("accuracies", "stops"),
    [
        ([0.5], False),
        ([0.5, 0.6, 0.6, 0.6], False),
        ([0.5, 0.6, 0.6, 0.6, 0.6], True),  # equal is not better
        ([0.9, 0.1, 0.2, 0.3], True),
        ([0.9, 0.1, 0.2, 0.91], False),
    ],
)
def test_early_stopping_waits_patience_epochs(accuracies, stops):
    history = [epoch(i + 1, valid_accuracy=value) for i, value in enumerate(accuracies)]
    assert _finished(history, dataclasses.replace(RECIPE, epochs=100, patience=3)) is stops


@pytest.mark.parametrize("optimizer", ["Adam", "SGD"])
def test_pruned_weights_stay_zero(data, optimizer):
    model = small_net()
    kept = masks.global_l1(networks.prunable(model), 0.5)
    recipe = dataclasses.replace(RECIPE, optimizer=optimizer, momentum=0.9)
    result = fit(model, *data, recipe, PLAN, masks=kept)
    assert masks.violations(networks.prunable(model), kept) == 0
    assert sum(int((w == 0).sum()) for w in networks.prunable(model)) == sum(int((~k).sum()) for k in kept)
    assert masks.violations([result.weights["0.weight"], result.weights["5.weight"]], kept) == 0


@pytest.mark.parametrize("stop_after", [1, 3, 4])
def test_a_run_that_was_stopped_ends_like_one_that_was_not(data, tmp_path, stop_after, caplog):
    class Killed(Exception):
        pass

    def kill(row):
        if row.epoch == stop_after:
            raise Killed

    whole = fit(small_net(), *data, RECIPE, PLAN)
    state = resume.ResumeState(tmp_path / "state")
    with pytest.raises(Killed):
        fit(small_net(), *data, RECIPE, PLAN, state=state, after_epoch=kill)
    seen = []
    with caplog.at_level("INFO"):
        resumed = fit(small_net(seed=5), *data, RECIPE, PLAN, state=state, after_epoch=seen.append)
    trained = [int(number) for number in re.findall(r"epoch (\d+)/", caplog.text)]
    assert trained == list(range(stop_after + 1, 5)), "a finished epoch was done again"
    assert [row.epoch for row in seen] == [1, 2, 3, 4], "a pruner must see the curve from its start"
    assert equal(whole.weights, resumed.weights)
    assert timeless(whole.history) == timeless(resumed.history)


def test_killed_with_sigkill_in_mid_epoch(tmp_path):
    """The same through the operating system: SIGKILL at a random step of the third epoch, in another process."""
    program = textwrap.dedent(
        """
        import os, signal, sys
        sys.path.insert(0, sys.argv[1])
        from tests.training import test_fit as t
        from detector.models import checkpoints
        from detector.training import resume
        train, valid = t.make_batches(61, 0), t.make_batches(40, 1)
        if sys.argv[3] == "kill":
            gather, calls = train.gather, []
            def counted(indices):
                calls.append(1)
                if len(calls) == 19:
                    os.kill(os.getpid(), signal.SIGKILL)
                return gather(indices)
            train.gather = counted
        state = resume.ResumeState(sys.argv[2])
        result = t.fit(t.small_net(), train, valid, t.RECIPE, t.PLAN, state=state)
        checkpoints.save_weights(sys.argv[2] + ".safetensors", result.weights)
        """
    )

    def run(folder, how):
        here = str(ROOT)
        return subprocess.run([sys.executable, "-c", program, here, str(tmp_path / folder), how]).returncode

    assert run("broken", "kill") == -9
    assert not (tmp_path / "broken.safetensors").exists()
    assert run("broken", "go") == 0
    assert run("whole", "go") == 0
    assert (tmp_path / "broken.safetensors").read_bytes() == (tmp_path / "whole.safetensors").read_bytes()


def test_a_loss_that_is_no_number_is_an_error(data):
    model = small_net()
    with torch.no_grad():
        model[0].weight.fill_(float("nan"))
    with pytest.raises(DetectorError, match="lower the learning rate"):
        fit(model, *data, RECIPE, PLAN)


def share_of_zeros(weights):
    some = [weights[name] for name in ("0.weight", "5.weight")]
    return sum(int((w == 0).sum()) for w in some) / sum(w.numel() for w in some)


def test_gradual_pruning_ends_at_its_share_and_counts_only_epochs_that_reached_it(data):
    recipe = dataclasses.replace(RECIPE, epochs=6, patience=1)
    counted, seen = [], []
    model = small_net()
    model[0].register_forward_hook(lambda *_: seen.append(share_of_zeros(model.state_dict())))
    result = fit(
        *(model, *data, recipe, PLAN),
        masks=masks.Gradual(0.8, 3),
        after_epoch=lambda row: counted.append(row.epoch),
    )
    steps = list(dict.fromkeys(seen))
    assert steps == pytest.approx([0.8 * (1 - (2 / 3) ** 3), 0.8 * (1 - (1 / 3) ** 3), 0.8], abs=0.01)
    assert counted[0] == 3
    assert result.best.epoch >= 3
    assert result.best.valid_accuracy == max(row.valid_accuracy for row in result.history[2:])
    assert share_of_zeros(result.weights) == pytest.approx(0.8, abs=0.01)


def test_an_epoch_that_is_pruned_less_is_not_kept_though_it_is_better(data):
    model = small_net()
    fit(model, *data, dataclasses.replace(RECIPE, epochs=12), PLAN)
    result = fit(model, *data, RECIPE, PLAN, masks=masks.Gradual(0.99, 3))
    early, late = result.history[:2], result.history[2:]
    assert max(r.valid_accuracy for r in early) > max(r.valid_accuracy for r in late), "nothing to be tempted by"
    assert result.best in late
    assert share_of_zeros(result.weights) == pytest.approx(0.99, abs=0.01)


def test_a_ramp_ends_with_the_training_at_the_latest(data):
    result = fit(small_net(), *data, dataclasses.replace(RECIPE, epochs=2), PLAN, masks=masks.Gradual(0.8, 50))
    assert share_of_zeros(result.weights) == pytest.approx(0.8, abs=0.01)
    assert result.best.epoch == 2


@pytest.mark.parametrize("dies_in", [2, 3, 5])
def test_gradual_pruning_goes_on_as_if_never_stopped(data, tmp_path, dies_in):
    recipe = dataclasses.replace(RECIPE, epochs=6)
    whole = fit(small_net(), *data, recipe, PLAN, masks=masks.Gradual(0.8, 4))
    state = resume.ResumeState(tmp_path)

    def die(*_, **__):
        raise KeyboardInterrupt

    stopped = make_batches(61, 0)
    train = stopped.train
    stopped.train = lambda *given, **more: die() if given[2] == dies_in else train(*given, **more)
    with pytest.raises(KeyboardInterrupt):
        fit(small_net(), stopped, data[1], recipe, PLAN, masks=masks.Gradual(0.8, 4), state=state)
    resumed = fit(small_net(1), *data, recipe, PLAN, masks=masks.Gradual(0.8, 4), state=state)
    assert equal(whole.weights, resumed.weights)
    assert timeless(whole.history) == timeless(resumed.history)


def fakes_and(reals, seed=1):
    """40 images, of which so many are real."""
    batches = make_batches(40, seed)
    label = (np.arange(40) < reals).astype(int)
    return Batches(
        [np.asarray(batches.gather(np.arange(40)))], np.zeros(40, int), np.arange(40), label, torch.device("cpu")
    )


def always(logit):
    """A network that says the same of every image, for as long as it hardly learns."""
    model = small_net()
    with torch.no_grad():
        model[-1].weight.zero_()
        model[-1].bias.fill_(logit)
    return model


@pytest.mark.parametrize(
    ("logit", "reals", "said"),
    [
        (
            -9.0,
            9,
            "it never calls one of the 40 validation images real: all are fake to it (77.5 % of these are fake)",
        ),
        (
            9.0,
            31,
            "it never calls one of the 40 validation images fake: all are real to it (77.5 % of these are real)",
        ),
        (
            9.0,
            9,
            "it never calls one of the 40 validation images fake: all are real to it (77.5 % of these are fake)",
        ),
        (-9.0, 0, ""),  # fakes alone: there is nothing else to call
    ],
)
def test_a_class_that_is_never_called_is_said_in_the_log(logit, reals, said, data, caplog):
    recipe = dataclasses.replace(RECIPE, epochs=1, optimizer="SGD", learning_rate=1e-12)
    fit(always(logit), data[0], fakes_and(reals), recipe, PLAN, title="search l1-40 trial 2")
    found = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    if not said:
        assert found == []
        return
    (line,) = found
    assert line.startswith(f"search l1-40 trial 2: in epoch 1, which is kept, {said}. ")
    assert "more images" in line, "and what to do"


def epochs(*rows):
    """Epochs by accuracy and by the share that was called real."""
    return [
        epoch(i + 1, valid_accuracy=accuracy, valid_called_real=real) for i, (accuracy, real) in enumerate(rows)
    ]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        # As somebody's 249 images did: the first epoch is kept, then 0.75 for good, by calling all of them fake.
        ([(0.8, 0.15), (0.75, 0.0), (0.75, 0.0)], "in epoch 3, its last, it never calls one of the 40"),
        ([(0.75, 0.0), (0.8, 0.15)], ""),
        ([(0.75, 0.1), (0.7, 0.2)], "in epoch 1, which is kept, it is right about 75.0 % of the 40"),
        ([(0.8, 0.1), (0.7, 0.2)], ""),
    ],
)
def test_which_epochs_give_reason_to_doubt(rows, said):
    history = epochs(*rows)
    best = max(history, key=lambda row: row.valid_accuracy)
    found = _doubt(Fit({}, history, best), fakes_and(10))
    assert found.startswith(said)
    assert bool(found) == bool(said)
