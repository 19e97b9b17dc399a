"""Measured step: what a training step and a pass of a network take on this machine.

`python -m detector.starter.step ARCHITECTURE SIZE BATCH THREADS DEVICE PRECISION` prints one JSON object: `start`,
seconds until a stage with a network is at work; `step`, seconds of a training step of BATCH images; `image`,
seconds of an image where nothing is trained; `parameters`; `memory`, MiB at most; `device` and `precision`.
Weights are random: how long they take hangs on none of them.
"""

import json
import resource
import statistics
import sys
import time
from collections.abc import Callable

BEGUN = time.perf_counter()  # before torch is imported, as in a stage

import torch  # noqa: E402
from torch.nn.functional import binary_cross_entropy_with_logits  # noqa: E402

from detector.models import devices, networks  # noqa: E402
from detector.training.optimizer import make_optimizer  # noqa: E402
from detector.training.recipe import Recipe  # noqa: E402

STEPS, PASSES = 5, 3  # the first of each warms up
ENOUGH = 20.0  # seconds after which what was measured will do


def measured(name: str, size: int, batch: int, threads: int, device: str, precision: str) -> dict:
    """What the module's docstring says. Raises `DetectorError` for a device that is not there."""
    plan = networks.training_plan(name, device, precision, threads, size)
    model = plan.place(networks.build(name, size=size))
    optimizer = make_optimizer(model, Recipe("AdamW", 1e-4, batch, epochs=1, patience=None, flip=0.0, seed=0))
    layout = torch.channels_last if plan.channels_last else torch.contiguous_format
    images = torch.rand(batch, 3, size, size).to(plan.torch_device, memory_format=layout)
    labels = (torch.arange(batch) % 2).float().to(plan.torch_device)
    start = time.perf_counter() - BEGUN

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with plan.autocast():
            logits = model(images).squeeze(1)
        binary_cross_entropy_with_logits(logits.float(), labels).backward()
        optimizer.step()

    model.train()
    step_seconds = _median(step, STEPS, plan)
    model.eval()
    with torch.inference_mode(), plan.autocast():
        pass_seconds = _median(lambda: model(images), PASSES, plan)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        **{"start": start, "step": step_seconds, "image": pass_seconds / batch},
        **{"parameters": networks.parameter_count(model), "memory": round(peak)},
        **{"device": plan.device, "precision": plan.precision},
    }


def _median(work: Callable[[], object], times: int, plan: devices.Plan) -> float:
    """Median seconds of a piece of work, the first time left out unless it takes long."""
    begun, found = time.perf_counter(), []
    for _ in range(times):
        started = time.perf_counter()
        work()
        if plan.device == "cuda":
            torch.cuda.synchronize()
        found.append(time.perf_counter() - started)
        if time.perf_counter() - begun > ENOUGH:
            break
    return statistics.median(found[1:] or found)


if __name__ == "__main__":
    architecture, size, batch, threads, device, precision = sys.argv[1:]
    print(json.dumps(measured(architecture, int(size), int(batch), int(threads), device, precision)))
