"""Grad-CAM: maps of what supports a network's call, and the choice of examples to show."""

import numpy as np
import pandas as pd
import torch
from torch import nn

from detector.models.devices import Plan
from detector.models.networks import HELD_IN_TRAINING, images_at_once
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
    sees less of the image at once and locates it better.
    """
    stages = [model.layer1, model.layer2, model.layer3, model.layer4]
    sides = [size // 4, size // 8, size // 16, size // 32]
    large = [stage for stage, side in zip(stages, sides, strict=True) if side >= LEAST_SIDE]
    return large[-1] if large else stages[0]


def heat_maps(model: nn.Module, images: torch.Tensor, logit: np.ndarray, plan: Plan) -> np.ndarray:
    """Grad-CAM (Selvaraju et al. 2017) by Captum: float32 (n, h, w) ≥ 0, evidence for the call that was made.

    `images`: float32 (n, 3, size, size), normalised, on the device; `logit`: float (n,), whose sign is the call. h
    and w are those of `layer_of`.
    """
    from captum.attr import LayerGradCam  # a second of imports

    model = plan.place(model).eval()
    sign = torch.from_numpy(np.where(decisions.real(logit), 1.0, -1.0).astype(np.float32)).to(plan.torch_device)
    cam = LayerGradCam(lambda x, sign: model(x).squeeze(1) * sign, layer_of(model, images.shape[-1]))
    size = images.shape[-1]
    most = images_at_once(model, size, plan.memory, max(1, len(images)), HELD_IN_TRAINING)
    parts = [
        cam.attribute(some, additional_forward_args=signs, relu_attributions=True)
        for some, signs in zip(images.split(most), sign.split(most), strict=True)
    ]
    return torch.cat([part.squeeze(1).detach().float().cpu() for part in parts]).numpy()
