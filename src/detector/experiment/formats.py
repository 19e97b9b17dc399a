"""File formats of a variant: safetensors, sparse and ONNX files, by format and precision."""

from collections.abc import Sequence
from pathlib import Path

TRAINED = "safetensors-fp32"
# The files of a variant by format and precision: in its own folder, or, for all but the first, in its bundle.
FILES = {
    "safetensors-fp32": "model.safetensors",
    "sparse-fp16": "model.fp16.sparse",
    "sparse-int8": "model.int8.sparse",
    "onnx-fp32": "model.onnx",
    "onnx-fp16": "model.fp16.onnx",
    "onnx-int8": "model.int8.onnx",
}
# Columns of deployment_latency.csv; the first ones tell its rows apart.
KEY = ("branch", "format", "runtime", "precision", "batch")
LATENCY_COLUMNS = (*KEY, "threads", "latency_ms_median", "latency_ms_p90", "device", "cpu_flags")
EXPORTED = [name for name in FILES if name != TRAINED]
INT8 = "onnx-int8"  # the one that a network may have to do without (`left_out.INT8`)


def file(folder: Path, name: str) -> Path:
    """Path of the file of a format; `folder`: the variant's."""
    return folder / FILES[name] if name == TRAINED else folder / "bundle" / FILES[name]


def exported(runtimes: Sequence[str], formats: Sequence[str]) -> list[str]:
    """RUNTIME/FORMAT of everything that gives logits of its own, of the exported files of these `formats`."""
    return [
        f"{runtime}/{name}" for name in formats for runtime in (runtimes if name.startswith("onnx") else ["torch"])
    ]
