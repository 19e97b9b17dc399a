"""Optimizer of a recipe: which weights decay, and which learn at a share of the rate."""

from typing import Any

import torch
from torch import nn

from detector.core.errors import DetectorError
from detector.models.networks import head
from detector.training.recipe import Recipe

SHARE = "share"  # key of a group of weights: its share of the learning rate


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Optimizer of a recipe, fused into one kernel per step, otherwise with PyTorch's defaults.

    Weight decay spares biases and the parameters of norms: all that have one dimension. Where the body learns at a
    rate of its own, its groups have the share of the rate as `SHARE`. Raises `DetectorError` for a name that is
    none of Adam, AdamW and SGD.
    """
    decay = recipe.weight_decay
    groups: list[dict[str, Any]] = [{"params": list(model.parameters())}]
    if decay:
        parts = [[w for w in model.parameters() if (w.ndim > 1) is large] for large in (True, False)]
        groups = [{"params": part, "weight_decay": d} for part, d in zip(parts, (decay, 0.0), strict=True) if part]
    if recipe.body_rate != 1:
        groups = [
            {**group, "params": part, SHARE: share}
            for group in groups
            for side, share in zip(sides(model), (1.0, recipe.body_rate), strict=True)
            if (part := [weight for weight in group["params"] if any(weight is one for one in side)])
        ]
    rate = recipe.learning_rate
    if recipe.optimizer == "Adam":
        return torch.optim.Adam(groups, lr=rate, fused=True)
    if recipe.optimizer == "AdamW":
        return torch.optim.AdamW(groups, lr=rate, weight_decay=0.0, fused=True)
    if recipe.optimizer == "SGD":
        momentum = recipe.momentum
        nesterov = recipe.nesterov and momentum > 0  # a search may draw the one without the other
        return torch.optim.SGD(groups, lr=rate, momentum=momentum, nesterov=nesterov, fused=True)
    raise DetectorError(f"unknown optimizer {recipe.optimizer!r}; expected Adam, AdamW or SGD")


def sides(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Parameters of the layers that make a logit of features, and all others, those of the body."""
    last = {id(weight) for name in head(model) for weight in model.get_submodule(name).parameters()}
    heads, body = ([w for w in model.parameters() if (id(w) in last) is side] for side in (True, False))
    return heads, body
