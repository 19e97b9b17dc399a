"""Trial of a network before anything is trained: whether each step that a config asks for works with it.

`python -m detector.export.trial NAME SIZE [METHOD …]` prints one JSON object: what fails, by step. The rules run
it once for each network that is not the study's, size and set of methods.
"""

import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from detector.core.errors import DetectorError
from detector.core.files import canonical
from detector.export import onnx_model, runtimes
from detector.models import gradcam, networks
from detector.pruning.channels import remove_channels

SIDES = (
    32,
    48,
    64,
    96,
    128,
    160,
    192,
    224,
    256,
    288,
    320,
    384,
    448,
    512,
)  # pixels, of images that a network may take
TRIED = 0.2  # share of the parameters
CHANNELS = "channels"


def trial(name: str, size: int, methods: Sequence[str] = ()) -> dict[str, str]:
    """What of the protocol fails for a network at a size, by step (`images`, `training` …), with the reason.

    `methods`: pruning methods that are wanted. Weights are random ones, so it is known of the steps whether they
    work, and not what they are worth.
    """
    try:
        network = _fits(name, size)
    except DetectorError as error:
        return {"images": f"{error}; {_sizes(name, size)}"}
    steps: dict[str, Callable[[], object]] = {
        "training": partial(_trains, network, size),
        **{f"method {one}": partial(_prunes, network, name, size, one) for one in methods},
        "heat maps": partial(gradcam.check, network, size),
        "export": partial(_exports, network, size),
    }
    found = {}
    for step, work in steps.items():
        try:
            work()
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


def _prunes(network: nn.Module, name: str, size: int, method: str) -> None:
    if odd := {type(m).__name__ for m in network.modules() if "StdConv" in type(m).__name__}:
        raise DetectorError(f"its {odd.pop()} shifts weights before they are used: a zero would not stay one")
    if method != CHANNELS:
        return
    smaller = remove_channels(network, TRIED).eval()
    again = networks.load(name, smaller.state_dict(), size)
    images = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        if not torch.allclose(again(images), smaller(images), atol=1e-6):
            raise DetectorError("its smaller weights alone do not say which network they are of")


def _exports(network: nn.Module, size: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        path = Path(folder) / "model.onnx"
        onnx_model.save_onnx(path, network, size, {})
        expected = onnx_model.FromBytes(network)(torch.from_numpy(images)).numpy()
        runtimes.parity(expected, runtimes.load(path, "onnxruntime", 1)(images), path, "random images")


if __name__ == "__main__":
    sys.stdout.write(canonical(trial(sys.argv[1], int(sys.argv[2]), sys.argv[3:])))
