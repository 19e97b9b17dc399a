"""Image-classification networks of timm."""

import timm
from timm.layers import convert_sync_batchnorm
from torch import nn

RANDOM = ("p", "drop_prob", "drop_rate")  # how layers of timm and torch call the share that they drop


def create(name: str, size: int) -> nn.Module:
    """Create a network with one logit for images of `size` pixels, its weights drawn from torch's generator.

    Nothing is dropped at random in training: what a resumed training does would hang on how often it was resumed.
    Raises what the library raises where it cannot be built for this size.
    """
    fixed = (timm.get_pretrained_cfg(name) or timm.models.PretrainedCfg()).fixed_input_size
    network: nn.Module = timm.create_model(name, num_classes=1, **({"img_size": size} if fixed else {}))
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
