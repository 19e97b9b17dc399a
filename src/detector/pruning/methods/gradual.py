"""Global magnitude pruning in steps, with training between them."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from detector.pruning import masks

PERCENT_OF = "weights"
SETTINGS = ("ramp",)
CARD = "{zeros} of its conv and fc weights, those of smallest magnitude, set to zero in steps"


def start(model: nn.Module, pruning: Mapping[str, Any], seed: int) -> tuple[nn.Module, masks.Gradual]:
    """`model` itself, and the schedule by which its masks grow to `sparsity` in the first `ramp` epochs."""
    return model, masks.Gradual(pruning["sparsity"], pruning["ramp"])
