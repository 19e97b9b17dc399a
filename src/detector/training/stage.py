"""Training stages, what they share: command-line arguments, the images they read, the files they write."""

import argparse
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from detector.core import tabular
from detector.core.errors import DetectorError
from detector.core.files import finish_state, write_json
from detector.data.splits import Choice
from detector.experiment import spaces
from detector.imaging.normalisation import KEY, Normalisation
from detector.models import networks
from detector.models.batches import Batches
from detector.models.checkpoints import save_weights
from detector.models.dataset import Images
from detector.models.devices import Plan
from detector.models.networks import (
    HELD_IN_TRAINING,
    channel_count,
    images_at_once,
    macs,
    parameter_count,
    prunable,
)
from detector.training import distributed
from detector.training.fit import HISTORY_COLUMNS, Epoch, Fit
from detector.training.resume import ResumeState

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that every training script has."""
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


def add_outputs(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name `Outputs`."""
    parser.add_argument("--model", type=Path, required=True, help="safetensors to write")
    parser.add_argument("--meta", type=Path, required=True, help="JSON to write")
    parser.add_argument("--history", type=Path, required=True, help="CSV to write, one row per epoch")


@dataclass(frozen=True)
class Outputs:
    """Files of a trained variant: model.safetensors, meta.json and history.csv."""

    model: Path
    meta: Path
    history: Path


def prepare(
    architecture: str,
    manifest: Path,
    packs: Sequence[Path],
    threads: int,
    runtime: Mapping[str, Any],
    normalisation: Normalisation,
    choose: Choice | None = None,
) -> tuple[Images, Plan, Batches, Batches]:
    """Images, where to compute, training and validation batches of an architecture.

    `packs`: folders of packed images; `threads`: of the CPU; `runtime`: that section of the config;
    `normalisation`: what the network expects; `choose`: which of the training images it sees, None for all.
    Raises `DetectorError` as `Images.open` and `devices.plan` do.
    """
    images = Images.open(manifest, packs, normalisation)
    if choose is not None:
        images = images.trained_on(choose)
    plan = networks.training_plan(architecture, threads=threads, image_size=images.size, **runtime)
    log.info("%s on %d threads (%s)", plan.device, plan.threads, plan.why)
    distributed.join(plan.device)
    train, valid = (images.batches(images.part(split), plan.torch_device) for split in ("train", "valid"))
    log.info("%d training and %d validation images of %d px", len(train), len(valid), images.size)
    return images, plan, train, valid


def check_batches(space: Mapping[str, Any], model: nn.Module, image_size: int, plan: Plan) -> None:
    """Check that a step of each `batch_size` of a search space fits into the memory that a job on a CPU asks for.

    No trial is to end the search. Raises `DetectorError` that names the key and what fits.
    """
    if plan.device != "cpu" or "batch_size" not in space:
        return
    largest = max(spaces.extent(space["batch_size"]))
    fits = images_at_once(model, image_size, plan.memory, largest, HELD_IN_TRAINING)
    if fits < largest:
        raise DetectorError(
            f"search.space.batch_size: found {largest}; a step of so many images of {image_size} px takes more "
            f"than the {plan.memory} MB that the rule asks for; expected no more than about {fits}"
        )


def write_history(path: Path, history: Sequence[Epoch]) -> None:
    """Write history.csv: a row per epoch, columns `HISTORY_COLUMNS`."""
    tabular.write_table(pd.DataFrame([asdict(row) for row in history], columns=HISTORY_COLUMNS), path)


def write_variant(
    outputs: Outputs,
    state: ResumeState,
    model: nn.Module,
    fit: Fit,
    images: Images,
    plan: Plan,
    **facts: object,
) -> None:
    """model.safetensors, meta.json and history.csv of a trained variant, and a note that `state` has served.

    `facts`: what else meta.json says, `arch` and `seed` among it, and the `provenance` of when the stage began.
    The weights are written first: files that describe them never stand alone. Of several processes only the first
    one writes.
    """
    if distributed.team().rank:
        return
    save_weights(outputs.model, fit.weights)
    write_history(outputs.history, fit.history)
    write_json(
        outputs.meta,
        {
            "image_size": images.size,
            "preprocessing": dict(images.preprocessing),
            KEY: images.normalisation.record(),
            "data_fingerprint": images.fingerprint(),
            "epochs": fit.history[-1].epoch,
            "best_epoch": fit.best.epoch,
            "valid_accuracy": fit.best.valid_accuracy,
            "total_parameters": parameter_count(model),
            "channels": channel_count(model),
            "macs": macs(model, images.size),
            "prunable_weights": sum(w.numel() for w in prunable(model)),
            "nonzero_weights": sum(int(torch.count_nonzero(w)) for w in prunable(model)),
            "network": networks.described(str(facts["arch"])),
            "processes": distributed.team().size,
            "labels": {"0": "fake", "1": "real"},
            "logit": "above 0 means real",
            "plan": plan.as_dict(),
            **facts,
        },
    )
    finish_state(state.folder.parent, state.folder.name)
