"""What networks say of perturbed images, and where they look. Run once; tables and figures count what is saved."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat

import numpy as np
import pandas as pd
import torch
from torch import nn

from detector import bars, calls, perturbations, splits
from detector.batches import Batches
from detector.devices import Plan
from detector.inference import logits
from detector.models import HELD_IN_TRAINING, images_at_once
from detector.perturbations import Steps

CHUNK = 256  # images perturbed and held at a time
IMAGE_COLUMNS = ("source", "path", "generator", "group", "label")
MAP_COLUMNS = ("branch", "source", "kind", "path", "row", "label", "logit", "map")
SHOWN = 4  # images of a kind and source on a sheet
LEAST_SIDE = 4  # of a map that is worth looking at
RIGHT, WRONG, UNCERTAIN = "right", "wrong", "least certain"


def choose(rows: pd.DataFrame, most: int, seed: int) -> pd.DataFrame:
    """At most `most` rows of each source of a manifest, in its order.

    Classes and generators keep their shares to within one image (`splits.subset`); the draw depends on paths and
    seed alone.
    """
    kept = pd.Series(False, index=rows.index)
    for _, part in rows.groupby("source"):
        strata = list(zip(part["label"].tolist(), part["generator"], strict=True))
        kept[part.index] = part["path"].isin(splits.subset(strata, list(part["path"]), most, seed))
    return rows[kept]


def perturbed_logits(
    models: Mapping[str, nn.Module],
    images: Batches,
    rows: pd.DataFrame,
    table: Mapping[str, Steps],
    plan: Plan,
) -> dict[str, dict[str, np.ndarray]]:
    """By model and perturbation of `table` float32 (n,), one logit an image, in the order of `rows`.

    `rows`: the manifest's rows that `images` were made of. Each image is perturbed once for all models. Memory:
    the models and a chunk of images, however many there are.
    """
    seeds = [perturbations.seed_of(*key) for key in zip(rows["source"], rows["path"], strict=True)]
    found = {name: {change: np.empty(len(rows), np.float32) for change in table} for name in models}
    total = len(rows) * len(table)
    # Pillow and numpy let go of the interpreter where they work, so threads do share this out.
    with (
        ThreadPoolExecutor(plan.threads) as pool,
        bars.bar(total, "perturbed") as bar,
    ):
        for start in range(0, len(rows), CHUNK):
            chunk = np.arange(start, min(start + CHUNK, len(rows)))
            clean, none = images.gather(chunk), np.zeros(len(chunk), int)
            for change, steps in table.items():
                changed = list(pool.map(perturbations.apply, clean, repeat(steps), [seeds[i] for i in chunk]))
                batch = Batches([np.stack(changed)], none, chunk - start, none, plan.torch_device)
                for name, model in models.items():
                    found[name][change][chunk] = logits(model, batch, plan)
                bar.update(len(chunk))
    return found


def examples(predictions: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Rows of one source's predictions to look at, with the column `kind`: right, wrong and least certain ones.

    Right and wrong ones are drawn at random, of real and fake images half each where there are as many: the most
    certain ones would be the prettiest. The least certain have the logits nearest to 0, whatever the call.
    """
    label = predictions["label"].to_numpy()
    right = calls.right(label, predictions["logit"].to_numpy())
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
    """The deepest stage whose map has at least `LEAST_SIDE` pixels a side; of a ResNet at 224 px the last.

    The last stage of a ResNet has 1/32 of the image's side: of 64 pixels that leaves 2, which shows nothing. An
    earlier stage sees less of the image at once and shows more of where.
    """
    stages = [model.layer1, model.layer2, model.layer3, model.layer4]
    sides = [size // 4, size // 8, size // 16, size // 32]
    large = [stage for stage, side in zip(stages, sides, strict=True) if side >= LEAST_SIDE]
    return large[-1] if large else stages[0]


def heat_maps(model: nn.Module, images: torch.Tensor, logit: np.ndarray, plan: Plan) -> np.ndarray:
    """Grad-CAM (Selvaraju et al. 2017): float32 (n, h, w) ≥ 0, what speaks for the call that was made.

    `images`: normalised, on the device; `logit`: float (n,), whose sign is the call. h and w are those of
    `layer_of`. Captum's, with the gradient of the logit towards the call.
    """
    from captum.attr import LayerGradCam  # a second of imports

    model = plan.place(model).eval()
    sign = torch.from_numpy(np.where(calls.real(logit), 1.0, -1.0).astype(np.float32)).to(plan.torch_device)
    cam = LayerGradCam(lambda x, sign: model(x).squeeze(1) * sign, layer_of(model, images.shape[-1]))
    size = images.shape[-1]
    most = images_at_once(model, size, plan.memory, max(1, len(images)), HELD_IN_TRAINING)
    parts = [
        cam.attribute(some, additional_forward_args=signs, relu_attributions=True)
        for some, signs in zip(images.split(most), sign.split(most), strict=True)
    ]
    return torch.cat([part.squeeze(1).detach().float().cpu() for part in parts]).numpy()
