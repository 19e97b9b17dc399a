"""Data-parallel training: one process per GPU, started by torchrun, joined by DistributedDataParallel.

The processes share each batch, and batch normalisation sees the whole of it, so the training is the one that a
single process would do with the same batch size, but for rounding.
"""

import contextlib
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from detector.core import signals
from detector.core.errors import DetectorError
from detector.models import gpus, networks
from detector.models.batches import Batches
from detector.models.devices import Plan

log = logging.getLogger(__name__)

LEAVE = 5.0  # seconds for the processes to end before they are killed; less than signals.GRACE


@dataclass(frozen=True)
class Team:
    """Processes that train one network: the rank of this one, and how many there are."""

    rank: int = 0
    size: int = 1

    def wrap(self, model: nn.Module) -> nn.Module:
        """Module to call in place of `model` in training. Its parameters stay the same objects."""
        if self.size == 1:
            return model
        cuda = next(model.parameters()).is_cuda
        # PyTorch's own knows CUDA only.
        joined = networks.synchronised(model) if cuda else _convert(model)
        return DistributedDataParallel(joined)

    def sum(self, *tensors: torch.Tensor) -> None:
        """Add up each tensor over all processes, in place."""
        if self.size > 1:
            for tensor in tensors:
                dist.all_reduce(tensor)


def own_part(model: nn.Module, images: Batches, plan: Plan) -> Iterator[tuple[int, torch.Tensor, torch.Tensor]]:
    """Batches of this process's part of all images, for passes that learn nothing: (first image, images, labels).

    As `Batches.evaluate` gives them. Processes on one CPU share the memory that the plan allows.
    """
    found = team()
    share = plan.memory // (found.size if plan.device == "cpu" else 1)
    batch = networks.evaluation_batch(model, images.size, replace(plan, memory=share))
    starts = range(found.rank * batch, len(images), found.size * batch)
    for start, (seen, labels) in zip(
        starts, images.evaluate(batch, rank=found.rank, ranks=found.size), strict=True
    ):
        yield start, seen, labels


def launch(processes: int, command: Sequence[str] = tuple(sys.argv)) -> bool:
    """Run this script again as `processes` processes, and wait for them.

    Returns False, with nothing done, where no launch is due: for at most one process, or inside a launched one. On
    CUDA each process has a GPU of its own. Raises `DetectorError` where there are too few GPUs, and where one of
    the processes failed; on a stop they are stopped first.
    """
    if processes <= 1 or "RANK" in os.environ:
        return False
    log.info("starting %d processes", processes)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    environment = {**os.environ, signals.PARENT: str(os.getpid())}
    if torch.cuda.is_available():
        environment[gpus.VISIBLE] = gpus.visible(gpus.take(processes))
    # A session of their own: whatever torchrun forgets can be ended as a group.
    # `--`: torchrun would take --log for an abbreviation of its own options.
    team = subprocess.Popen([*torchrun, "--", *command], env=environment, start_new_session=True)
    try:
        code = team.wait()
    except signals.StoppedError:
        os.killpg(team.pid, signal.SIGTERM)
        try:
            team.wait(LEAVE)
        except subprocess.TimeoutExpired:
            log.warning("the processes did not end within %g s", LEAVE)
        raise
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(team.pid, signal.SIGKILL)
    if code:
        raise DetectorError(
            f"one of {processes} training processes failed (exit code {code}); its error is above. If there is "
            "none, it was killed, most often because memory ran out: lower batch_size or images.size, or give "
            "the job more memory (mem_mb of the rule on a cluster)"
        )
    return True


def join(device: str) -> Team:
    """Join the process group, if `launch` started this process. Call before anything is put on `device`.

    Returns the team, of one process where there is no group. Raises torch's `RuntimeError` where the others cannot
    be reached.
    """
    if "RANK" not in os.environ or dist.is_initialized():
        return team()
    if device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if device == "cuda" else "gloo")
    return team()


def team() -> Team:
    """Team of this process; a team of one where there is no other."""
    return Team(dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else Team()


class _Sum(torch.autograd.Function):
    """The sum over all processes. Each one's result depends on each one's summand, so gradients are summed too."""

    @staticmethod
    def forward(ctx: object, summand: torch.Tensor) -> torch.Tensor:
        total = summand.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: object, gradient: torch.Tensor) -> torch.Tensor:
        total = gradient.clone()
        dist.all_reduce(total)
        return total


class GlobalBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation over the batches of all processes, for the CPU. Same formula as `nn.BatchNorm2d`.

    As there, statistics are fp32 also for bf16 images, and the result has the images' dtype.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise float (n, channels, h, w); the result has the same shape and dtype."""
        if not self.training:
            return super().forward(x)
        count = _Sum.apply(torch.tensor(float(x.numel() // x.shape[1]), device=x.device))
        inside = x.to(self.weight.dtype)
        mean = _Sum.apply(inside.sum((0, 2, 3))) / count
        centred = inside - mean.view(1, -1, 1, 1)
        variance = _Sum.apply((centred * centred).sum((0, 2, 3))) / count
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)).to(x.dtype)


class GlobalBatchNormAct2d(GlobalBatchNorm2d):
    """The same with an activation after it, as in the layers of timm that do both."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise and activate float (n, channels, h, w); the result has the same shape and dtype."""
        activated: torch.Tensor = self.act(self.drop(super().forward(x)))
        return activated


def _convert(model: nn.Module) -> nn.Module:
    for module in model.modules():
        # the same parameters and buffers, another forward
        if type(module) is nn.BatchNorm2d:
            module.__class__ = GlobalBatchNorm2d
        elif isinstance(module, nn.BatchNorm2d) and hasattr(module, "act"):
            module.__class__ = GlobalBatchNormAct2d
    return model
