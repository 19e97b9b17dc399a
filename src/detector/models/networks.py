"""Network registry: architectures by name, each ending in one logit (above 0: real; below 0: fake)."""

import copy
import logging
from collections.abc import Mapping

import torch
from torch import nn

from detector.core.errors import DetectorError, wants_memory
from detector.models.devices import Plan

EVALUATION_BATCH = 256  # images a pass at most, where nothing is learned
# The memory that each image of a pass takes, in largest outputs of a layer; measured on a CPU with ResNets from 96
# to 448 px. In training all outputs are kept for the way back.
HELD, HELD_IN_TRAINING = 6.6, 36
RESERVED = 1000  # MiB of a job: Python, libraries, weights

log = logging.getLogger(__name__)

ARCHITECTURES = ("resnet10", "resnet18", "resnet34", "resnet50")


def build(architecture: str, seed: int = 0) -> nn.Module:
    """Build a network with fresh weights drawn from `seed`; maps images (n, 3, h, w) to logits (n, 1), floats.

    The global random state is left as it was. Raises `DetectorError` for an unknown name.
    """
    if architecture not in ARCHITECTURES:
        raise DetectorError(f"unknown architecture {architecture!r}; expected one of {', '.join(ARCHITECTURES)}")
    # Not at the top: with torchvision comes torch's compiler, as much time again as torch; a command line that is
    # only read, or found to be wrong, need not wait for it.
    from torchvision import models

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if architecture == "resnet10":  # one block per stage: a small one that torchvision has no name for
            return models.resnet.ResNet(models.resnet.BasicBlock, [1, 1, 1, 1], num_classes=1)
        return getattr(models, architecture)(weights=None, num_classes=1)


def load(architecture: str, weights: Mapping[str, torch.Tensor]) -> nn.Module:
    """Build a network with these `weights`, in evaluation mode. Raises `DetectorError` where they do not fit.

    The shapes of the weights say how wide each layer is: a network with channels removed is stored as its smaller
    tensors alone.
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
    """Weights that pruning may change: those of convolution and linear layers, in module order."""
    return [m.weight for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]


def parameter_count(model: nn.Module) -> int:
    """Number of all parameters, pruned ones included."""
    return sum(p.numel() for p in model.parameters())


def nonzero_parameters(model: nn.Module) -> int:
    """Number of the parameters that are not zero: all that are left, where channels were removed."""
    return sum(int(torch.count_nonzero(p)) for p in model.parameters())


def channel_count(model: nn.Module) -> int:
    """Number of output channels of all convolutions together."""
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


def images_at_once(
    model: nn.Module, image_size: int, memory: int, limit: int = EVALUATION_BATCH, largest: float = HELD
) -> int:
    """Images per pass that fit into a job's `memory` in MiB: `limit`, halved until they fit.

    By network, image size and what the rule asks for, never by the memory that is free: another number gives other
    last digits. `largest`: how many times the largest output of a layer one image takes.
    """
    room = (memory - RESERVED) * 2**20 / held(model, image_size, largest)
    while limit > max(1, room):
        limit //= 2
    return limit


def held(model: nn.Module, image_size: int, largest: float = HELD) -> float:
    """Bytes that a pass takes per image, without weights and libraries."""
    outputs = [0]

    def note(module: nn.Module, _: tuple, out: torch.Tensor) -> None:
        outputs.append(out.numel() * 4)  # also where layers compute in bf16: what is cast is there twice

    # A copy of sizes alone, which takes no memory and computes nothing.
    tensors = (*model.parameters(), *model.buffers())
    shapes = copy.deepcopy(model, {id(tensor): tensor.detach().to("meta") for tensor in tensors}).eval()
    for module in shapes.modules():
        if not any(module.children()):
            module.register_forward_hook(note)
    with torch.no_grad():
        shapes(torch.empty(1, 3, image_size, image_size, device="meta"))
    return largest * max(outputs)


def evaluation_batch(model: nn.Module, image_size: int, plan: Plan, limit: int = EVALUATION_BATCH) -> int:
    """Images per pass where nothing is trained: `runtime.evaluation_batch` or, if unset, `images_at_once`."""
    return plan.evaluation_batch or images_at_once(model, image_size, plan.memory, limit)


class Passes:
    """Forward passes of a network; where CUDA runs out of memory, batches are divided from then on."""

    def __init__(self, model: nn.Module):
        self._model = model
        self._most: int | None = None

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of all images. Raises torch's error where there is no memory for one of them."""
        while True:
            part = min(self._most or len(images), len(images))
            try:
                return torch.cat([self._model(some) for some in images.split(part)])
            except torch.OutOfMemoryError:
                if part == 1:
                    raise
            # not above: the error holds on to what the pass had taken
            self._most = part // 2
            torch.cuda.empty_cache()
            log.warning("CUDA has no memory for %d images a pass; going on with %d", part, self._most)
