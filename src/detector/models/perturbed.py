"""Inference on perturbed images: logits by model and perturbation."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import repeat

import numpy as np
import pandas as pd
from torch import nn

from detector.core import progress
from detector.data import splits
from detector.data.records import file_of
from detector.imaging import perturbations
from detector.imaging.looks import Looks
from detector.imaging.perturbations import Steps
from detector.models.batches import Batches
from detector.models.devices import Plan
from detector.models.inference import logits

CHUNK = 256  # images perturbed and held at a time
IMAGE_COLUMNS = ("source", "path", "generator", "group", "label")


def choose(rows: pd.DataFrame, limit: int, seed: int) -> pd.DataFrame:
    """Choose at most `limit` images of each source of a manifest, in its order.

    A video counts as one, with all its frames. Classes and generators keep their shares to within one image
    (`splits.subset`); the draw depends on paths and seed alone.
    """
    kept = pd.Series(False, index=rows.index)
    for _, part in rows.groupby("source"):
        draw = partial(splits.subset, count=limit, seed=seed)
        kept[part.index] = splits.drawn(part, ("label", "generator"), part["path"].map(file_of), draw)
    return rows[kept]


def perturbed_logits(
    models: Mapping[str, nn.Module],
    images: Batches,
    rows: pd.DataFrame,
    table: Mapping[str, Steps],
    plan: Plan,
    looks: Looks | None = None,
) -> dict[str, dict[str, np.ndarray]]:
    """Logits by network and perturbation of `table`: float32 (n,), in the order of `rows`.

    `rows`: the manifest's rows that `images` were made of. Each image is perturbed once for all networks. Memory:
    the networks and one chunk of images, however many there are. Packed images are perturbed as they are, before
    the network sees their middle, or what `looks` cuts.
    """
    seeds = [perturbations.seed_of(*key) for key in zip(rows["source"], rows["path"], strict=True)]
    found = {name: {change: np.empty(len(rows), np.float32) for change in table} for name in models}
    total = len(rows) * len(table)
    # Pillow and numpy let go of the interpreter where they work, so threads do share this out.
    with (
        ThreadPoolExecutor(plan.threads) as pool,
        progress.bar(total, "perturbed") as bar,
    ):
        for start in range(0, len(rows), CHUNK):
            chunk = np.arange(start, min(start + CHUNK, len(rows)))
            clean, none = images.packed(chunk), np.zeros(len(chunk), int)
            for change, steps in table.items():
                changed = list(pool.map(perturbations.apply, clean, repeat(steps), [seeds[i] for i in chunk]))
                stores, at = [np.stack(changed)], plan.torch_device
                seen = images.size, images.normalisation
                batch = Batches(stores, none, chunk - start, none, at, None, None, *seen).looking(looks)
                for name, model in models.items():
                    found[name][change][chunk] = logits(model, batch, plan)
                bar.update(len(chunk))
    return found
