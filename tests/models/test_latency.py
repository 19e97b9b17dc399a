"""Latency is measured on all networks in turn, in milliseconds per batch, and tells a slow one from a fast one."""

import time

import torch
from torch import nn

from detector.core import machine
from detector.models import latency, networks


class Sleeper(nn.Module):
    """A model that takes a known time, and writes down when it is called."""

    def __init__(self, name, seconds, calls):
        super().__init__()
        self.name, self.seconds, self.calls = name, seconds, calls

    def forward(self, images):
        self.calls.append(self.name)
        time.sleep(self.seconds)
        return images.flatten(1).sum(1, keepdim=True)


def run(calls):
    models = {"fast": Sleeper("fast", 0.002, calls), "slow": Sleeper("slow", 0.02, calls)}
    return latency.measure(models, 8, 2, warmup=2, rounds=5, device=torch.device("cpu"), threads=1)


def test_rows_say_what_was_measured():
    fast, slow = run([])
    assert tuple(fast) == latency.LATENCY_COLUMNS
    assert (fast["branch"], fast["batch"], fast["rounds"], fast["device"]) == ("fast", 2, 5, "cpu")
    assert fast["latency_ms_median"] >= 2.0
    assert slow["latency_ms_median"] >= 20.0
    assert fast["latency_ms_p90"] >= fast["latency_ms_median"]


def test_so_many_looks_at_a_batch_are_timed_beside_one():
    seen = []

    class Counter(Sleeper):
        def forward(self, images):
            seen.append(len(images))
            time.sleep(0.001 * len(images))
            return super().forward(images)

    models = {"some": Counter("some", 0, [])}
    how = {"warmup": 1, "rounds": 3, "device": torch.device("cpu"), "threads": 1}
    (row,) = latency.measure(models, 8, 2, **how, looks=5)
    assert tuple(row) == (*latency.LATENCY_COLUMNS, *latency.LOOKS_COLUMNS)
    assert set(seen) == {2, 10}
    assert row["looks"] == 5
    assert row["looks_ms_median"] >= 10
    assert row["looks_ms_median"] > row["latency_ms_median"]


def test_many_looks_take_several_passes_of_no_more_than_predict_has():
    seen = []

    class Counter(Sleeper):
        def forward(self, images):
            seen.append(len(images))
            return super().forward(images)

    how = {"warmup": 0, "rounds": 1, "device": torch.device("cpu"), "threads": 1}
    for batch, once in ((1, [1] + [16, 9]), (20, [20] + [20] * 25)):
        seen.clear()
        latency.measure({"some": Counter("some", 0, [])}, 8, batch, **how, looks=25)
        assert sorted(seen) == sorted(once * 2), "each is run once before it is timed"


def test_models_are_interleaved_and_take_turns_at_being_first():
    calls = []
    run(calls)
    rounds = [calls[i : i + 4] for i in range(0, len(calls), 4)]
    assert len(rounds) == 7
    assert all(sorted(names) == ["fast", "fast", "slow", "slow"] for names in rounds)
    assert {names[0] for names in rounds} == {"fast", "slow"}


def test_the_timed_pass_follows_one_of_the_same_model():
    """A pass that is slow after another model, as one with cold caches is."""
    last = []

    def model(name):
        def forward():
            time.sleep(0.02 if last != [name] else 0.001)
            last[:] = [name]

        return forward

    times = latency.interleaved({"a": model("a"), "b": model("b")}, warmup=1, rounds=5)
    assert all(row["latency_ms_median"] < 10 for row in times.values())


def test_the_cpu_is_named():
    name, flags = machine.cpu()
    assert name
    assert set(flags.split()) <= set(machine.FLAGS)


def layout_of(model, size):
    """Whether a model is timed in the layout channels_last."""
    seen = []
    model.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    latency.eager(model, size, 2, torch.device("cpu"))()
    return seen[0].is_contiguous(memory_format=torch.channels_last)


def test_the_layout_is_the_one_that_models_are_trained_in():
    """Channels last from 128 px on, and for few weights: a plain layout would make torch look slow."""
    plain = nn.Sequential(nn.Conv2d(3, 4, 3))
    assert [layout_of(plain, size) for size in (16, 128)] == [False, True]
    assert layout_of(networks.build("small_resnet", size=32), 32)
    assert not layout_of(networks.build("resnet10", size=32), 32)
