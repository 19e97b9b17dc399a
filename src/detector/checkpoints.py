"""Weights as safetensors, and the state that lets a killed job go on where it was."""

import hashlib
import io
import logging
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from detector.errors import DetectorError
from detector.files import canonical, replacing

log = logging.getLogger(__name__)

_DIGEST_BYTES = 32


def save_weights(path: Path | str, weights: Mapping[str, torch.Tensor]) -> None:
    """Write tensors as safetensors, on the CPU and contiguous, the file whole or not there."""
    with replacing(path) as temporary:
        save_file({name: t.detach().cpu().contiguous() for name, t in weights.items()}, temporary)


def load_weights(path: Path | str) -> dict[str, torch.Tensor]:
    """Tensors of a safetensors file. Anything else, a pickle too, raises `DetectorError`."""
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise DetectorError(
            f"{path}: not a readable safetensors file ({error}); delete it and run snakemake again"
        ) from None


def fingerprint(*parts: object) -> str:
    """Names a resume state by all that it depends on: `parts` (JSON values) and the library's loaded code."""
    digest = hashlib.sha256(canonical(parts).encode())
    for name, module in sorted(sys.modules.items()):
        if name.split(".")[0] == "detector" and getattr(module, "__file__", None):
            digest.update(Path(module.__file__).read_bytes())
    return digest.hexdigest()[:16]


def forget(folder: Path | str) -> None:
    """Remove all resume states of a job, those of other settings too: its outputs are in place."""
    shutil.rmtree(folder, ignore_errors=True)


class ResumeState:
    """The newest whole state of a job, kept in `folder` as one file a step.

    A file is the SHA-256 of what follows, then a `torch.save` of tensors and plain values. The last two steps
    are kept, so that a torn or rotten file costs one step, not the job.
    """

    def __init__(self, folder: Path | str):
        self.folder = Path(folder)

    def save(self, step: int, state: Mapping) -> None:
        buffer = io.BytesIO()
        torch.save(dict(state), buffer)
        payload = buffer.getvalue()
        with replacing(self.folder / f"{step:06d}.state") as temporary:
            temporary.write_bytes(hashlib.sha256(payload).digest() + payload)
        for old in self._files()[2:]:
            old.unlink()

    def load(self) -> dict | None:
        """The newest state whose checksum holds, tensors on the CPU; None if there is none."""
        for path in self._files():
            content = path.read_bytes()
            digest, payload = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
            if hashlib.sha256(payload).digest() == digest:
                return torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
            log.warning("%s: damaged (its checksum does not hold); going back one step", path)
        return None

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*.state"), reverse=True)
