"""Errors: `DetectorError`, whose message users read, and the recognition of out-of-memory errors."""

import errno
import re
from collections.abc import Sequence

# How C++ libraries word it, whose errors are a RuntimeError or of a class that must not be imported here: torch on
# the CPU and on CUDA, cuDNN, cuBLAS, ONNX Runtime.
_NO_MEMORY = re.compile(
    r"out of memory|(can't|cannot|failed to) allocate memory|not enough memory|bad_alloc|_ALLOC_FAILED",
    re.IGNORECASE,
)


class DetectorError(Exception):
    """Bad input. The message names the file or key, what was found, what was expected and what to do.

    Scripts and the command line print the message alone, without a traceback.
    """


class DivergedError(DetectorError):
    """A training whose loss is NaN or infinite."""


def listing(items: Sequence[str], limit: int = 10) -> str:
    """List for an error message: the first `limit` items, one indented line each, and how many more there are."""
    lines = [f"  {item}" for item in items[:limit]]
    if len(items) > limit:
        lines.append(f"  … and {len(items) - limit} more")
    return "\n".join(lines)


def wants_memory(error: BaseException) -> bool:
    """Whether a library raised this because there was no memory left, on the machine or on the GPU."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, MemoryError) or _NO_MEMORY.search(str(error)) is not None
