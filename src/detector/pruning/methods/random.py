"""Pruning at random: the control that shows what choosing by magnitude is worth."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from detector.models.networks import prunable
from detector.pruning import masks

PERCENT_OF = "weights"
SETTINGS = ()
CARD = "{zeros} of its conv and fc weights, chosen at random, set to zero, as a control"


def start(model: nn.Module, pruning: Mapping[str, Any], seed: int) -> tuple[nn.Module, list[torch.Tensor]]:
    """`model` itself, and masks that drop a `sparsity` share of its weights, drawn by `seed`."""
    generator = torch.Generator().manual_seed(seed)
    return model, masks.lowest(
        prunable(model), pruning["sparsity"], lambda flat: torch.rand(flat.numel(), generator=generator)
    )
