"""Layer-adaptive magnitude pruning, which spares small layers (LAMP, <https://arxiv.org/abs/2010.07611>).

Lee et al. 2021: the score of a weight is its square over the sum of the squares of itself and of all that come
after it, in ascending order of magnitude, in its layer. The `sparsity` share of lowest scores over all layers is
dropped, at once. A layer's last weight has a score of one, however small the layer's weights are beside those of
others: no layer is emptied while as many weights are kept as there are layers, unless it was zero.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from detector.models.networks import prunable
from detector.pruning import masks

PERCENT_OF = "weights"
SETTINGS = ()
CARD = "{zeros} of its conv and fc weights, those of lowest layer-adaptive magnitude (LAMP), set to zero"


def start(model: nn.Module, pruning: Mapping[str, Any], seed: int) -> tuple[nn.Module, list[torch.Tensor]]:
    """`model` itself, and masks that drop the `sparsity` share of its weights with the lowest scores."""
    weights = prunable(model)
    sizes = [weight.numel() for weight in weights]
    return model, masks.lowest(weights, pruning["sparsity"], lambda flat: _scores(flat.split(sizes)))


def _scores(layers: Sequence[torch.Tensor]) -> torch.Tensor:
    """Scores, float64 (n,), of the weights of all layers one after the other; each layer float (m,)."""
    found = []
    for layer in layers:
        squares, order = layer.double().square().sort(stable=True)
        rest = squares.flip(0).cumsum(0).flip(0)
        score = torch.empty_like(squares)
        score[order] = torch.where(rest > 0, squares / rest, 0)
        found.append(score)
    return torch.cat(found)
