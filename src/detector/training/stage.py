"""Training stages, what they share: command-line arguments, the images they read, the files they write."""

import argparse
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from detector.core.files import finish_state, replacing, write_json
from detector.models.batches import Batches
from detector.models.checkpoints import save_weights
from detector.models.dataset import Images
from detector.models.devices import Plan, plan
from detector.models.networks import channel_count, macs, parameter_count, prunable
from detector.training import distributed
from detector.training.fit import HISTORY_COLUMNS, Epoch, Fit

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that every training script has; `prepare` and `write_variant` read them."""
    parser.add_argument("--arch", required=True, help="architecture, such as resnet50")
    parser.add_argument(
        "--seed", type=int, required=True, help="of initial weights, order, flips and random masks"
    )
    parser.add_argument("--config", required=True, help="JSON: the stage's settings and runtime")
    parser.add_argument("--manifest", type=Path, required=True, help="manifest.parquet")
    parser.add_argument("--packs", type=Path, nargs="+", required=True, help="folders of packed images")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--gpus", type=int, default=1, help="processes that train together, one a GPU; 0 is 1")
    parser.add_argument("--state", type=Path, required=True, help="folder of resume states")


def prepare(args: argparse.Namespace, settings: Mapping[str, Any]) -> tuple[Images, Plan, Batches, Batches]:
    """Images, device, training and validation batches, by `add_arguments` and the settings, with `runtime`."""
    images = Images.open(args.manifest, args.packs)
    where = plan(threads=args.threads, image_size=images.size, **settings["runtime"])
    log.info("%s on %d threads (%s)", where.device, where.threads, where.why)
    distributed.join(where.device)
    train, valid = (images.batches(images.part(split), where.torch_device) for split in ("train", "valid"))
    log.info("%d training and %d validation images of %d px", len(train), len(valid), images.size)
    return images, where, train, valid


def write_history(path: Path, history: Sequence[Epoch]) -> None:
    """Write history.csv: a row per epoch, columns `HISTORY_COLUMNS`."""
    with replacing(path) as temporary:
        pd.DataFrame([asdict(row) for row in history], columns=HISTORY_COLUMNS).to_csv(
            temporary, index=False, lineterminator="\n"
        )


def write_variant(
    args: argparse.Namespace, key: str, model: nn.Module, fit: Fit, images: Images, where: Plan, **facts: object
) -> None:
    """model.safetensors, meta.json and history.csv of a trained variant, and a note that the state `key` served.

    `args` has model, meta and history beside those of `add_arguments`; `facts`: what else meta.json says, with the
    `provenance` of when the stage began. The weights are written first: files that describe them never stand
    alone. Of several processes only the first one writes.
    """
    if distributed.team().rank:
        return
    save_weights(args.model, fit.weights)
    write_history(args.history, fit.history)
    write_json(
        args.meta,
        {
            "arch": args.arch,
            "seed": args.seed,
            "image_size": images.size,
            "preprocessing": dict(images.preprocessing),
            "data_fingerprint": images.fingerprint(),
            "epochs": len(fit.history),
            "best_epoch": fit.best.epoch,
            "valid_accuracy": fit.best.valid_accuracy,
            "total_parameters": parameter_count(model),
            "channels": channel_count(model),
            "macs": macs(model, images.size),
            "prunable_weights": sum(w.numel() for w in prunable(model)),
            "nonzero_weights": sum(int(torch.count_nonzero(w)) for w in prunable(model)),
            "processes": distributed.team().size,
            "labels": {"0": "fake", "1": "real"},
            "logit": "above 0 means real",
            "plan": where.as_dict(),
            **facts,
        },
    )
    finish_state(args.state, key)
