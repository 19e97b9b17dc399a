"""Trial of a network before anything is trained: whether each step that a config asks for works with it.

`python -m detector.export.trial NAME SIZE [STEP …]` prints one JSON object: what fails, by step. The rules run it
once for each network that is not the study's, size and set of steps (`experiment.left_out`).
"""

import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from detector.core.errors import DetectorError
from detector.core.files import canonical
from detector.experiment import left_out
from detector.experiment.variants import Branch
from detector.export import onnx_model, quantization, runtimes
from detector.models import gradcam, networks, sparse
from detector.pruning import channels

# pixels, of images that a network may take
SIDES = (32, 48, 64, 96, 128, 160, 192, 224, 256, 288, 320, 384, 448, 512)
CHANNELS = "channels"
ROWS = 8


def trial(name: str, size: int, steps: Sequence[str] = ()) -> dict[str, str]:
    """What of the protocol fails for a network at a size, by step, with the reason.

    `steps`: those that are wanted beside images and training (`left_out.steps`). Weights are random ones, so it is
    known of the steps whether they work, and not what they are worth.
    """
    try:
        network = _fits(name, size)
    except DetectorError as error:
        return {left_out.IMAGES: f"{error}; {_sizes(name, size)}"}
    smaller = _Smaller(network, name, size)
    found: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        files = _Files(Path(folder), network, name, size)
        works: dict[str, Callable[[], object]] = {
            left_out.TRAINING: partial(_trains, network, size),
            left_out.HEAT_MAPS: partial(gradcam.check, network, size),
            left_out.EXPORTS: files.all_but_int8,
            left_out.INT8: files.int8,
        }
        for step in (left_out.TRAINING, *steps):
            if step == left_out.INT8 and left_out.EXPORTS in found:
                continue  # nothing that it could be made from
            try:
                works.get(step, partial(_prunes, network, smaller, step))()
            except Exception as error:  # of any library, about any network
                found[step] = (str(error).strip() or type(error).__name__).split("\n")[0][:300]
    return found


def _fits(name: str, size: int) -> nn.Module:
    network = networks.build(name, size=size).eval()
    try:
        with torch.no_grad():
            shape = tuple(network(torch.zeros(2, 3, size, size)).shape)
    except Exception as error:  # of any library, about any network
        said = str(error).split("\n")[0][:200]
        raise DetectorError(f"{name} takes no images of {size} px: {said or type(error).__name__}") from None
    if shape != (2, 1):
        raise DetectorError(f"{name} gives {shape} for two images, expected one logit for each")
    return network


def _sizes(name: str, size: int) -> str:
    """Advice on the size: the nearest that the network takes, first larger ones."""
    for side in (*(s for s in SIDES if s > size), *reversed([s for s in SIDES if s < size])):
        try:
            _fits(name, side)
        except DetectorError:
            continue
        return f"set images.size to {side}, or take another network"
    return "take another network"


def _trains(network: nn.Module, size: int) -> None:
    images = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    network.train()
    first = network(images).mean()
    first.backward()
    if not torch.equal(first, network(images).mean()):
        raise DetectorError("it draws random numbers in training, which a resumed training could not repeat")
    network.zero_grad()
    network.eval()


def _prunes(network: nn.Module, smaller: "_Smaller", step: str) -> None:
    if odd := {type(m).__name__ for m in network.modules() if "StdConv" in type(m).__name__}:
        raise DetectorError(f"its {odd.pop()} shifts weights before they are used: a zero would not stay one")
    if step.startswith(f"{CHANNELS}-") and (share := Branch.of(step).percent / 100) > smaller.most:
        raise DetectorError(f"at most {smaller.most:.1%} of its parameters can go with channels, not {share:.0%}")


class _Smaller:
    """A network without as many of its channels as can go, and which share of its parameters that is.

    Not found by the bisection that a branch takes: to work out what hangs together takes seconds in some networks.
    """

    def __init__(self, network: nn.Module, name: str, size: int):
        self._network, self._name, self._size = network, name, size

    @cached_property
    def most(self) -> float:
        """The largest share that can be removed. Raises where what is left is no network, or cannot be loaded."""
        smaller = channels.smallest(self._network).eval()
        again = networks.load(self._name, smaller.state_dict(), self._size)
        images = torch.rand(1, 3, self._size, self._size, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            if not torch.allclose(again(images), smaller(images), atol=1e-6):
                raise DetectorError("its smaller weights alone do not say which network they are of")
        return 1 - networks.parameter_count(smaller) / networks.parameter_count(self._network)


class _Files:
    """Exported files of a network in a folder: whether each can be made, and read."""

    def __init__(self, folder: Path, network: nn.Module, name: str, size: int):
        self._folder, self._network, self._name, self._size = folder, network, name, size
        self._images = np.random.default_rng(0).integers(0, 256, (4, size, size, 3), dtype=np.uint8)

    @cached_property
    def _exact(self) -> Path:
        """The fp32 file, which the others are made from."""
        path = self._folder / "model.onnx"
        onnx_model.save_onnx(path, self._network, self._size, {})
        return path

    @torch.no_grad()
    def all_but_int8(self) -> None:
        """Make them. Raises where one cannot be made, or is not the network."""
        expected = onnx_model.FromBytes(self._network, self._size)(torch.from_numpy(self._images)).numpy()
        runtimes.parity(expected, self._logits(self._exact), self._exact, "random images")
        half = self._folder / "model.fp16.onnx"
        onnx_model.save_half(half, self._exact)
        self._logits(half)
        weights, path = self._network.state_dict(), self._folder / "model.sparse"
        # The start of each tensor says whether a file can be made, without a wait for large networks.
        some = {key: tensor[:ROWS] if tensor.dim() else tensor for key, tensor in weights.items()}
        for precision in ("fp16", "int8"):
            sparse.save(path, some, precision, {})
            restored, _ = sparse.load(path)
            if {key: t.shape for key, t in restored.items()} != {key: t.shape for key, t in some.items()}:
                raise DetectorError("a sparse file of its weights does not hold all of them")
        networks.load(self._name, weights, self._size)

    @torch.no_grad()
    def int8(self) -> None:
        """Make the int8 file. Raises where that cannot be, or it gives no numbers."""
        path = self._folder / "model.int8.onnx"

        def numbers(path: Path) -> float:
            return float(np.isfinite(self._logits(path)).mean())

        done = quantization.save_int8(path, self._exact, self._images, numbers, wanted=0.0)
        if done["valid_accuracy"] < 1:
            raise DetectorError("its logits in int8 are no numbers")

    def _logits(self, path: Path) -> np.ndarray:
        return runtimes.load(path, "onnxruntime", 1)(self._images)


if __name__ == "__main__":
    sys.stdout.write(canonical(trial(sys.argv[1], int(sys.argv[2]), sys.argv[3:])))
