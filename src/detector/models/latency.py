"""Latency: the time of one forward pass, of several models in turn."""

import time
from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from detector.core import progress
from detector.models import networks
from detector.models.devices import channels_last

LATENCY_COLUMNS = ("branch", "latency_ms_median", "latency_ms_p90", "batch", "rounds", "device", "threads")
TOGETHER = 16  # pictures of several looks in one pass, as `detector predict` has them
LOOKS_COLUMNS = ("looks", "looks_ms_median", "looks_ms_p90")  # beside these, where images are looked at so often

Pass = Callable[[], object]
Name = TypeVar("Name", bound=Hashable)


def interleaved(passes: Mapping[Name, Pass], warmup: int, rounds: int) -> dict[Name, dict[str, float]]:
    """Time passes in turn: `latency_ms_median` and `latency_ms_p90` of each, in milliseconds.

    A pass is a call that returns when the work is done. Every round times every pass once, in an order that
    rotates from round to round: a machine that slows down for a while slows all alike, and none always follows the
    same other one. So ratios hold where times do not. Just before it is timed, each pass runs once untimed: a
    network in continuous use finds the caches as it left them itself, not as another one did (which made the same
    network up to 15 % slower).
    """
    names = list(passes)
    samples: dict[Name, list[float]] = {name: [] for name in names}
    with progress.bar(warmup + rounds, "latency", unit="round") as bar:
        for number in range(warmup + rounds):
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                passes[name]()
                started = time.perf_counter()
                passes[name]()
                if number >= warmup:
                    samples[name].append(1000 * (time.perf_counter() - started))
            bar.update()
    return {
        name: {
            "latency_ms_median": float(np.median(times)),
            "latency_ms_p90": float(np.percentile(times, 90)),
        }
        for name, times in samples.items()
    }


def eager(model: nn.Module, image_size: int, batch_size: int, device: torch.device) -> Pass:
    """Pass of a torch network, without autograd, over random normalised images that are already on the device.

    In the memory layout that the network was trained in, the faster of the two.
    """
    origin = getattr(model, "origin", None)
    weights = origin and networks.weights(origin.name, image_size)
    last = channels_last(device.type, image_size, weights)
    layout = torch.channels_last if last else torch.contiguous_format
    model = model.to(device, memory_format=layout).eval()
    shape = (batch_size, 3, image_size, image_size)
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(device, memory_format=layout)

    @torch.inference_mode()
    def forward() -> None:
        model(images)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return forward


def _in_turn(model: nn.Module, image_size: int, count: int, together: int, device: torch.device) -> Pass:
    """`count` images in passes of `together`, the last one of the rest."""
    sizes = [min(together, count - start) for start in range(0, count, together)]
    passes = {size: eager(model, image_size, size, device) for size in set(sizes)}

    def forward() -> None:
        for size in sizes:
            passes[size]()

    return passes[count] if len(sizes) == 1 else forward


def columns(looks: int | None) -> tuple[str, ...]:
    """Columns of latency.csv, with `LOOKS_COLUMNS` where images are looked at so often."""
    return (*LATENCY_COLUMNS, *(LOOKS_COLUMNS if looks else ()))


def measure(
    models: Mapping[str, nn.Module],
    image_size: int,
    batch_size: int,
    warmup: int,
    rounds: int,
    device: torch.device,
    threads: int,
    looks: int | None = None,
) -> list[dict]:
    """Measure latencies: a row for each network, with these `columns`; milliseconds per batch, eager fp32.

    `looks`: also time so many windows of each image of a batch, for `LOOKS_COLUMNS`: in passes of `TOGETHER`
    pictures, or of a batch where that is more, so that memory does not grow with them.
    """
    torch.set_num_threads(threads)
    passes = {
        (name, what): _in_turn(model, image_size, batch_size * count, max(batch_size, TOGETHER), device)
        for name, model in models.items()
        for count, what in ((1, "latency"), *([(looks, "looks")] if looks else []))
    }
    times = interleaved(passes, warmup, rounds)
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    rows = []
    for name in models:
        row = {"branch": name, **times[name, "latency"]}
        row |= {"batch": batch_size, "rounds": rounds, "device": where, "threads": threads}
        if looks:
            taken = times[name, "looks"]
            row |= {"looks": looks, **{key.replace("latency", "looks"): ms for key, ms in taken.items()}}
        rows.append(row)
    return rows
