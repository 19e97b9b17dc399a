"""What a branch starts from: the baseline, pruned by the branch's method."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from detector.models.networks import prunable
from detector.pruning import channels, masks


def start(
    model: nn.Module, pruning: Mapping[str, Any], seed: int
) -> tuple[nn.Module, Sequence[torch.Tensor] | masks.Gradual | None]:
    """The baseline as a branch starts from it, and what `fit` is to keep at zero.

    `pruning`: `method`, `sparsity` and, for `gradual`, `ramp`, as `branches.branches` gives them.
    """
    method, share = pruning["method"], pruning["sparsity"]
    if method == "channels":
        return channels.remove_channels(model, share), None
    if method == "gradual":
        return model, masks.Gradual(share, pruning["ramp"])
    return model, masks.make(method, prunable(model), share, seed)
