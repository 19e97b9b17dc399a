"""Structured pruning: removes whole channels, which leaves a smaller dense network."""

import copy
import logging
import math
import warnings
from collections.abc import Sequence

import torch
import torch_pruning
from torch import nn

from detector.core.errors import DetectorError
from detector.models.networks import attentions, channel_count, count_heads, example, parameter_count

log = logging.getLogger(__name__)

# Kernels work on 8 or 16 channels at a time: 33 cost as much as 40. So many are left in each layer at least.
MULTIPLE = 8
ATTENTION = frozenset({"qkv", "q", "k", "v", "kv", "qk"})  # how networks call the layers before their heads
STEPS = 10  # of the search: shares of channels are told apart to 1 / 2**STEPS


def remove_channels(model: nn.Module, share: float) -> nn.Module:
    """Copy `model` without its least important channels, with about `share` of its parameters removed.

    Channels that depend on each other, such as those that a residual connection adds up, are removed together. A
    group's importance is the L2 norm of its weights in units of its layers' mean, and all groups of the network
    compete (DepGraph, Fang et al. 2023, whose library finds the groups). Layers keep a multiple of 8 channels,
    grouped convolutions as many in each group, and the logit stays. Of attention whole heads are removed.
    The share of *channels* that removes the wanted share of *parameters* is found by bisection.

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
    """Layers that make queries, keys and values: their channels belong to heads, of which none goes in part."""
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
    headed = attentions(smaller)
    of_heads = [_importance(attention) for attention in headed]
    parts_of = {layer: _parts(layer) for layer in smaller.modules()}
    ranked = torch.cat([*scores, *of_heads]).sort().values
    threshold = ranked[int(ratio * len(ranked))]
    for group, score in zip(groups, scores, strict=True):
        parts = math.lcm(*(parts_of.get(dep.target.module, 1) for dep, _ in group))
        multiple = math.lcm(MULTIPLE, parts)
        # The library's own rounding goes down, to nothing if need be, and leaves such a layer whole.
        left = max(1, round(int((score >= threshold).sum()) / multiple)) * multiple
        if left < len(score) and len(score) % parts == 0:
            # of grouped convolutions the same places in each of their groups
            each = len(score) // parts
            least = score.view(parts, each).mean(0).argsort(stable=True)[: (len(score) - left) // parts]
            drop = (least + each * torch.arange(parts)[:, None]).flatten().tolist()
            root = group[0].dep
            removed = graph.get_pruning_group(root.target.module, root.handler, drop)
            if all(_even(graph, dep, places, parts_of.get(dep.target.module, 1)) for dep, places in removed):
                removed.prune()
    _remove_heads(headed, of_heads, threshold)
    return smaller.requires_grad_(True)


def _parts(layer: nn.Module) -> int:
    """Groups of channels of which a layer has to keep as many in each; 1 where each channel is one of its own."""
    if isinstance(layer, nn.GroupNorm):
        return int(layer.num_groups)
    alone = not isinstance(layer, nn.Conv2d) or layer.groups == layer.out_channels
    return 1 if alone else int(layer.groups)


def _even(
    graph: torch_pruning.DependencyGraph, dep: torch_pruning.Dependency, places: Sequence[int], parts: int
) -> bool:
    """Whether these channels are at the same places in each of a layer's `parts`, as its weights are stored."""
    if parts == 1:
        return True
    of = graph.get_out_channels if graph.is_out_channel_pruning_fn(dep.handler) else graph.get_in_channels
    removed = torch.zeros(of(dep.target.module)).index_fill(0, torch.tensor(places), 1).view(parts, -1)
    return bool((removed == removed[0]).all())


def _importance(attention: nn.Module) -> torch.Tensor:
    """Importance of each channel of all heads, as of other channels: of its query, key, value and projection."""
    made = attention.qkv.weight.detach().square().sum(1).view(3, -1)
    found = (made.sum(0) + attention.proj.weight.detach().square().sum(0)) / 4
    return found / found.mean()


def _remove_heads(modules: Sequence[nn.Module], scores: Sequence[torch.Tensor], threshold: torch.Tensor) -> None:
    """Remove heads, the least important ones, as many as channels of heads are below the threshold; one stays."""
    if not modules:
        return
    of_heads = [
        score.view(attention.num_heads, -1).mean(1) for attention, score in zip(modules, scores, strict=True)
    ]
    share = float((torch.cat([*scores]) < threshold).float().mean())
    goes = sorted(
        (float(heads[head]), at, head)
        for at, heads in enumerate(of_heads)
        for head in heads.argsort(descending=True, stable=True)[1:].tolist()
    )[: round(share * sum(map(len, of_heads)))]
    for at, attention in enumerate(modules):
        gone = {head for _, of, head in goes if of == at}
        heads = torch.tensor([head for head in range(attention.num_heads) if head not in gone])
        kept = (heads[:, None] * attention.head_dim + torch.arange(attention.head_dim)).flatten()
        rows = (kept + attention.attn_dim * torch.arange(3)[:, None]).flatten()
        qkv, proj = attention.qkv, attention.proj
        qkv.weight = nn.Parameter(qkv.weight.detach()[rows])
        if qkv.bias is not None:
            qkv.bias = nn.Parameter(qkv.bias.detach()[rows])
        proj.weight = nn.Parameter(proj.weight.detach()[:, kept])
        qkv.out_features, proj.in_features = len(rows), len(kept)
        count_heads(attention)
