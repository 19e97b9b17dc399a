"""ResNets of torchvision, as the study has them, and a smaller one made of the same blocks."""

from torch import nn

from detector.models.resnet10 import ResNet10


def create(name: str, size: int) -> nn.Module:
    """Create a network with one logit, its weights drawn from torch's generator; `size` makes no difference."""
    if name == "resnet10":
        return ResNet10()
    # Not imported at the top: the smaller one starts without it.
    from torchvision import models

    network: nn.Module = getattr(models, name)(weights=None, num_classes=1)
    return network


def synchronised(model: nn.Module) -> nn.Module:
    """`model` with batch normalisation over all processes on CUDA; its parameters stay the same objects."""
    return nn.SyncBatchNorm.convert_sync_batchnorm(model)
