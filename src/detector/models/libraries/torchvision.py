"""ResNets of torchvision, as the study has them, and a smaller one made of the same blocks."""

from torch import nn
from torchvision import models


def create(name: str, size: int) -> nn.Module:
    """Create a network with one logit, its weights drawn from torch's generator; `size` makes no difference."""
    if name == "resnet10":  # one block per stage: torchvision has no name for it
        return models.resnet.ResNet(models.resnet.BasicBlock, [1, 1, 1, 1], num_classes=1)
    network: nn.Module = getattr(models, name)(weights=None, num_classes=1)
    return network


def synchronised(model: nn.Module) -> nn.Module:
    """`model` with batch normalisation over all processes on CUDA; its parameters stay the same objects."""
    return nn.SyncBatchNorm.convert_sync_batchnorm(model)
