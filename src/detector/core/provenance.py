"""Provenance of a result: versions of Python and the libraries, and the git commit of the code.

Read when a stage starts: hours later the checkout may be at another commit, and the code that runs is the old one.
"""

import contextlib
import importlib.metadata
import platform
import subprocess
from pathlib import Path

PACKAGES = (
    *("torch", "torchvision", "torch-pruning", "optuna", "numpy", "pandas", "pillow", "safetensors"),
    *("onnx", "onnxruntime", "scikit-learn"),
)
OPTIONAL = ("openvino",)  # another runtime for exported models


def record() -> dict:
    """Versions of Python and of the libraries that shape results, `git_commit`, and `dirty`.

    `dirty`: whether a file that git tracks has uncommitted changes, or the library holds a file that git does not
    track. Outside a checkout, or without git, the commit is "" and `dirty` None.
    """
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    for name in OPTIONAL:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    changed = _git("status", "--porcelain", "--untracked-files=no")
    new = _git("ls-files", "--others", "--exclude-standard")  # of the library's folder: kinds of sources, say
    return {
        "python": platform.python_version(),
        "libraries": versions,
        "git_commit": _git("rev-parse", "HEAD") or "",
        "dirty": None if changed is None else bool(changed or new),
    }


def _git(*arguments: str) -> str | None:
    """Output of git in the checkout that holds this file; None where there is no checkout."""
    command = ["git", "--no-optional-locks", "-C", str(Path(__file__).parent), *arguments]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return result.stdout.strip()
