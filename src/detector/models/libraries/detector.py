"""Networks of our own that no library has.

They are systems of the study's comparison (docs/study.md says of which), and `small_resnet` for small images.
`resnet18_attention` and `small_cnn_attention` have self-attention as the last layer of their last stage.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from detector.models import heads
from detector.models.attention import SelfAttention
from detector.models.small_cnn import WIDTHS, SmallCnn
from detector.models.small_resnet import SmallResNet

HEAD = "fc"
PACKAGES: dict[str, str] = {}  # that hold weights, by network


def create(name: str, size: int, classes: int = 1) -> nn.Module:
    """Create a network with one logit, its weights drawn from torch's generator; `size` makes no difference."""
    return {
        "small_cnn": SmallCnn,
        "small_cnn_attention": _small_with_attention,
        "resnet18_attention": _resnet_with_attention,
        "resnet18_gram": _resnet_with_gram_blocks,
        "small_resnet": SmallResNet,
    }[name](classes)


def _small_with_attention(classes: int) -> nn.Module:
    network = SmallCnn(classes)
    network.stages[-1].append(SelfAttention(WIDTHS[-1]))
    return network


# torchvision is not imported at the top: the small networks start without it.
def _resnet_with_attention(classes: int) -> nn.Module:
    from torchvision.models import resnet18

    network = resnet18(weights=None, num_classes=classes)
    network.layer4.append(SelfAttention(network.fc.in_features))
    return network


def _resnet_with_gram_blocks(classes: int) -> nn.Module:
    from detector.models.gram import GramResNet18

    return GramResNet18(classes)


def synchronised(model: nn.Module) -> nn.Module:
    """`model` with batch normalisation over all processes on CUDA; its parameters stay the same objects."""
    return nn.SyncBatchNorm.convert_sync_batchnorm(model)


def head(model: nn.Module) -> tuple[str, ...]:
    """Names of the layers that make logits of features."""
    return (HEAD,)


def attentions(model: nn.Module) -> list[nn.Module]:
    """Modules of self-attention that go on working with fewer heads."""
    return [module for module in model.modules() if isinstance(module, SelfAttention)]


def described(name: str) -> dict[str, Any]:
    """Nothing: there are no weights of these networks but those that one trains."""
    return {}


def address(name: str) -> str | None:
    """None: there are no weights of these networks but those that one trains."""
    return None


def converted(name: str, size: int, weights: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
    """`weights` by the names of a network, with whatever head they have, or none; `size` makes no difference.

    Raises torch's `RuntimeError` where one is missing, left over or of another shape.
    """
    return heads.converted(create, name, size, weights, HEAD)
