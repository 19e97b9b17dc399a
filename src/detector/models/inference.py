"""Inference: logits of a network for packed images. All accuracies are computed from these later."""

import numpy as np
import pandas as pd
import torch
from torch import nn

from detector.core import progress
from detector.models import networks
from detector.models.batches import Batches
from detector.models.devices import Plan

PREDICTION_COLUMNS = ("path", "source", "generator", "group", "label", "logit")


@torch.inference_mode()
def logits(model: nn.Module, batches: Batches, plan: Plan, title: str = "") -> np.ndarray:
    """Logits of all images, float32 (n,), in the order of `batches`; above 0 = real.

    Always in fp32, whatever precision training used: exported models are compared with these.
    """
    model = plan.place(model).eval()
    batch, passes, parts = networks.evaluation_batch(model, batches.size, plan), networks.Passes(model), []
    with progress.bar(len(batches), title) as bar:
        for images, labels in batches.evaluate(batch):
            parts.append(passes(images).squeeze(1).float().cpu())
            bar.update(len(labels))
    return torch.cat(parts).numpy()


def predictions(images: pd.DataFrame, values: np.ndarray) -> pd.DataFrame:
    """Table of predictions to save: manifest rows with their logits, columns `PREDICTION_COLUMNS`."""
    return images.assign(logit=values.astype(np.float32))[list(PREDICTION_COLUMNS)].reset_index(drop=True)
