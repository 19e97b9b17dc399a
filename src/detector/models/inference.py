"""Inference: logits of a network for packed images. All accuracies are computed from these later."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from detector.core import parquet, progress
from detector.experiment.variants import VALID
from detector.imaging.looks import Looks, mean
from detector.models import networks
from detector.models.batches import Batches
from detector.models.dataset import Images
from detector.models.devices import Plan
from detector.stats.predictions import ONE_LOOK, require_numbers

PREDICTION_COLUMNS = ("path", "source", "generator", "group", "label", "logit")

# What says logits (n,) of batches: it is given them, the n rows of the manifest that they are of, and a title.
Judge = Callable[[Batches, pd.DataFrame, str], np.ndarray]


def logits(model: nn.Module, batches: Batches, plan: Plan, title: str = "") -> np.ndarray:
    """Logits of all images, float32 (n,), in the order of `batches`; above 0 = real. Of several looks the mean.

    Always in fp32, whatever precision training used: exported models are compared with these.
    """
    return mean(outputs(model, batches, plan, title).squeeze(1), batches.looks)


def judge(models: Sequence[nn.Module], plan: Plan) -> Judge:
    """The judge that says the mean logit of several networks, float64 (n,); of one network its own."""

    def said(batches: Batches, rows: pd.DataFrame, title: str) -> np.ndarray:
        total = np.zeros(len(rows))
        for number, model in enumerate(models, 1):
            which = f"{title}, network {number} of {len(models)}" if len(models) > 1 else title
            total += logits(model, batches, plan, which)
        return total / len(models)

    return said


@torch.inference_mode()
def outputs(model: nn.Module, batches: Batches, plan: Plan, title: str = "") -> np.ndarray:
    """What a network makes of all samples, float32 (n, k), in the order of `batches`; k = 1 for logits."""
    model = plan.place(model).eval()
    batch, passes, parts = networks.evaluation_batch(model, batches.size, plan), networks.Passes(model), []
    with progress.bar(len(batches), title) as bar:
        for images, labels in batches.evaluate(batch):
            parts.append(passes(images).float().cpu())
            bar.update(len(labels))
    return torch.cat(parts).numpy()


def predictions(images: pd.DataFrame, values: np.ndarray, **more: np.ndarray) -> pd.DataFrame:
    """Table of predictions to save: manifest rows with their logits, columns `PREDICTION_COLUMNS`.

    `more`: further columns of logits.
    """
    own = {name: column.astype(np.float32) for name, column in {"logit": values, **more}.items()}
    return images.assign(**own)[[*PREDICTION_COLUMNS, *more]].reset_index(drop=True)


def write(
    folder: Path, images: Images, who: str, said: Judge, device: torch.device, looks: Looks | None = None
) -> None:
    """Write the predictions of a variant: valid.parquet and one file for each source's test images.

    `looks`: windows whose mean is the logit, where it is not that of the middle alone, which then has the column
    `ONE_LOOK`; `who`: the variant, for errors.

    Raises `DetectorError` where a logit is no number.
    """
    sets = {VALID: images.part("valid"), **{name: images.part("test", name) for name in images.stores}}
    for name, rows in sets.items():
        values = {column: np.empty(0, np.float32) for column in ("logit", *([ONE_LOOK] if looks else []))}
        if rows.empty:
            logging.warning("%s: no images; its numbers will be empty", name)
        else:
            middle = images.batches(rows, device)
            values["logit"] = said(middle.looking(looks), rows, name)
            if looks:
                values[ONE_LOOK] = said(middle, rows, f"{name}, one look")
        table = predictions(rows, values.pop("logit"), **values)
        for column in ("logit", *values):
            require_numbers(table, f"{who}, {name}", column)
        parquet.write(table, folder / f"{name}.parquet")
        logging.info("%s: %d images", name, len(rows))
