"""File formats of a variant: safetensors, sparse and ONNX files, by format and precision."""

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


def file(folder: Path, name: str) -> Path:
    """Path of the file of a format; `folder`: the variant's."""
    return folder / FILES[name] if name == TRAINED else folder / "bundle" / FILES[name]


def exported(runtimes: list[str]) -> list[str]:
    """RUNTIME/FORMAT of every exported file that gives logits of its own, beside those of the trained model."""
    return [
        f"{runtime}/{name}"
        for name in EXPORTED
        for runtime in (runtimes if name.startswith("onnx") else ["torch"])
    ]
