"""Grad-CAM: maps of what supports a network's call, and the choice of examples to show."""

import contextlib
import math

import numpy as np
import pandas as pd
import torch
from torch import nn

from detector.core.errors import DetectorError
from detector.models import devices
from detector.models.devices import Plan
from detector.models.networks import HELD_IN_TRAINING, example, images_at_once
from detector.stats import decisions

MAP_COLUMNS = ("branch", "source", "kind", "path", "row", "label", "logit", "map")
SHOWN = 4  # images of a kind and source on a sheet
LEAST_SIDE = 4  # of a map that is worth looking at
RIGHT, WRONG, UNCERTAIN = "right", "wrong", "least certain"


def examples(predictions: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Choose rows of one source's predictions to show, with the column `kind`: right, wrong or least certain.

    Right and wrong ones are drawn at random, half of them real and half fake where there are enough: the most
    certain ones would be a flattering choice. The least certain have the logits nearest to 0, whatever the call.
    """
    label = predictions["label"].to_numpy()
    right = decisions.right(label, predictions["logit"].to_numpy())
    rng = np.random.default_rng(seed)
    parts = []
    for kind, mask in ((RIGHT, right), (WRONG, ~right)):
        drawn = [rng.permutation(np.flatnonzero(mask & (label == value))) for value in (1, 0)]
        half = SHOWN // 2
        reals = drawn[0][: max(half, SHOWN - len(drawn[1]))]
        places = np.concatenate([reals, drawn[1][: SHOWN - len(reals)]])
        parts.append(predictions.iloc[places].assign(kind=kind))
    nearest = np.argsort(np.abs(predictions["logit"].to_numpy()), kind="stable")[:SHOWN]
    return pd.concat([*parts, predictions.iloc[nearest].assign(kind=UNCERTAIN)])


def layer_of(model: nn.Module, size: int) -> nn.Module:
    """Deepest stage whose map has at least `LEAST_SIDE` pixels a side; for a ResNet at 224 px the last one.

    The last stage of a ResNet has 1/32 of the image's side: 2 pixels of 64, which shows nothing. An earlier stage
    sees less of the image at once and locates it better. Raises `DetectorError` where no layer's output is a map.
    """
    if all(hasattr(model, f"layer{number}") for number in range(1, 5)):
        stages = [model.layer1, model.layer2, model.layer3, model.layer4]
        sides = [size // 4, size // 8, size // 16, size // 32]
    else:
        stages, sides = _stages(model)
    large = [stage for stage, side in zip(stages, sides, strict=True) if side >= LEAST_SIDE]
    if not stages:
        raise DetectorError("it has no layer whose output is a map of the image: set gradcam.branches to []")
    return large[-1] if large else stages[0]


def _stages(model: nn.Module) -> tuple[list[nn.Module], list[int]]:
    """The stages that a network of timm names, or else its convolutions, and the sides of their maps.

    Of a transformer's block it is the first norm: from the last block on, only the class token need count.
    """
    named = getattr(model, "feature_info", [])
    modules = [model.get_submodule(one["module"]) for one in getattr(named, "info", named)]
    modules = [getattr(module, "norm1", module) for module in modules]
    modules = modules or [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    sides: dict[nn.Module, int] = {}

    def note(module: nn.Module, _: tuple, out: object) -> None:
        with contextlib.suppress(AttributeError, ValueError):
            sides[module] = _map(out, model).shape[-1]

    hooks = [module.register_forward_hook(note) for module in dict.fromkeys(modules)]
    try:
        with torch.no_grad():
            weight = next(model.parameters())
            model(example(model).to(weight.device))
    finally:
        for hook in hooks:
            hook.remove()
    return list(sides), list(sides.values())


def _map(out: torch.Tensor, model: nn.Module) -> torch.Tensor:
    """A layer's output as a map, (n, channels, h, w). Raises `ValueError` where it is none."""
    if out.dim() == 4:
        return out.movedim(-1, 1) if getattr(model, "output_fmt", "NCHW") == "NHWC" else out
    side = math.isqrt(out.shape[1]) if out.dim() == 3 else 0
    if side < 2:
        raise ValueError(f"{tuple(out.shape)} is no map")
    return out[:, -side * side :].transpose(1, 2).unflatten(2, (side, side))


def _unmap(shown: torch.Tensor, out: torch.Tensor, model: nn.Module) -> torch.Tensor:
    """The map in place of what it was made of in a layer's output."""
    if out.dim() == 4:
        return shown.movedim(1, -1) if getattr(model, "output_fmt", "NCHW") == "NHWC" else shown
    tokens = shown.flatten(2).transpose(1, 2)
    return torch.cat([out[:, : out.shape[1] - tokens.shape[1]], tokens], 1)


def check(model: nn.Module, size: int) -> None:
    """Make one map of noise.

    Raises what it raises for a network of which none can be made, and `DetectorError` for maps of another shape.
    """
    plan = devices.plan("cpu", "fp32", 1, size)
    found = heat_maps(model, torch.rand(1, 3, size, size), np.ones(1), plan)
    if found.ndim != 3:
        raise DetectorError(f"its maps are {found.shape}, expected one for each image")


def heat_maps(model: nn.Module, images: torch.Tensor, logit: np.ndarray, plan: Plan) -> np.ndarray:
    """Grad-CAM (Selvaraju et al. 2017) by Captum: float32 (n, h, w) ≥ 0, evidence for the call that was made.

    `images`: float32 (n, 3, size, size), normalised, on the device; `logit`: float (n,), whose sign is the call. h
    and w are those of `layer_of`.
    """
    from captum.attr import LayerGradCam  # a second of imports

    model = plan.place(model).eval()
    sign = torch.from_numpy(np.where(decisions.real(logit), 1.0, -1.0).astype(np.float32)).to(plan.torch_device)
    size = images.shape[-1]
    layer, tap = layer_of(model, size), nn.Identity()
    # Through the tap goes the layer's output as a map, whatever way the network lays it out.
    hook = layer.register_forward_hook(lambda _, inputs, out: _unmap(tap(_map(out, model)), out, model))
    cam = LayerGradCam(lambda x, sign: model(x).squeeze(1) * sign, tap)
    most = images_at_once(model, size, plan.memory, max(1, len(images)), HELD_IN_TRAINING)
    try:
        parts = [
            cam.attribute(some, additional_forward_args=signs, relu_attributions=True)
            for some, signs in zip(images.split(most), sign.split(most), strict=True)
        ]
    finally:
        hook.remove()
    return torch.cat([part.squeeze(1).detach().float().cpu() for part in parts]).numpy()
