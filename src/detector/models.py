"""Networks by name. Every one ends in ONE logit: above 0 means real (label 1), below 0 fake (label 0)."""

from collections.abc import Mapping

import torch
from torch import nn
from torchvision import models

from detector.errors import DetectorError

ARCHITECTURES = {"resnet18": models.resnet18, "resnet34": models.resnet34, "resnet50": models.resnet50}


def build(architecture: str, seed: int = 0) -> nn.Module:
    """A network with fresh weights drawn from `seed`; forward maps (n, 3, h, w) float to (n, 1) float.

    The global random state is left as it was. Raises `DetectorError` for an unknown name.
    """
    if architecture not in ARCHITECTURES:
        raise DetectorError(f"unknown architecture {architecture!r}; expected one of {', '.join(ARCHITECTURES)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ARCHITECTURES[architecture](weights=None, num_classes=1)


def load(architecture: str, weights: Mapping[str, torch.Tensor]) -> nn.Module:
    """The network with these `weights`, in evaluation mode. Raises `DetectorError` where they do not fit."""
    model = build(architecture)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise DetectorError(f"these weights are not those of a {architecture} with one logit: {error}") from None
    return model.eval()


def prunable(model: nn.Module) -> list[nn.Parameter]:
    """The weights that pruning may touch: those of convolution and linear layers, in module order."""
    return [m.weight for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]


def parameter_count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())
