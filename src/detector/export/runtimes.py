"""Inference runtimes for exported models: ONNX Runtime, and OpenVINO where it is installed. No torch."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime

from detector.core import extras, progress
from detector.core.errors import DetectorError, wants_memory

RUNTIMES = ("onnxruntime", "openvino")
BATCH = 64
PARITY = 1e-4
_REMEDY = (
    "expected a file that snakemake exported; if it is one, copy it again, or make it again: snakemake -R export"
)

# uint8 (n, size, size, 3) → float32 (n,)
Exported = Callable[[np.ndarray], np.ndarray]


def load(path: Path, runtime: str, threads: int) -> Exported:
    """Load a model as a function from images, uint8 (n, size, size, 3), to their logits, float32 (n,).

    Raises `DetectorError` where the file is no such model, or the runtime is not installed.
    """
    if runtime == "openvino":
        return _openvino(path, threads)
    session = open_session(path, threads)
    return lambda images: session.run(None, {"image": images})[0]


def facts(path: Path) -> dict[str, str]:
    """Metadata of an ONNX file: architecture, labels, threshold, temperature, provenance."""
    return dict(open_session(path, 1).get_modelmeta().custom_metadata_map)


def logits(
    model: Exported, count: int, gather: Callable[[np.ndarray], np.ndarray], title: str = "", batch: int = BATCH
) -> np.ndarray:
    """Logits of `count` images, float32 (count,); `gather`: indices int (n,) to uint8 (n, size, size, 3)."""
    out = np.empty(count, np.float32)
    with progress.bar(count, title) as bar:
        for start in range(0, count, batch):
            indices = np.arange(start, min(start + batch, count))
            out[indices] = model(gather(indices))
            bar.update(len(indices))
    return out


def parity(expected: np.ndarray, logits: np.ndarray, path: Path, testset: str) -> float:
    """Largest difference of two models' logits on a set, both float (n,).

    Raises `DetectorError` where one exceeds 1e-4, or that share of the logit or of the root mean square of all
    where these are above 1: the exported network is then not the trained one. Rounding grows with what a logit is
    summed from, which in a network with large logits is large where a logit happens to be near 0 too.
    """
    if not len(expected):
        return 0.0
    difference = np.abs(np.asarray(logits, np.float64) - expected)
    usual = max(1.0, float(np.sqrt(np.mean(np.square(expected, dtype=np.float64)))))
    near = difference <= PARITY * np.maximum(usual, np.abs(expected))  # False for NaN
    if not near.all():
        raise DetectorError(
            f"{path}: {int((~near).sum())} of {len(logits)} logits on {testset} are not those of torch (largest "
            f"difference {difference.max():.3g}, expected at most {PARITY:g}, or that share of logits above 1); "
            "please report this, it is a bug"
        )
    return float(difference.max())


def session_options(threads: int) -> onnxruntime.SessionOptions:
    """Options of ONNX Runtime: `threads` CPU threads, and no log but errors."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    # Waiting threads that spin would slow down whoever computes next, another model in an interleaved run say.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.log_severity_level = 3
    return options


def open_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """Open an ONNX Runtime session on the CPU. Raises `DetectorError` where the file is no model of ours."""
    _check_text(path)
    try:
        session = onnxruntime.InferenceSession(path, session_options(threads), providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no common class of their own
        if wants_memory(error):
            raise
        raise DetectorError(
            f"{path}: not a model that ONNX Runtime can load ({_first_line(error)}); {_REMEDY}"
        ) from None
    found = [(node.name, node.type) for node in session.get_inputs()]
    if found != [("image", "tensor(uint8)")]:
        raise DetectorError(f"{path}: found the inputs {found}, expected one, `image`, of uint8; export it again")
    return session


def _openvino(path: Path, threads: int) -> Exported:
    try:
        import openvino
    except ImportError:
        raise extras.missing("openvino", "deploy.runtimes") from None
    options = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"}
    # OpenVINO computes in bf16 where the CPU can; fp32 by name means fp32.
    options["INFERENCE_PRECISION_HINT"] = "f32"
    _check_text(path)
    try:
        compiled = openvino.Core().compile_model(str(path), "CPU", options)
    except RuntimeError as error:
        if wants_memory(error):
            raise
        raise DetectorError(
            f"{path}: not a model that OpenVINO can load ({_first_line(error)}); {_REMEDY}"
        ) from None
    request = compiled.create_infer_request()
    return lambda images: request.infer({0: images})[compiled.output(0)].copy()


def _check_text(path: Path) -> None:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise DetectorError(
            f"{path}: its path is not UTF-8, so no runtime can open it; rename the folder, or copy the bundle to "
            "another"
        ) from None


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:200]
