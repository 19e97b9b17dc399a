"""Structured pruning: removes whole channels, which leaves a smaller dense network."""

import copy
import logging
import warnings

import torch
import torch_pruning
from torch import nn

from detector.core.errors import DetectorError
from detector.models.networks import channel_count, example, parameter_count

log = logging.getLogger(__name__)

# Kernels work on 8 or 16 channels at a time: 33 cost as much as 40. So many are left in each layer at least.
MULTIPLE = 8
ATTENTION = frozenset({"qkv", "q", "k", "v", "kv", "qk"})  # how networks call the layers before their heads
STEPS = 10  # of the search: shares of channels are told apart to 1 / 2**STEPS


def remove_channels(model: nn.Module, share: float) -> nn.Module:
    """Copy `model` without its least important channels, with about `share` of its parameters removed.

    Channels that depend on each other, such as those that a residual connection adds up, are removed together. A
    group's importance is the L2 norm of its weights in units of its layers' mean, and all groups of the network
    compete (DepGraph, Fang et al. 2023, whose library finds the groups). Layers keep a multiple of 8 channels, and
    the logit stays. The share of *channels* that removes the wanted share of *parameters* is found by bisection.

    Raises `DetectorError` where `share` is not in [0, 1), or so many cannot be removed.
    """
    if not 0 <= share < 1:
        raise DetectorError(f"channels: found {share}, expected a share of parameters of at least 0 and below 1")
    if share == 0:
        return copy.deepcopy(model)
    whole = parameter_count(model)
    tried: dict[int, tuple[float, nn.Module]] = {}

    def removed(step: int) -> float:
        smaller = _without(model, step / 2**STEPS)
        tried[step] = (1 - parameter_count(smaller) / whole, smaller)
        return tried[step][0]

    low, high = 0, 2**STEPS - 1
    if removed(high) < share:
        raise DetectorError(f"channels: at most {tried[high][0]:.1%} of the parameters can go, not {share:.0%}")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if removed(middle) < share else (low, middle)
    reached, best = min(tried.values(), key=lambda pair: abs(pair[0] - share))
    log.info(
        "%.1f %% of the parameters removed, %.1f %% of the channels",
        *(100 * reached, 100 * (1 - channel_count(best) / channel_count(model))),
    )
    return best


def smallest(model: nn.Module) -> nn.Module:
    """Copy `model` without as many of its channels as `remove_channels` can remove."""
    return _without(model, 1 - 2**-STEPS)


def _of_attention(model: nn.Module) -> list[nn.Module]:
    """Layers that make queries, keys and values: their channels belong to heads, which stay as they are."""
    return [module for name, module in model.named_modules() if name.rpartition(".")[2] in ATTENTION]


class _Closed(torch_pruning.BasePruningFunc):
    """Removal of channels around a module that says itself what it takes (`inputs`), and keeps what it gives."""

    def prune_in_channels(self, layer: nn.Module, idxs: list[int]) -> nn.Module:
        torch_pruning.prune_conv_in_channels(layer.inputs(), idxs)
        return layer

    def prune_out_channels(self, layer: nn.Module, idxs: list[int]) -> nn.Module:
        return layer

    def get_in_channels(self, layer: nn.Module) -> int:
        return int(layer.inputs().in_channels)

    def get_out_channels(self, layer: nn.Module) -> int:
        return int(layer.outputs)


def _closed(model: nn.Module) -> dict[type[nn.Module], _Closed]:
    """Modules whose inside no channels are taken from, such as products of channels with each other, by type."""
    return {type(module): _Closed() for module in model.modules() if hasattr(module, "inputs")}


def _within_closed(model: nn.Module) -> list[nn.Module]:
    closed = tuple(_closed(model))
    return [inner for module in model.modules() if isinstance(module, closed) for inner in module.modules()]


def _without(model: nn.Module, ratio: float) -> nn.Module:
    """A copy without about that share of its channels."""
    smaller = copy.deepcopy(model).cpu().eval()
    logit = [module for module in smaller.modules() if isinstance(module, nn.Linear | nn.Conv2d)][-1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of parameters outside layers, whose last dimension is the channels here
        graph = torch_pruning.DependencyGraph().build_dependency(
            smaller, example(smaller), customized_pruners=_closed(smaller)
        )
    kept = [logit, *_of_attention(smaller), *_within_closed(smaller)]
    groups = list(graph.get_all_groups(ignored_layers=kept, root_module_types=[nn.Conv2d, nn.Linear]))
    importance = torch_pruning.importance.GroupMagnitudeImportance(p=2)
    scores = [importance(group) for group in groups]
    ranked = torch.cat(scores).sort().values
    threshold = ranked[int(ratio * len(ranked))]
    for group, score in zip(groups, scores, strict=True):
        # The library's own rounding goes down, to nothing if need be, and leaves such a layer whole.
        left = max(1, round(int((score >= threshold).sum()) / MULTIPLE)) * MULTIPLE
        if left < len(score):
            drop = score.argsort(stable=True)[: len(score) - left].tolist()
            root = group[0].dep
            graph.get_pruning_group(root.target.module, root.handler, drop).prune()
    return smaller.requires_grad_(True)
