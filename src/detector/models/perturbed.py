"""Inference on perturbed images: logits by branch and perturbation, of networks and of systems."""

import logging
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import repeat
from typing import Any

import numpy as np
import pandas as pd

from detector.core import progress
from detector.data import splits
from detector.data.records import file_of
from detector.imaging import perturbations
from detector.imaging.looks import Looks
from detector.imaging.perturbations import CLEAN, Steps
from detector.models.batches import Batches
from detector.models.dataset import Images, sequences
from detector.models.devices import Plan
from detector.models.inference import Judge
from detector.stats.predictions import require_numbers

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
    judges: Mapping[str, Judge],
    images: Batches,
    rows: pd.DataFrame,
    table: Mapping[str, Steps],
    plan: Plan,
    looks: Looks | None = None,
) -> dict[str, dict[str, np.ndarray]]:
    """Logits by judge and perturbation of `table`: float32 (n,), in the order of `rows`.

    `rows`: the manifest's rows that `images` were made of. Each image is perturbed once for all judges. Memory:
    what these hold and one chunk of images, however many there are. Packed images are perturbed as they are,
    before a judge sees their middle, or what `looks` cuts.
    """
    seeds = [perturbations.seed_of(*key) for key in zip(rows["source"], rows["path"], strict=True)]
    found = {name: {change: np.empty(len(rows), np.float32) for change in table} for name in judges}
    total = len(rows) * len(table)
    # Pillow and numpy let go of the interpreter where they work, so threads do share this out.
    with (
        ThreadPoolExecutor(plan.threads) as pool,
        progress.bar(total, "perturbed") as bar,
    ):
        for chunk in _chunks(rows):
            clean, none = images.packed(chunk), np.zeros(len(chunk), int)
            for change, steps in table.items():
                changed = list(pool.map(perturbations.apply, clean, repeat(steps), [seeds[i] for i in chunk]))
                stores, at = [np.stack(changed)], plan.torch_device
                seen = images.size, images.normalisation
                batch = Batches(stores, none, np.arange(len(chunk)), none, at, None, None, *seen).looking(looks)
                for name, judge in judges.items():
                    found[name][change][chunk] = judge(batch, rows.iloc[chunk], "")
                bar.update(len(chunk))
    return found


def _chunks(rows: pd.DataFrame) -> Iterator[np.ndarray]:
    """Positions of all images in parts of `CHUNK` at most; no video is cut, though it has more frames."""
    chunk: list[int] = []
    for frames in sequences(rows):
        if chunk and len(chunk) + len(frames) > CHUNK:
            yield np.array(chunk)
            chunk = []
        chunk += frames.tolist()
    if chunk:
        yield np.array(chunk)


def of_test_images(
    judges: Mapping[str, Judge],
    said: Mapping[str, pd.DataFrame],
    images: Images,
    settings: Mapping[str, Any],
    plan: Plan,
) -> pd.DataFrame:
    """The table of perturbed.parquet: a row for each branch and image, a column for each perturbation.

    `judges`: by branch; `said`: the saved logits of all its test images, for the column `clean`, the first;
    `settings`: `perturbations`, `images` (of each source at most), the `seed` that draws them and `looks`, a
    record or None. Raises `DetectorError` where a logit is no number.
    """
    rows, table = choose(images.part("test"), settings["images"], settings["seed"]), settings["perturbations"]
    if not judges or not table or rows.empty:
        return pd.DataFrame(columns=["branch", *IMAGE_COLUMNS, CLEAN, *table])
    logging.info("%d images, %d perturbations", len(rows), len(table))
    looks = Looks.of(settings["looks"]) if settings["looks"] else None
    found = perturbed_logits(judges, images.batches(rows, plan.torch_device), rows, table, plan, looks)
    names = rows[list(IMAGE_COLUMNS)].reset_index(drop=True)
    parts = []
    for branch, columns in found.items():
        before = said[branch].set_index(["source", "path"])["logit"]
        clean = before.loc[pd.MultiIndex.from_frame(names[["source", "path"]])].to_numpy()
        part = names.assign(**{CLEAN: clean}, **columns).assign(branch=branch)
        for column in table:
            require_numbers(part, f"{branch}, perturbed images", column)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)[["branch", *parts[0].columns.drop("branch")]]
