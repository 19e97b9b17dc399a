"""Weights as safetensors, and the state that lets a killed job go on where it was."""

import hashlib
import io
import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from detector.errors import DetectorError
from detector.files import replacing

log = logging.getLogger(__name__)

_DIGEST_BYTES = 32
CHECKSUM = "tensors_sha256"  # key of the metadata in a safetensors file


def save_weights(path: Path | str, weights: Mapping[str, torch.Tensor]) -> None:
    """Write tensors as safetensors, on the CPU and contiguous, the file whole or not there.

    Their SHA-256 goes into the file's metadata. Raises `OSError`, naming the file, where it cannot be written.
    """
    tensors = {name: t.detach().cpu().contiguous() for name, t in weights.items()}
    with replacing(path) as temporary:
        # Written by Python, whose errors say what is wrong; the library's own do not.
        temporary.write_bytes(save(tensors, {CHECKSUM: digest(tensors)}))


def load_weights(path: Path | str) -> dict[str, torch.Tensor]:
    """Tensors of a safetensors file.

    Raises `DetectorError` for anything else, a pickle too, and where the tensors do not have the checksum that
    the file gives for them. A file without one, made by another program, is taken as it is.
    """
    try:
        with safe_open(path, framework="pt") as file:
            checksum = (file.metadata() or {}).get(CHECKSUM)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise DetectorError(
            f"{path}: not a readable safetensors file ({error}); delete it and run snakemake again"
        ) from None
    if checksum not in (None, digest(tensors)):
        raise DetectorError(f"{path}: damaged (its checksum does not hold); delete it and run snakemake again")
    return tensors


def digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 in hex of CPU tensors: by name, a line with name, dtype and shape, then the bytes."""
    total = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        if tensor.numel():  # else it has no strides to view it by
            total.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return total.hexdigest()


class ResumeState:
    """The newest whole state of a job, kept in `folder` as one file a step.

    A file is the SHA-256 of what follows, then a `torch.save` of tensors and plain values. The last two are
    kept, so that a rotten file costs what lies between them, not the job.
    """

    def __init__(self, folder: Path | str):
        self.folder = Path(folder)

    def save(self, epoch: int, state: Mapping, step: int = 0, keep: int = 2) -> None:
        """`epoch`: how many are finished; `step`: how many steps of the next one; `keep`: how many states."""
        buffer = io.BytesIO()
        torch.save(dict(state), buffer)
        payload = buffer.getbuffer()
        with replacing(self.folder / f"{epoch:06d}-{step:09d}.state") as temporary, open(temporary, "wb") as file:
            file.write(hashlib.sha256(payload).digest())
            file.write(payload)
        for old in self._files()[keep:]:
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
