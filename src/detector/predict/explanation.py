"""Explanation of a verdict: a map of the image regions behind it, from the ONNX file alone.

The networks end in an average over all positions and one linear output. For these Grad-CAM at the last block
(Selvaraju et al. 2017) is CAM (Zhou et al. 2016) up to a constant: the gradient of the logit is the output's
weight at each position, so no gradient needs to be computed.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import onnx
import onnxruntime
from PIL import Image

from detector.core.errors import DetectorError
from detector.export import runtimes
from detector.stats import decisions

SHOWN = 256  # pixels: smaller images are shown larger, by a whole factor
STRENGTH = 0.6  # of the colour where the map is highest
# From nothing to yellow: also in grey the brighter, the more.
COLOURS = np.array([[0, 0, 0], [90, 0, 80], [200, 40, 40], [255, 150, 0], [255, 255, 120]], np.float64)


class Explained(Protocol):
    """Model whose verdicts are explained."""

    @property
    def file(self) -> Path:
        """Its ONNX file."""

    @property
    def size(self) -> int:
        """Side of what it sees, in pixels."""

    @property
    def threads(self) -> int:
        """CPU threads that it may use."""

    def logits(self, pictures: np.ndarray, /) -> np.ndarray:
        """Logits, float32 (n,), of `pictures`, uint8 (n, size, size, 3)."""


def check(model: Explained) -> None:
    """Raise `DetectorError` for a model whose verdicts cannot be explained: see `heat_map` and `overlay`."""
    overlay(model, np.zeros((model.size, model.size, 3), np.uint8))


def heat_map(model: Explained, pixels: np.ndarray, logit: float | None = None) -> np.ndarray:
    """Evidence for the network's verdict, real or fake, by position: float64 (positions, positions), 0 to 1.

    `pixels`: uint8 (size, size, 3). `logit`: what the verdict is by, None for that of `pixels`. All 0 where no
    position supports the verdict (the bias decides). Raises `DetectorError` for a network that does not end in an
    average and one linear output.
    """
    features, weight = _maps(str(model.file), model.threads)(pixels[None])
    evidence = np.tensordot(weight.reshape(-1).astype(np.float64), features[0].astype(np.float64), axes=1)
    if not decisions.real(float(model.logits(pixels[None])[0]) if logit is None else logit):
        evidence = -evidence
    evidence = np.maximum(evidence, 0)
    return evidence / evidence.max() if evidence.max() > 0 else evidence


def overlay(model: Explained, pixels: np.ndarray, logit: float | None = None) -> np.ndarray:
    """Overlay of an explanation: uint8 (n, n, 3), n a multiple of size, pixels in grey and the evidence in colour.

    `pixels` and `logit`: as of `heat_map`. Raises `DetectorError` for a network whose last block has one position:
    there is no place to show.
    """
    found = heat_map(model, pixels, logit)
    if found.shape[0] < 2:
        raise DetectorError(
            f"{model.file}: at {model.size} pixels its last block has one position, so there is no place to show; "
            "leave --explain out, or train with a larger images.size"
        )
    side = model.size * max(1, -(-SHOWN // model.size))
    shown = Image.fromarray(pixels).convert("L").resize((side, side), Image.Resampling.NEAREST)
    grey = np.asarray(shown, np.float64)[..., None]
    map_ = np.asarray(Image.fromarray(found.astype(np.float32)).resize((side, side), Image.Resampling.BILINEAR))
    at = map_.clip(0, 1) * (len(COLOURS) - 1)
    low = np.minimum(at.astype(int), len(COLOURS) - 2)
    part = (at - low)[..., None]
    colour = COLOURS[low] * (1 - part) + COLOURS[low + 1] * part
    share = STRENGTH * map_.clip(0, 1)[..., None]
    mixed: np.ndarray = grey * (1 - share) + colour * share
    return mixed.round().astype(np.uint8)


@functools.lru_cache(maxsize=4)
def _maps(path: str, threads: int) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """A function from pictures to (what the last average is over, float (n, c, h, w); the output's weight)."""
    model = onnx.load(path)
    pools = [node for node in model.graph.node if node.op_type in ("ReduceMean", "GlobalAveragePool")]
    outputs = [node for node in model.graph.node if node.op_type == "Gemm"]
    if len(pools) != 1 or len(outputs) != 1:
        raise DetectorError(
            f"{path}: found {len(pools)} averages and {len(outputs)} linear layers, expected one of each; "
            "this network's verdicts cannot be explained; leave --explain out"
        )
    names = [pools[0].input[0], outputs[0].input[1]]
    for name in names:  # also a weight can be an output, whatever it is stored as
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), runtimes.session_options(threads), providers=["CPUExecutionProvider"]
    )
    return lambda pictures: session.run(names, {"image": pictures})
