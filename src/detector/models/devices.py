"""Device plan: device, precision, memory layout and threads, chosen by rule, with the reason in words."""

import os
from dataclasses import asdict, dataclass

import torch

from detector.core.errors import DetectorError
from detector.core.machine import cpu_flags, keep_freed_memory
from detector.models import gpus


@dataclass(frozen=True)
class Plan:
    """Plan of a job: device, precision, layout, threads. `why`, the reason, goes to the log and to meta.json."""

    device: str  # cpu or cuda
    precision: str  # fp32 or bf16 (autocast; weights stay fp32)
    channels_last: bool
    threads: int
    why: str
    memory: int  # MiB that the rule asks for
    evaluation_batch: int | None  # images a pass where nothing is learned; None: by network, size and memory

    @property
    def torch_device(self) -> torch.device:
        """The device as torch names it."""
        return torch.device(self.device)

    def autocast(self) -> torch.autocast:
        """Context in which torch computes in the planned precision."""
        return torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.precision == "bf16")

    def place(self, model: torch.nn.Module) -> torch.nn.Module:
        """Move a network to the device, in the planned memory layout."""
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        return model.to(self.torch_device, memory_format=layout)

    @property
    def arithmetic(self) -> str:
        """Device, precision, layout and threads, which shape results, as part of a file's name."""
        layout = "nhwc" if self.channels_last else "nchw"
        return f"{self.device}-{self.precision}-{layout}-{self.threads}"

    def as_dict(self) -> dict:
        """JSON values of all fields."""
        return asdict(self)


BF16_FLAGS = {"amx_bf16", "avx512_bf16"}
WITHOUT_BF16 = {"DEFAULT", "AVX2"}  # what torch calls its kernels for less than AVX-512
MEMORY = 8000  # MiB
AUTO = "auto"
LARGE = 128  # pixels a side from which on a CPU gains by bf16 (where it has it) and by channels_last
# Multiply-accumulates for each value that a network's layers give, from which on bf16 gains from LARGE pixels on
# (docs/performance.md, "bf16 on a CPU": networks of 41 to 57 lose by it, those of 234 and more gain).
DENSE = 100
FEW = 600  # weights a pixel of an image, up to which a network gains by both at any size: its maps are the work


def plan(
    device: str,
    precision: str,
    threads: int,
    image_size: int,
    *,
    weights: int | None = None,
    density: float | None = None,
    memory: int = MEMORY,
    evaluation_batch: int | str = AUTO,
    alone: bool = False,
) -> Plan:
    """Choose device, precision and layout, set the number of threads, and ask torch for repeatable arithmetic.

    By a rule on hardware and image size, never by a timing, which would differ from run to run, and with it the
    results. `image_size`: pixels a side; `weights`: parameters of the network before anything is removed, None
    where it is not known, and `density`: multiply-accumulates for each value that its layers give
    (`networks.Cost`); `memory`: MiB. On CUDA the process has a GPU of its own from here on
    (`gpus.take`), unless it is one of a team, whose launcher has taken theirs.

    Raises `DetectorError` where CUDA is asked for and missing.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise DetectorError(
            "runtime.device: found cuda, but torch sees no CUDA device here; use auto or cpu, or run on a GPU"
        )
    device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    torch.set_num_threads(threads)
    if device == "cuda" and "RANK" not in os.environ:
        (index,) = gpus.take(1, alone)
        torch.cuda.set_device(index)
    if device == "cpu":
        # On CUDA this would rule out the fastest kernels; there results repeat only within rounding.
        # By the other name of torch.use_deterministic_algorithms, which loads the compiler to tell it too.
        torch.set_deterministic_debug_mode("error")
        # With it torch fills every new tensor with NaN, to show who reads what nobody wrote: no result of ours.
        torch.utils.deterministic.fill_uninitialized_memory = False
        keep_freed_memory()
    # PyTorch's convolutions round to TF32 on CUDA unless told otherwise; fp32 by name means fp32.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "auto"
    chosen, why = _precision(device, image_size, weights, density) if precision == "auto" else (precision, None)
    why = why or f"{precision} as asked for in runtime.precision"
    layout = channels_last(device, image_size, weights)
    if not layout:
        why += f"; plain layout: on a CPU channels_last gains from {LARGE} px on, or with few weights"
    batch = None if evaluation_batch == AUTO else int(evaluation_batch)
    return Plan(device, chosen, layout, threads, why, memory, batch)


def _precision(device: str, image_size: int, weights: int | None, density: float | None) -> tuple[str, str]:
    """fp32 or bf16, and why."""
    if device == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return "bf16", f"bf16: {torch.cuda.get_device_name()} has it"
        # Both came with compute capability 8.0; before it, PyTorch takes no notice of `allow_tf32`.
        return "fp32", f"fp32: {torch.cuda.get_device_name()} has no bf16, and no TF32"
    if not BF16_FLAGS & cpu_flags():
        return "fp32", "fp32: this CPU has neither amx_bf16 nor avx512_bf16"
    # Told to use less than the CPU has (ATEN_CPU_CAPABILITY), torch emulates bf16: 7 times as slow as fp32.
    if (kernels := torch.backends.cpu.get_cpu_capability()) in WITHOUT_BF16:
        return "fp32", f"fp32: torch computes by its kernels for {kernels} alone, which have no bf16"
    if image_size >= LARGE and density is not None and density < DENSE:
        return "fp32", f"fp32: bf16 gains nothing on a CPU with less than {DENSE} multiplications a value"
    if image_size >= LARGE:
        return "bf16", f"bf16: this CPU multiplies in it, and images are ≥ {LARGE} px"
    if _light(image_size, weights):
        return "bf16", f"bf16: this CPU multiplies in it, and weights are ≤ {FEW} a pixel"
    return "fp32", f"fp32: below {LARGE} px bf16 gains nothing on a CPU, but for networks of few weights"


def channels_last(device: str, image_size: int, weights: int | None = None) -> bool:
    """Whether to use the memory layout channels_last for this image size on this device (`cpu` or `cuda`).

    On a CPU it pays where convolutions dominate. With small images the weights take as much memory as the
    activations, and torch converts each weight's gradient from one layout to the other, twice per step; but not
    where there are few `weights`.
    """
    return device != "cpu" or image_size >= LARGE or _light(image_size, weights)


def _light(image_size: int, weights: int | None) -> bool:
    """Whether a network has few weights for the images that it sees."""
    return weights is not None and weights <= FEW * image_size**2
