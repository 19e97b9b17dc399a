"""Networks by name. Every one ends in ONE logit: above 0 means real (label 1), below 0 fake (label 0)."""

from collections.abc import Mapping

import torch
from torch import nn

from detector import resnet
from detector.errors import DetectorError, wants_memory

ARCHITECTURES = {"resnet18": resnet.resnet18, "resnet34": resnet.resnet34, "resnet50": resnet.resnet50}


def build(architecture: str, seed: int = 0) -> nn.Module:
    """A network with fresh weights drawn from `seed`; forward maps (n, 3, h, w) float to (n, 1) float.

    The global random state is left as it was. Raises `DetectorError` for an unknown name.
    """
    if architecture not in ARCHITECTURES:
        raise DetectorError(f"unknown architecture {architecture!r}; expected one of {', '.join(ARCHITECTURES)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ARCHITECTURES[architecture]()


def load(architecture: str, weights: Mapping[str, torch.Tensor]) -> nn.Module:
    """The network with these `weights`, in evaluation mode. Raises `DetectorError` where they do not fit.

    The shapes of the weights say how wide each layer is: a network with channels removed is stored as nothing
    but its smaller tensors.
    """
    model = build(architecture)
    try:
        if _narrow(model, weights):
            model.eval()(torch.zeros(1, 3, 32, 32))  # layers whose widths do not fit each other fail here
        model.load_state_dict(weights)
    except RuntimeError as error:
        if wants_memory(error):
            raise
        raise DetectorError(f"these weights are not those of a {architecture} with one logit: {error}") from None
    return model.eval()


def _narrow(model: nn.Module, weights: Mapping[str, torch.Tensor]) -> bool:
    """Replace the layers that are wider than their tensor in `weights`; whether there were any."""
    narrow = {
        name: weights[f"{name}.weight"].shape
        for name, module in model.named_modules()
        if f"{name}.weight" in weights and _is_wider(module, weights[f"{name}.weight"].shape)
    }
    for name, shape in narrow.items():
        layer = model.get_submodule(name)
        if isinstance(layer, nn.Conv2d):
            options = {key: getattr(layer, key) for key in ("kernel_size", "stride", "padding", "dilation")}
            smaller = nn.Conv2d(shape[1], shape[0], **options, bias=layer.bias is not None)
        elif isinstance(layer, nn.Linear):
            smaller = nn.Linear(shape[1], shape[0], bias=layer.bias is not None)
        else:
            smaller = nn.BatchNorm2d(shape[0], layer.eps, layer.momentum)
        model.set_submodule(name, smaller)
    return bool(narrow)


def _is_wider(module: nn.Module, shape: torch.Size) -> bool:
    if not isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm2d) or len(shape) != module.weight.dim():
        return False
    own = module.weight.shape
    return (
        own != shape and own[2:] == shape[2:] and all(0 < new <= old for new, old in zip(shape, own, strict=True))
    )


def prunable(model: nn.Module) -> list[nn.Parameter]:
    """The weights that pruning may touch: those of convolution and linear layers, in module order."""
    return [m.weight for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]


def parameter_count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def channel_count(model: nn.Module) -> int:
    """Output channels of all convolutions together."""
    return sum(m.out_channels for m in model.modules() if isinstance(m, nn.Conv2d))


@torch.inference_mode()
def macs(model: nn.Module, image_size: int) -> int:
    """Multiply-accumulates of one image's forward pass, in convolution and linear layers.

    A weight of zero counts like any other: the runtimes multiply by it all the same.
    """
    total = 0

    def count(module: nn.Module, _: tuple, out: torch.Tensor) -> None:
        nonlocal total
        total += out.numel() * module.weight[0].numel()

    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    training, weight = model.training, layers[0].weight
    try:
        model.eval()(torch.zeros(1, 3, image_size, image_size, dtype=weight.dtype, device=weight.device))
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    return total
