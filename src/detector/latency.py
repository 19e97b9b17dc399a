"""How long one forward pass takes, for several models in one interleaved run."""

import sys
import time
from collections.abc import Mapping

import numpy as np
import torch
from torch import nn
from tqdm import trange

LATENCY_COLUMNS = ("branch", "latency_ms_median", "latency_ms_p90", "batch", "rounds", "device", "threads")


@torch.inference_mode()
def measure(
    models: Mapping[str, nn.Module],
    image_size: int,
    batch_size: int,
    warmup: int,
    rounds: int,
    device: torch.device,
    threads: int,
) -> list[dict]:
    """A row for each model, columns `LATENCY_COLUMNS`; times in milliseconds a batch, eager fp32.

    Every round times every model once, in an order that rotates from round to round: a machine that slows
    down for a while slows all models alike, and none is always the first after another.
    """
    torch.set_num_threads(threads)
    models = {name: model.to(device).eval() for name, model in models.items()}
    images = torch.rand(batch_size, 3, image_size, image_size, generator=torch.Generator().manual_seed(0)).to(
        device
    )
    names = list(models)
    samples: dict[str, list[float]] = {name: [] for name in names}
    for number in trange(warmup + rounds, desc="latency", leave=False, disable=not sys.stderr.isatty()):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            _wait(device)
            started = time.perf_counter()
            models[name](images)
            _wait(device)
            if number >= warmup:
                samples[name].append(1000 * (time.perf_counter() - started))
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return [
        {
            "branch": name,
            "latency_ms_median": float(np.median(times)),
            "latency_ms_p90": float(np.percentile(times, 90)),
            "batch": batch_size,
            "rounds": rounds,
            "device": where,
            "threads": threads,
        }
        for name, times in samples.items()
    ]


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
