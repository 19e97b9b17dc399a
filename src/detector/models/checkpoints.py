"""Weights on disk: safetensors with a checksum."""

import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from detector.core.errors import DetectorError
from detector.core.files import replacing

log = logging.getLogger(__name__)
CHECKSUM = "tensors_sha256"  # key of the metadata in a safetensors file


def save_weights(path: Path | str, weights: Mapping[str, torch.Tensor]) -> None:
    """Write tensors atomically as safetensors, on the CPU and contiguous.

    Their SHA-256 goes into the file's metadata. Raises `OSError`, naming the file, where it cannot be written.
    """
    tensors = {name: t.detach().cpu().contiguous() for name, t in weights.items()}
    with replacing(path) as temporary:
        # Written by Python, whose errors say what is wrong; the library's own do not.
        temporary.write_bytes(save(tensors, {CHECKSUM: digest(tensors)}))


def load_weights(path: Path | str) -> dict[str, torch.Tensor]:
    """Read the tensors of a safetensors file, on the CPU.

    Raises `DetectorError` for any other file, such as a pickle, and where the tensors do not have the checksum
    that the file gives for them. A file without a checksum, made by another program, is accepted.
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
    """SHA-256, in hex, of CPU tensors: by name, a line with name, dtype and shape, then the bytes."""
    total = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        if tensor.numel():  # else it has no strides to view it by
            total.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return total.hexdigest()
