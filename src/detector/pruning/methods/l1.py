"""Global magnitude pruning, the study's method: drops the smallest weights of all layers together, at once."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from detector.models.networks import prunable
from detector.pruning import masks

PERCENT_OF = "weights"
SETTINGS = ()
CARD = "{zeros} of its conv and fc weights, those of smallest magnitude, set to zero"


def start(model: nn.Module, pruning: Mapping[str, Any], seed: int) -> tuple[nn.Module, list[torch.Tensor]]:
    """`model` itself, and masks that drop the `sparsity` share of its smallest weights."""
    return model, masks.global_l1(prunable(model), pruning["sparsity"])
