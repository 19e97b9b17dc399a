"""Start of a branch: the baseline, pruned by the branch's method."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from detector.core import discovery
from detector.experiment import methods
from detector.pruning.masks import Gradual


def start(
    model: nn.Module, pruning: Mapping[str, Any], seed: int
) -> tuple[nn.Module, Sequence[torch.Tensor] | Gradual | None]:
    """Prune the baseline as a branch starts from it; returns the network and what `fit` is to keep at zero.

    `pruning`: `method`, `sparsity` and the method's settings, as `branches.branches` gives them. The method's
    module is imported by name, so a script that calls this names it in the key of its states. Raises
    `DetectorError` for an unknown method.
    """
    method = discovery.load(methods.PACKAGE, pruning["method"], methods.WHAT, methods.CONTRACT)
    started: tuple[nn.Module, Sequence[torch.Tensor] | Gradual | None] = method.start(model, pruning, seed)
    return started
