"""Machine facts and memory settings: CPU name, feature flags, usable cores, glibc's allocator."""

import ctypes
import os
import re
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4  # parameters of glibc, in malloc.h
# Instructions that decide how fast a CPU multiplies small numbers.
FLAGS = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_int8", "amx_bf16")


def cpu_flags() -> set[str]:
    """Feature flags of the CPU as Linux names them; empty where there is no /proc/cpuinfo."""
    found = re.search(r"^flags\s*: (.+)$", _read(), re.MULTILINE)
    return set(found[1].split()) if found else set()


def cpu_name() -> str:
    """Name of the CPU; "" where Linux gives none."""
    found = re.search(r"^model name\s*: (.+)$", _read(), re.MULTILINE)
    return found[1] if found else ""


def _read() -> str:
    try:
        return CPUINFO.read_text()
    except OSError:
        return ""


def keep_freed_memory() -> None:
    """Make glibc keep the memory that this process frees; does nothing with another C library.

    By default glibc returns a large block to the kernel when it is freed, and gets it back as pages that the
    kernel must zero. A training step frees and allocates all its activations, so it would pay for that at each
    step.
    """
    _mallopt((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, -1))


def return_freed_memory() -> None:
    """Make glibc return freed blocks of a MiB and more to the system; does nothing with another C library.

    By default it keeps them after the first few.
    """
    _mallopt((M_MMAP_THRESHOLD, 1 << 20))


def _mallopt(*settings: tuple[int, int]) -> None:
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    for parameter, value in settings:
        mallopt(parameter, value)


def cpu() -> tuple[str, str]:
    """Name of this machine's CPU, and those of `FLAGS` that it has, separated by blanks."""
    flags = cpu_flags()
    return cpu_name() or "cpu", " ".join(flag for flag in FLAGS if flag in flags)


def cores() -> int:
    """Number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
