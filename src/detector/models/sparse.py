"""Sparse weight files: pruned weights are not stored (byte layout in docs/formats.md)."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import zstandard
from safetensors import SafetensorError
from safetensors import torch as safetensors

from detector.core.errors import DetectorError
from detector.core.files import canonical, replacing
from detector.models.checkpoints import CHECKSUM, digest

VERSION = 1
PRECISIONS = {"fp32": ">f4", "fp16": ">f2", "int8": ">i1"}  # precision → a kept value, its highest byte first
# Of a file's content, and of its weights as fp32: eleven ResNet-50. A few bytes of zstd can claim any size.
MOST_BYTES = 1 << 30
# Higher ones look for repeats, which weights do not have: on a pruned ResNet-50, 19 takes a hundred times as long
# for files that are up to 2 % larger (in fp32, 1 % smaller).
_LEVEL = 3


def save(path: Path | str, weights: Mapping[str, torch.Tensor], precision: str, facts: Mapping) -> None:
    """Write a state dict without its zeros, atomically; equal input gives equal bytes.

    Floating tensors of two and more dimensions, (output channels, ...), are stored in `precision`: `fp32`, `fp16`
    (rounded to nearest even; below 2⁻²⁵ that is 0) or `int8` (symmetric: the channel's largest magnitude / 127 is
    its fp32 scale). All others stay as they are, floating ones as fp32. `facts`: JSON values stored in the file,
    such as the architecture.

    Raises `DetectorError`, naming the tensor, for NaN and infinities and for what `precision` cannot hold.
    """
    frame = _frame(str(path), weights, precision, facts)
    with replacing(path) as temporary:
        temporary.write_bytes(frame)


def size(weights: Mapping[str, torch.Tensor], precision: str) -> int:
    """Bytes of the file that `save` would write of these weights without facts, and errors as there."""
    return len(_frame("sparse weights", weights, precision, {}))


def _frame(path: str, weights: Mapping[str, torch.Tensor], precision: str, facts: Mapping) -> bytes:
    """What a file holds. `path`: its name in errors."""
    if precision not in PRECISIONS:
        raise DetectorError(f"{path}: unknown precision {precision!r}; expected one of {', '.join(PRECISIONS)}")
    tensors, shapes = {}, {}
    for name, weight in weights.items():
        tensor = weight.detach().cpu()
        if tensor.is_floating_point():
            tensor = tensor.float()
            if not tensor.isfinite().all():
                raise DetectorError(f"{path}: tensor {name} holds NaN or infinity; expected finite weights")
        if tensor.is_floating_point() and tensor.ndim >= 2:
            shapes[name] = list(tensor.shape)
            for part, array in _packed(tensor.contiguous().numpy(), precision, f"{path}: tensor {name}").items():
                tensors[f"{part}/{name}"] = torch.from_numpy(array)
        else:
            tensors[f"exact/{name}"] = tensor.clone(memory_format=torch.contiguous_format)  # may be another's, too
    header = {"version": VERSION, "precision": precision, "facts": facts, "shapes": shapes}
    tensors["header"] = torch.frombuffer(bytearray(canonical(header).encode()), dtype=torch.uint8)
    content = safetensors.save(tensors, {CHECKSUM: digest(tensors)})
    if max(len(content), _bytes(shapes)) > MOST_BYTES:
        raise DetectorError(f"{path}: these weights take more than the {MOST_BYTES:,} bytes that a file may hold")
    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True, write_content_size=True)
    return compressor.compress(content)


def load(path: Path | str) -> tuple[dict[str, torch.Tensor], dict]:
    """Read a sparse file: the weights, fp32, in their saved shapes, ready for `networks.load`; and the facts.

    What was not stored is +0. Raises `DetectorError` for any other file, another version, and damage of any kind.
    """
    tensors, header = _read(Path(path))
    weights = {}
    try:
        if (size := _bytes(header["shapes"])) > MOST_BYTES:
            raise ValueError(f"weights of {size:,} bytes, expected {MOST_BYTES:,} at most")
        for name, shape in header["shapes"].items():
            weights[name] = torch.from_numpy(_unpacked(tensors, name, shape, header["precision"]))
        exact = {name.removeprefix("exact/"): tensor for name, tensor in tensors.items()}
        if not all(name.startswith("exact/") for name in tensors) or exact.keys() & weights.keys():
            raise ValueError(f"what else it holds is {', '.join(tensors)}")
        return weights | exact, header["facts"]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # The checksums hold: another program wrote it so.
        raise DetectorError(f"{path}: not as docs/formats.md says ({error!r}); make it again") from None


def _packed(weight: np.ndarray, precision: str, where: str) -> dict[str, np.ndarray]:
    """The stored parts of one weight: `values` always, `mask` where there are zeros, `scale` for int8."""
    parts = {}
    if precision == "int8":
        scale = parts["scale"] = np.abs(weight).max(axis=tuple(range(1, weight.ndim)), initial=0) / np.float32(127)
        divisor = _by_channel(np.where(scale == 0, np.float32(1), scale), weight.ndim)
        # A scale among the smallest numbers is rounded so much that a quotient may exceed 127.
        stored = np.rint(weight / divisor).clip(-127, 127).astype(np.int8)
        with np.errstate(over="ignore"):  # looked for below
            restored = stored * _by_channel(scale, weight.ndim)
    else:
        with np.errstate(over="ignore"):
            stored = restored = weight.astype(PRECISIONS[precision])
    if not np.isfinite(restored).all():
        largest = np.abs(weight).max()
        raise DetectorError(
            f"{where} holds a weight of magnitude {largest:g}, too large for {precision}; use fp32"
        )
    kept = stored != 0
    if not kept.all():
        parts["mask"] = np.packbits(kept)
    values = np.ascontiguousarray(stored[kept], PRECISIONS[precision])
    parts["values"] = np.ascontiguousarray(values.view(np.uint8).reshape(len(values), values.itemsize).T)
    return parts


def _unpacked(tensors: dict[str, torch.Tensor], name: str, shape: list[int], precision: str) -> np.ndarray:
    """The fp32 weight `name` of `shape`, its parts taken out of `tensors`.

    Raises `KeyError` where one is missing and `ValueError` where they contradict each other.
    """
    kind, size = np.dtype(PRECISIONS[precision]), math.prod(shape)
    kept = np.ones(size, bool)
    if f"mask/{name}" in tensors:
        mask = _part(tensors, f"mask/{name}", np.uint8, (-(-size // 8),))
        kept = np.unpackbits(mask, count=size).astype(bool)
    values = _part(tensors, f"values/{name}", np.uint8, (kind.itemsize, int(kept.sum())))
    weight = np.zeros(size, np.float32)
    weight[kept] = np.ascontiguousarray(values.T).view(kind)[:, 0]
    weight = weight.reshape(shape)
    if precision == "int8":
        weight *= _by_channel(_part(tensors, f"scale/{name}", np.float32, (shape[0],)), weight.ndim)
    return weight


def _part(tensors: dict[str, torch.Tensor], name: str, dtype: type, shape: tuple[int, ...]) -> np.ndarray:
    part = tensors.pop(name).numpy()
    if part.dtype != dtype or part.shape != shape:
        raise ValueError(f"{name} is {part.dtype} {part.shape}, expected {np.dtype(dtype)} {shape}")
    return part


def _by_channel(scale: np.ndarray, ndim: int) -> np.ndarray:
    return scale.reshape(-1, *[1] * (ndim - 1))


def _bytes(shapes: Mapping[str, list[int]]) -> int:
    """What weights of these shapes take as fp32. Raises `ValueError` for what is no shape of a weight."""
    for name, shape in shapes.items():
        if len(shape) < 2 or not all(isinstance(length, int) and length >= 0 for length in shape):
            raise ValueError(f"the shape of {name} is {shape}")
    return sum(4 * math.prod(shape) for shape in shapes.values())


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict]:
    """The tensors of a file and its header, after a look at sizes, version and checksums."""
    advice = "copy it again, or make it again: snakemake -R export"
    try:
        data = path.read_bytes()
        size = zstandard.frame_content_size(data)
        if not 0 <= size <= MOST_BYTES:
            found = "does not say how many bytes it holds" if size < 0 else f"claims to hold {size:,} bytes"
            raise DetectorError(f"{path}: {found}, expected {MOST_BYTES:,} at most; {advice}")
        content = zstandard.ZstdDecompressor().decompress(data, allow_extra_data=False)
        tensors = safetensors.load(content)
        checksum = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"][CHECKSUM]
        header = json.loads(tensors["header"].numpy().tobytes())
        version = header["version"]
    except (OSError, zstandard.ZstdError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise DetectorError(f"{path}: not a readable file of sparse weights ({error!r}); {advice}") from None
    if version != VERSION:
        raise DetectorError(
            f"{path}: sparse weights of version {version}; this program reads version {VERSION}: make the file "
            "again or use the program that wrote it"
        )
    if checksum != digest(tensors):
        raise DetectorError(f"{path}: damaged (its checksum does not hold); {advice}")
    del tensors["header"]
    return tensors, header
