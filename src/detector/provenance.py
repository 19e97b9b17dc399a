"""Where a result comes from: versions of what computed it, and the commit of the code."""

import importlib.metadata
import platform
import subprocess
from pathlib import Path

PACKAGES = (
    *("torch", "torchvision", "torch-pruning", "optuna", "numpy", "pandas", "pillow", "safetensors"),
    *("onnx", "onnxruntime"),
)


def record() -> dict:
    """Versions of Python and the libraries that shape results, and the git commit ("" outside a checkout)."""
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version(), "libraries": versions, "git_commit": _commit()}


def _commit() -> str:
    try:
        result = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return result.stdout.strip()
