"""Heads: weights of a network whose head is one linear layer, whatever number of logits it gives."""

from collections.abc import Callable, Mapping

import torch
from torch import nn


def converted(
    create: Callable[[str, int, int], nn.Module],
    name: str,
    size: int,
    weights: Mapping[str, torch.Tensor],
    head: str,
) -> Mapping[str, torch.Tensor]:
    """`weights` by the names of the network that `create` makes of a name, a size and a number of logits.

    `head`: name of its last layer, which `weights` may lack. Raises torch's `RuntimeError` where one is missing,
    left over or of another shape.
    """
    last = weights.get(f"{head}.weight")
    network = create(name, size, 1 if last is None else len(last))
    if last is None:
        setattr(network, head, nn.Identity())
    network.load_state_dict(weights)
    found: dict[str, torch.Tensor] = network.state_dict()
    return found
