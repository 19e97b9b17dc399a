"""Networks by name, each ending in one logit (above 0: real; below 0: fake): built, loaded, measured."""

import importlib.metadata
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeVar

import torch
from torch import nn

from detector.core import discovery
from detector.core.errors import DetectorError, wants_memory
from detector.experiment import architectures
from detector.models import devices
from detector.models.devices import Plan

EVALUATION_BATCH = 256  # images a pass at most, where nothing is learned
# The memory that each image of a pass takes, in largest outputs of a layer; measured on a CPU with ResNets from 96
# to 448 px. In training all outputs are kept for the way back.
HELD, HELD_IN_TRAINING = 6.6, 36
RESERVED = 1000  # MiB of a job: Python, libraries, weights

log = logging.getLogger(__name__)

SIZE = 224  # pixels a side, where none is given
Measured = TypeVar("Measured")


@dataclass(frozen=True)
class Origin:
    """What a network was built as: its name, and the side in pixels of the images that it was built for."""

    name: str
    size: int


def build(architecture: str, seed: int = 0, size: int = SIZE) -> nn.Module:
    """Build a network with fresh weights drawn from `seed`; maps images (n, 3, h, w) to logits (n, 1), floats.

    What an architecture starts from, after an `@`, makes no difference here (`models.starts`). `size`: of the
    images, pixels a side; the study's ResNets are the same for any, transformers are not. The global random state
    is left as it was. Raises `DetectorError` for an unknown name, and for a network that cannot be built for this
    size.
    """
    if problem := architectures.problem(architecture):
        raise DetectorError(problem)
    architecture = architectures.network(architecture)
    # Not imported at the top: with torchvision comes torch's compiler, as much time again as torch; a command line
    # that is only read, or found to be wrong, need not wait for it.
    made_by = library_of(architecture)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            model = made_by.create(architecture, size)
        except (AssertionError, RuntimeError, TypeError, ValueError, ZeroDivisionError) as error:
            if wants_memory(error):
                raise
            raise DetectorError(f"{architecture} cannot be built for images of {size} px: {error}") from None
    model.origin = Origin(architecture, size)
    return model


def load(architecture: str, weights: Mapping[str, torch.Tensor], size: int = SIZE) -> nn.Module:
    """Build a network with these `weights`, in evaluation mode. Raises `DetectorError` where they do not fit.

    The shapes of the weights say how wide each layer is: a network with channels removed is stored as its smaller
    tensors alone. `size`: as for `build`.
    """
    model = build(architecture, size=size)
    try:
        if _narrow(model, weights):
            model.eval()(example(model))  # layers whose widths do not fit each other fail here
        model.load_state_dict(weights)
    except RuntimeError as error:
        if wants_memory(error):
            raise
        raise DetectorError(f"these weights are not those of a {architecture} with one logit: {error}") from None
    return model.eval()


def described(architecture: str) -> dict[str, str]:
    """What meta.json says of a network: its `library`, `name` and the library's installed `version`."""
    library = architectures.library(architecture)
    name = architectures.network(architecture)
    return {"library": library, "name": name, "version": importlib.metadata.version(library)}


def synchronised(model: nn.Module) -> nn.Module:
    """`model` with batch normalisation over all processes on CUDA; its parameters stay the same objects."""
    origin = getattr(model, "origin", None)
    if origin is None:  # not of `build`: torch's own layers
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)
    synchronised: nn.Module = library_of(origin.name).synchronised(model)
    return synchronised


def head(model: nn.Module) -> tuple[str, ...]:
    """Names of the layers that make a logit of a network's features."""
    origin = getattr(model, "origin", None)
    if origin is None:  # not of `build`: its last linear layer
        return tuple(name for name, module in model.named_modules() if isinstance(module, nn.Linear))[-1:]
    names: tuple[str, ...] = library_of(origin.name).head(model)
    return names


def attentions(model: nn.Module) -> list[nn.Module]:
    """Modules of self-attention that go on working with fewer heads."""
    origin = getattr(model, "origin", None)
    if origin is None:  # not of `build`
        return []
    found: list[nn.Module] = library_of(origin.name).attentions(model)
    return found


def count_heads(attention: nn.Module) -> None:
    """Note in a module of `attentions` how many heads its layers have room for: the width of a head stays."""
    attention.num_heads = attention.proj.in_features // attention.head_dim
    attention.attn_dim = attention.num_heads * attention.head_dim


def example(model: nn.Module) -> torch.Tensor:
    """An image that the network takes, of zeros: float32 (1, 3, h, w); a small one for the study's ResNets."""
    origin = getattr(model, "origin", None)
    size = 32 if origin is None or origin.name in architectures.STUDY else origin.size
    return torch.zeros(1, 3, size, size)


def library_of(architecture: str) -> ModuleType:
    """Import the library of an architecture's network; `experiment.architectures` says what it defines."""
    named = (
        architectures.PACKAGE,
        architectures.library(architecture),
        architectures.WHAT,
        architectures.CONTRACT,
    )
    return discovery.load(*named)


def _narrow(model: nn.Module, weights: Mapping[str, torch.Tensor]) -> bool:
    """Make the tensors of `model` that are larger than those of `weights` as small; whether there were any.

    A layer's own notes of its width go along, and those of attention of its heads. Groups of channels stay as many
    as they are, but where each channel is a group of its own.
    """
    own = model.state_dict()
    smaller = {
        name: tensor.shape for name, tensor in weights.items() if name in own and _is_less(tensor, own[name])
    }
    for name, shape in smaller.items():
        path, _, last = name.rpartition(".")
        layer = model.get_submodule(path)
        old = getattr(layer, last)
        new = torch.empty(shape, dtype=old.dtype)
        setattr(layer, last, nn.Parameter(new) if isinstance(old, nn.Parameter) else new)
        if last != "weight":
            continue
        if isinstance(layer, nn.Conv2d):
            layer.groups = shape[0] if layer.groups == layer.out_channels else layer.groups
            layer.in_channels, layer.out_channels = shape[1] * layer.groups, shape[0]
        elif isinstance(layer, nn.Linear):
            layer.out_features, layer.in_features = shape
        elif isinstance(layer, nn.LayerNorm):
            layer.normalized_shape = tuple(shape)
        elif hasattr(layer, "num_features"):
            layer.num_features = shape[0]
        elif hasattr(layer, "num_channels"):
            layer.num_channels = shape[0]
    for module in attentions(model) if smaller else []:
        count_heads(module)
    return bool(smaller)


def _is_less(tensor: torch.Tensor, than: torch.Tensor) -> bool:
    """Whether a tensor is smaller in its channels, the first two dimensions or, of tokens, the last."""
    if tensor.dim() != than.dim() or tensor.shape == than.shape or not all(tensor.shape):
        return False
    kernel = tensor.shape[2:] == than.shape[2:] or tensor.dim() == 3
    return kernel and all(new <= old for new, old in zip(tensor.shape, than.shape, strict=True))


@dataclass(frozen=True)
class Cost:
    """What a network takes for one image, before anything is removed.

    `parameters`; `macs`: multiply-accumulates of convolutions and linear layers; `values`: what these give.
    """

    parameters: int
    macs: int
    values: int

    @property
    def density(self) -> float:
        """Multiply-accumulates for each value: few where convolutions look at one channel alone."""
        return self.macs / self.values


def weights(architecture: str, size: int) -> int:
    """Number of parameters of a network before anything is removed. Raises `DetectorError` as `build` does."""
    return _by_shapes(architecture, size, parameter_count)


def cost(architecture: str, size: int) -> Cost:
    """Cost of a network for images of `size` pixels. Raises `DetectorError` where it takes no such images."""
    try:
        return _by_shapes(architecture, size, lambda model: Cost(parameter_count(model), *_work(model, size)))
    except DetectorError:
        raise
    except Exception as error:  # of any library, about any network
        said = str(error).strip().split("\n")[0] or type(error).__name__
        raise DetectorError(f"{architecture} takes no images of {size} px: {said}") from None


def training_plan(
    architecture: str, device: str, precision: str, threads: int, image_size: int, **more: Any
) -> Plan:
    """Plan of a training of a network: `devices.plan`, told what the network costs. Raises as that and `cost`."""
    known = cost(architecture, image_size)
    return devices.plan(
        device=device,
        precision=precision,
        threads=threads,
        image_size=image_size,
        weights=known.parameters,
        density=known.density,
        **more,
    )


def _by_shapes(architecture: str, size: int, measure: Callable[[nn.Module], Measured]) -> Measured:
    """Measure a network, by shapes alone where it can be built so: nothing is drawn, and nothing computed."""
    library_of(architectures.network(architecture))  # not below: tensors of its own are no shapes alone
    try:
        with torch.device("meta"):
            return measure(build(architecture, size=size))
    except Exception:  # of any library: some networks look at their weights when they are built
        return measure(build(architecture, size=size))


def prunable(model: nn.Module) -> list[nn.Parameter]:
    """Weights that pruning may change: those of convolution and linear layers, in module order."""
    return list(prunable_layers(model).values())


def prunable_layers(model: nn.Module) -> dict[str, nn.Parameter]:
    """The weights of `prunable` by the name of their layer."""
    return {name: m.weight for name, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}


def parameter_count(model: nn.Module) -> int:
    """Number of all parameters, pruned ones included."""
    return sum(p.numel() for p in model.parameters())


def nonzero_parameters(model: nn.Module) -> int:
    """Number of the parameters that are not zero: all that are left, where channels were removed."""
    return sum(int(torch.count_nonzero(p)) for p in model.parameters())


def channel_count(model: nn.Module) -> int:
    """Number of output channels of all convolutions together."""
    return sum(m.out_channels for m in model.modules() if isinstance(m, nn.Conv2d))


def macs(model: nn.Module, image_size: int) -> int:
    """Multiply-accumulates of one image's forward pass, in convolution and linear layers.

    A weight of zero counts like any other: the runtimes multiply by it all the same.
    """
    return _work(model, image_size)[0]


def _work(model: nn.Module, image_size: int) -> tuple[int, int]:
    """Multiply-accumulates of convolution and linear layers, and values that these give, for one image."""
    total = values = 0

    def count(module: nn.Module, _: tuple, out: torch.Tensor) -> None:
        nonlocal total, values
        total += out.numel() * module.weight[0].numel()
        values += out.numel()

    _pass(model, image_size, [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)], count)
    return total, values


@torch.no_grad()
def _pass(model: nn.Module, image_size: int, layers: Sequence[nn.Module], hook: Callable) -> None:
    """Pass an image of zeros through a network in evaluation mode, with a forward hook on `layers`."""
    hooks = [layer.register_forward_hook(hook) for layer in layers]
    modes, weight = [(module, module.training) for module in model.modules()], next(model.parameters())
    try:
        model.eval()(torch.zeros(1, 3, image_size, image_size, dtype=weight.dtype, device=weight.device))
    finally:
        for module, training in modes:
            module.training = training
        for handle in hooks:
            handle.remove()


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

    def note(module: nn.Module, _: tuple, out: object) -> None:
        tensors = out if isinstance(out, tuple | list) else [out]
        # fp32, also where layers compute in bf16: what is cast is there twice
        outputs.extend(tensor.numel() * 4 for tensor in tensors if isinstance(tensor, torch.Tensor))

    # Not on the device `meta`, which computes nothing: there batch normalisation loads torch's compiler.
    _pass(model, image_size, [module for module in model.modules() if not any(module.children())], note)
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
