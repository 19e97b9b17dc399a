"""int8 quantization: calibrated on training images, with layers kept in fp32 where accuracy would fall.

Rounding moves the logits of all images by something in common, which would move the threshold. So the median of
what it moves the calibration images by is taken off again, at the output alone. (Nagel et al. 2019,
<https://arxiv.org/abs/1906.04721>, correct the bias of each channel of each layer, by means. Ranges that leave out
what is rare cut large logits off, which moves a mean and no image near the threshold.)
"""

import glob
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnxruntime import quantization
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType
from onnxruntime.quantization.shape_inference import quant_pre_process

from detector.export import onnx_model, runtimes

log = logging.getLogger(__name__)

BATCH = 8  # images
STRIDE = 2  # batches whose activations are held at a time: 1.7 GB for resnet50 at 224 px
LAYERS = ("Conv", "Gemm")
JOINING = ("Add", "Div", "Flatten", "Mul", "ReduceMean", "Reshape", "Squeeze", "Sub")  # from layers to the logit
# How the range of a layer's activations is found. One that leaves rare large values out rounds the others less.
METHODS: Mapping[str, Mapping] = {
    "minmax": {"calibrate_method": CalibrationMethod.MinMax},
    "percentile": {
        "calibrate_method": CalibrationMethod.Percentile,
        "extra_options": {"CalibPercentile": 99.99},
    },
    "entropy": {"calibrate_method": CalibrationMethod.Entropy},
}
RANKED_ON = 32  # images that tell which layers suffer most
ROUNDED = f"{onnx_model.OUTPUT}.rounded"  # the logit before it is corrected
CORRECTION = f"{onnx_model.OUTPUT}.correction"


class _Images(CalibrationDataReader):
    """Images in batches of one size, as the library wants them; a remainder is left out."""

    def __init__(self, images: np.ndarray):
        size = min(BATCH, len(images))
        count = len(images) // size
        self.stride = min(STRIDE, count)
        count -= count % self.stride
        self._batches = np.split(images[: count * size], count)
        self.set_range(0, count)

    def __len__(self) -> int:
        return len(self._batches)

    def set_range(self, start_index: int, end_index: int) -> None:
        self._left = iter(self._batches[start_index:end_index])

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self._left, None)
        return None if batch is None else {onnx_model.INPUT: batch}


def save_int8(
    path: Path,
    source: Path,
    images: np.ndarray,
    accuracy: Callable[[Path], float],
    wanted: float,
) -> dict:
    """Write `source` with weights (per channel) and activations in int8, as static QDQ, its logits corrected.

    `images`: uint8 (n, size, size, 3), training images to calibrate on. `accuracy` measures a file on validation
    images. The first of these whose accuracy is at least `wanted` is kept: each of `METHODS`; then the best of
    them with the 1, 2, 4 … layers that lose most by rounding left in fp32. If none reaches it, the best one is
    kept and the log says so.

    Returns what was done: `method`, `float_layers` (names), `correction` (what is added to each logit),
    `valid_accuracy`, and `tried`, a list of the same.
    """
    tried: list[dict] = []
    with _scratch(path) as folder:
        prepared = folder / "prepared.onnx"
        _prepare(prepared, source)
        exact = _logits(prepared, images)
        for method, float_layers in _plans(folder, prepared, images, tried):
            target = folder / f"{len(tried)}.onnx"
            _quantize(target, prepared, images, method, float_layers)
            correction = float(np.median(exact - _logits(target, images)))
            _correct(target, correction)
            reached = float(accuracy(target))
            attempt = {"method": method, "float_layers": list(float_layers), "correction": correction}
            tried.append({**attempt, "valid_accuracy": reached})
            log.info("int8, %s, %d layers in fp32: validation accuracy %.4f", method, len(float_layers), reached)
            if reached >= wanted:
                break
        else:
            log.warning("%s: nothing tried reaches a validation accuracy of %.4f; the best is kept", path, wanted)
        done = max(tried, key=lambda attempt: (attempt["valid_accuracy"] >= wanted, attempt["valid_accuracy"]))
        model = onnx.load(folder / f"{tried.index(done)}.onnx")
        onnx_model.set_facts(model, {"precision": "int8", "quantization": done})
        onnx_model.write(path, model)
    return {**done, "tried": tried}


def _logits(path: Path, images: np.ndarray) -> np.ndarray:
    """Logits of a file, float32 (n,), a few images at a time."""
    return runtimes.logits(runtimes.load(path, "onnxruntime", 1), len(images), images.__getitem__, batch=BATCH)


def _correct(path: Path, correction: float) -> None:
    """Add a number to each logit of a model."""
    model = onnx.load(path)
    graph = model.graph
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [ROUNDED if name == onnx_model.OUTPUT else name for name in names]
    graph.initializer.append(numpy_helper.from_array(np.array(correction, np.float32), CORRECTION))
    graph.node.append(helper.make_node("Add", [ROUNDED, CORRECTION], [onnx_model.OUTPUT], CORRECTION))
    onnx_model.write(path, model)


def _prepare(target: Path, source: Path) -> None:
    """Fuse what runtimes fuse, so that no range is sought in between."""
    try:
        quant_pre_process(source, target)
    except Exception as error:  # its own inference of shapes stumbles over some graphs (XCiT's); ONNX's will do
        log.info("shapes by ONNX alone, not by ONNX Runtime's symbols (%s)", error)
        quant_pre_process(source, target, skip_symbolic_shape=True)


@contextmanager
def _scratch(path: Path) -> Iterator[Path]:
    """A folder for attempts beside `path`, gone in the end; what killed processes left goes first."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.attempts.*"):
        shutil.rmtree(left, ignore_errors=True)
    folder = path.with_name(f".{path.name}.attempts.{os.getpid()}")
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def layers(source: Path) -> list[str]:
    """Names of the layers with weights that are to be in int8, in order."""
    kept = _ends(source)
    return [node.name for node in onnx.load(source).graph.node if node.op_type in LAYERS and node.name not in kept]


def _plans(
    folder: Path, source: Path, images: np.ndarray, tried: Sequence[Mapping]
) -> Iterator[tuple[str, list[str]]]:
    """Next attempts: method, and the layers to leave in fp32. Reads the results of earlier ones in `tried`."""
    yield from ((method, []) for method in METHODS)
    best = max(tried, key=lambda attempt: attempt["valid_accuracy"])["method"]
    # spread over all: the first ones are of one class and source
    ranked = _by_loss(folder, source, images[:: max(1, len(images) // RANKED_ON)][:RANKED_ON])
    count = 1
    while count < len(ranked):
        yield best, ranked[:count]
        count *= 2


def _by_loss(folder: Path, source: Path, images: np.ndarray) -> list[str]:
    """Layers by how far the logits move when that layer alone is quantised, the furthest first.

    Less what they move by in common: that is corrected.
    """
    exact = _logits(source, images)
    moved = {}
    for name in layers(source):
        _quantize(folder / "alone.onnx", source, images, "minmax", [], [name])
        moved[name] = float(np.std(_logits(folder / "alone.onnx", images) - exact))
        log.info("%s alone in int8 moves the logits by %.3g (standard deviation)", name, moved[name])
    return sorted(moved, key=moved.__getitem__, reverse=True)


def _quantize(
    target: Path,
    source: Path,
    images: np.ndarray,
    method: str,
    exclude: Sequence[str],
    only: Sequence[str] = (),
) -> None:
    """Write `source` in int8: weights per channel and with seven of the eight bits, activations with all eight.

    Without VNNI a processor adds two products of an activation (to 255) and a weight in 16 bits and cuts off what
    is larger: with weights to 127 that is half of the logits' error on AVX2 (docs/deployment.md); with weights to
    64 no such sum is larger, and a file says the same on every processor.
    """
    options = dict(METHODS[method])
    reader = _Images(images)
    # By its name for one method alone, but it holds for all: so many batches are looked at together.
    options["extra_options"] = {**options.get("extra_options", {}), "CalibStridedMinMax": reader.stride}
    with redirect_stdout(None), _unheard():  # the library prints how it gets on
        quantization.quantize_static(
            *(source, target, reader),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            reduce_range=True,
            nodes_to_exclude=[*exclude, *_ends(source)],
            nodes_to_quantize=[*only],
            **options,
        )


@contextmanager
def _unheard() -> Iterator[None]:
    """Keep off the log what the library says through the logger without a name.

    It warns of each weight that has no channels, such as LayerNorm's, which then has one scale. Loggers of ours
    have names: nothing else is lost.
    """
    root = logging.getLogger()
    root.addFilter(_nothing)
    try:
        yield
    finally:
        root.removeFilter(_nothing)


def _nothing(_: logging.LogRecord) -> bool:
    return False


def _ends(source: Path) -> list[str]:
    """Nodes that stay in fp32: the preprocessing, and the layers of the logit with what comes after them.

    Pixels scaled in int8 would be rounded twice, and the logit would have 256 values. Such a layer is one product
    a feature, next to nothing of a network; one with two heads has two.
    """
    graph = onnx.load(source).graph
    kinds = [node.op_type in LAYERS for node in graph.node]
    kept = {node.name for node in graph.node[: kinds.index(True) if any(kinds) else None]}
    makers = {name: node for node in graph.node for name in node.output}
    outputs = {tensor.name: tensor.dims for tensor in graph.initializer}
    names = [graph.output[0].name]
    while names:
        node = makers.get(names.pop())
        if node is None or node.name in kept:
            continue
        if node.op_type in JOINING:
            kept.add(node.name)
            names += node.input
        elif len(node.input) > 1 and _outputs(node, outputs.get(node.input[1], ())) == 1:
            kept.add(node.name)
    return [node.name for node in graph.node if node.name in kept]


def _outputs(node: onnx.NodeProto, shape: Sequence[int]) -> int | None:
    """Number of outputs of a layer by the shape of its weights; None of what is no layer."""
    if not shape or node.op_type not in (*LAYERS, "MatMul"):
        return None
    transposed = any(part.name == "transB" and part.i for part in node.attribute)
    return shape[0] if node.op_type == "Conv" or transposed else shape[-1]
