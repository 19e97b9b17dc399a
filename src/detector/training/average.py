"""Moving average of a network's weights: what is validated and kept where a recipe has `ema`."""

import copy

import torch
from torch import nn


class Average:
    """Exponential moving average of the weights and batch-norm statistics of a network, in `module`.

    After step t, from 0, it keeps the share min(`decay`, (1 + t) / (10 + t)) of itself, so that it does not
    remember the initial weights for as long as it would remember any. torch's `AveragedModel` counts its updates
    itself, on the device, and averages whole numbers, which are copied here.
    """

    def __init__(self, model: nn.Module, decay: float):
        self.module = copy.deepcopy(model).requires_grad_(False)
        self._decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights of `model` after step number `step` of the training, from 0."""
        pairs = list(zip(self.module.state_dict().values(), model.state_dict().values(), strict=True))
        floats = [pair for pair in pairs if pair[0].is_floating_point()]
        ours, theirs = ([pair[side] for pair in floats] for side in (0, 1))
        torch._foreach_lerp_(ours, theirs, 1 - min(self._decay, (1 + step) / (10 + step)))
        for own, other in pairs:
            if not own.is_floating_point():
                own.copy_(other)
