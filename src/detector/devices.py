"""Which device and arithmetic to use, decided by rule and with the reason in words."""

from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from detector.errors import DetectorError


@dataclass(frozen=True)
class Plan:
    """Where a model runs and in which precision. `why` goes to the log and to meta.json."""

    device: str  # cpu or cuda
    precision: str  # fp32 or bf16 (autocast; weights stay fp32)
    channels_last: bool
    threads: int
    why: str

    @property
    def torch_device(self) -> torch.device:
        return torch.device(self.device)

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.precision == "bf16")

    def place(self, model: torch.nn.Module) -> torch.nn.Module:
        """The model on the device, in the planned memory layout."""
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        return model.to(self.torch_device, memory_format=layout)

    def as_dict(self) -> dict:
        return asdict(self)


def plan(device: str, precision: str, threads: int, image_size: int) -> Plan:
    """Choose device and precision, set the number of threads, and ask torch for repeatable arithmetic.

    A rule on hardware and image size, never a timing: a timing would differ from run to run, and with it the
    results. Raises `DetectorError` where CUDA is asked for and not there.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise DetectorError(
            "runtime.device: found cuda, but torch sees no CUDA device here; use auto or cpu, or run on a GPU"
        )
    device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    torch.set_num_threads(threads)
    if device == "cpu":
        # On CUDA this would rule out the fastest kernels; there results repeat only within rounding.
        torch.use_deterministic_algorithms(True)
    # PyTorch's convolutions round to TF32 on CUDA unless told otherwise; fp32 by name means fp32.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "auto"
    if precision != "auto":
        return Plan(device, precision, True, threads, f"{precision} as asked for in runtime.precision")
    if device == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return Plan(device, "bf16", True, threads, f"bf16: {torch.cuda.get_device_name()} has it")
        return Plan(device, "fp32", True, threads, f"fp32 with TF32: {torch.cuda.get_device_name()} has no bf16")
    flags = cpu_flags()
    if image_size >= 128 and {"amx_bf16", "avx512_bf16"} & flags:
        return Plan(device, "bf16", True, threads, "bf16: this CPU multiplies in it, and images are ≥ 128 px")
    if {"amx_bf16", "avx512_bf16"} & flags:
        return Plan(device, "fp32", True, threads, "fp32: below 128 px bf16 gains nothing on a CPU")
    return Plan(device, "fp32", True, threads, "fp32: this CPU has neither amx_bf16 nor avx512_bf16")


def cpu_flags() -> set[str]:
    """The processor's feature flags as Linux names them; empty where there is no /proc/cpuinfo."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return next((set(line.split(":")[1].split()) for line in lines if line.startswith("flags")), set())
