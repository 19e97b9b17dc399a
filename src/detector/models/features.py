"""Features of images for classifiers: radial spectra, or what a network makes its logit of; and logits by them."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from detector.core import progress
from detector.core.errors import DetectorError
from detector.core.files import read_json, sha256
from detector.experiment import architectures
from detector.imaging import looks
from detector.models import checkpoints, classifiers, inference, networks, starts
from detector.models.batches import Batches
from detector.models.dataset import sequences
from detector.models.devices import Plan
from detector.stats.spectra import spectrum

CHUNK = 512  # images whose pixels are held at a time


class Body(nn.Module):
    """A network without its head: maps images (n, 3, h, w) to what the head is given, floats (n, k).

    Where the head is given maps, their means over pixels.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model
        self._given: list[torch.Tensor] = []
        head = model.get_submodule(networks.head(model)[0])
        head.register_forward_pre_hook(lambda _, given: self._given.append(given[0]))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Features of images."""
        self._given.clear()
        self.model(images)
        (found,) = self._given
        return found.flatten(2).mean(2) if found.dim() > 2 else found

    @property
    def parameters_used(self) -> int:
        """Number of the network's parameters without those of its head."""
        unused = sum(
            networks.parameter_count(self.model.get_submodule(name)) for name in networks.head(self.model)
        )
        return networks.parameter_count(self.model) - unused


def body(architecture: str, file: Path, size: int) -> Body:
    """The network that gives features, with a trained variant's weights or, of NETWORK@INIT, those of its start.

    `size`: of the images, pixels a side. Raises `DetectorError` for a file that is not of this network.
    """
    if architectures.start(architecture) is None:
        return Body(networks.load(architecture, checkpoints.load_weights(file), size))
    model = networks.build(architecture, size=size)
    starts.begin(model, file, architecture)
    return Body(model.eval())


def fitted(model: Path, network: Path | None, size: int) -> tuple[classifiers.Arrays, Body | None]:
    """A fitted classifier, and the network that gives its features, if one does.

    `model`: its file, with meta.json beside it; `network`: that of the weights which features are taken from;
    `size`: as for `body`. Raises `DetectorError` where it was fitted on features of another network.
    """
    fitted_on = read_json(model.with_name("meta.json")).get("network")
    given = None
    if fitted_on:
        if network is None or sha256(network) != fitted_on["sha256"]:
            raise DetectorError(
                f"{network}: is not what {model} was fitted on; delete {model} and run snakemake again"
            )
        given = body(fitted_on["name"], network, size)
    return {name: tensor.numpy() for name, tensor in checkpoints.load_weights(model).items()}, given


def judge(model: Path, network: Path | None, size: int, plan: Plan) -> inference.Judge:
    """The judge that is a fitted classifier, float64 (n,): rows hold all frames of a video or none of them.

    Of the same files, and with the same errors, as `fitted`.
    """
    arrays, given = fitted(model, network, size)

    def said(batches: Batches, rows: pd.DataFrame, title: str) -> np.ndarray:
        values = features(given, batches, plan, title)
        each = sequences(rows, batches.looks)
        return looks.mean(classifiers.logits(arrays, values, each), batches.looks)

    return said


def features(network: Body | None, batches: Batches, plan: Plan, title: str = "") -> np.ndarray:
    """Features of all images, in the order of `batches`: a network's, float32 (n, k); without one, of spectra."""
    return _spectra(batches, title) if network is None else inference.outputs(network, batches, plan, title)


def _spectra(batches: Batches, title: str) -> np.ndarray:
    """Powers on rings of equal frequency, in decibels, of what a network would see: float64 (n, size // 2)."""
    parts = []
    with progress.bar(len(batches), title) as bar:
        for start in range(0, len(batches), CHUNK):
            pixels = batches.gather(np.arange(start, min(start + CHUNK, len(batches))))
            parts.append(spectrum(pixels, range(len(pixels))).profiles)
            bar.update(len(pixels))
    return np.concatenate(parts)
