"""ResNets of torchvision, as the study has them, and a smaller one made of the same blocks."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from detector.models import heads
from detector.models.resnet10 import ResNet10

HEAD = "fc"
PACKAGES: dict[str, str] = {}  # that hold weights, by network


def create(name: str, size: int, classes: int = 1) -> nn.Module:
    """Create a network with one logit, its weights drawn from torch's generator; `size` makes no difference."""
    if name == "resnet10":
        return ResNet10(classes)
    # Not imported at the top: the smaller one starts without it.
    from torchvision import models

    network: nn.Module = getattr(models, name)(weights=None, num_classes=classes)
    return network


def synchronised(model: nn.Module) -> nn.Module:
    """`model` with batch normalisation over all processes on CUDA; its parameters stay the same objects."""
    return nn.SyncBatchNorm.convert_sync_batchnorm(model)


def head(model: nn.Module) -> tuple[str, ...]:
    """Names of the layers that make logits of features."""
    return (HEAD,)


def attentions(model: nn.Module) -> list[nn.Module]:
    """None: there is no attention in these networks."""
    return []


def described(name: str) -> dict[str, Any]:
    """What torchvision says of its weights of a network; nothing where it has none. It names no licence."""
    weights = _weights(name)
    if weights is None:
        return {}
    how = weights.transforms()
    return {"mean": list(how.mean), "std": list(how.std), "interpolation": how.interpolation.value}


def address(name: str) -> str | None:
    """Where torchvision's weights of a network can be had; None where it has none."""
    weights = _weights(name)
    return None if weights is None else str(weights.url)


def converted(name: str, size: int, weights: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
    """`weights` by the names of a network, with whatever head they have, or none; `size` makes no difference.

    Raises torch's `RuntimeError` where one is missing, left over or of another shape.
    """
    return heads.converted(create, name, size, weights, HEAD)


def _weights(name: str) -> Any:
    """The best of torchvision's weights of a network."""
    from torchvision import models

    return None if name == "resnet10" else models.get_model_weights(name).DEFAULT
