"""Method `channels`: whole channels are removed, by `pruning.channels`."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from detector.pruning.channels import remove_channels

PERCENT_OF = "parameters"
SETTINGS = ()
CARD = (
    "{channels} of its channels, and with them {parameters} of its parameters, taken out: "
    "smaller layers, not zeros"
)


def start(model: nn.Module, pruning: Mapping[str, Any], seed: int) -> tuple[nn.Module, None]:
    """Copy of `model` without its least important channels; no mask."""
    return remove_channels(model, pruning["sparsity"]), None
