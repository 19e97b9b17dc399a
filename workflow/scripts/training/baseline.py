"""Train one network, from scratch or from weights: the baseline of an architecture and seed."""

import argparse
import importlib
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import ModuleType

from torch import nn

from detector.core import dependencies, job, provenance
from detector.core.errors import DetectorError
from detector.core.files import sha256
from detector.data import splits
from detector.experiment import architectures
from detector.experiment.variants import BASELINE
from detector.imaging import augmentation
from detector.imaging.normalisation import Normalisation
from detector.models import networks
from detector.training import distributed, stage
from detector.training.fit import fit
from detector.training.recipe import Recipe, Stream
from detector.training.resume import ResumeState


def main(args: argparse.Namespace) -> None:
    if distributed.launch(args.gpus):
        return
    origin = provenance.record()
    settings = json.loads(args.config)
    started = settings.get("start")
    seen = Normalisation.of(started or {})
    part = settings.get("part")  # of the training images, for one of several networks of a system
    choose = partial(splits.part, **part, seed=args.seed) if part else None
    images, plan, train, valid = stage.prepare(
        args.arch, args.manifest, args.packs, args.threads, settings["runtime"], seen, choose
    )
    model = networks.build(args.arch, args.seed, images.size)
    if started and started.get("whole"):
        model = whole(args.start, args.arch, started, images.size)
    elif started:
        begin(model, args.start, args.arch, started, settings["recipe"]["head"] == "zero")
    recipe = Recipe(**settings["recipe"], seed=args.seed, stream=Stream.BASELINE)
    processes = distributed.team().size
    key = dependencies.key(
        *(__file__, args.arch, settings, args.seed, processes, plan.arithmetic, images.fingerprint()),
        modules=[*architectures.modules(args.arch), *augmentation.modules(recipe.augment)],
    )
    state = ResumeState(args.state / key)
    title = f"baseline {args.arch} seed {args.seed}"
    title += f" part {part['number']} of {part['of']}" if part else ""
    result = fit(model, train, valid, recipe, plan, state=state, title=title)
    outputs = stage.Outputs(args.model, args.meta, args.history)
    facts = {"branch": BASELINE, "sparsity": 0.0, "config": settings, "recipe": asdict(recipe), **origin}
    facts |= {"arch": args.arch, "seed": args.seed, "start": started}
    stage.write_variant(outputs, state, model, result, images, plan, **facts)


def begin(model: nn.Module, file: Path, arch: str, started: Mapping, zero: bool = False) -> None:
    """Put the weights that a network starts from into it; all but its head, which stays new, or becomes zero."""
    starts = _starts(file, started)
    left_out = starts.begin(model, file, arch)
    if zero:
        starts.zero_head(model)
    logging.info("starts from %s, but for %s, which is new; left out: %s", file, networks.head(model), left_out)


def whole(file: Path, arch: str, started: Mapping, size: int) -> nn.Module:
    """The network that a file holds, with its head."""
    found: nn.Module = _starts(file, started).whole(file, arch, size)
    logging.info("starts from %s, with its head", file)
    return found


def _starts(file: Path, started: Mapping) -> ModuleType:
    if sha256(file) != started["sha256"]:
        raise DetectorError(f"{file}: changed since the run began; start snakemake again")
    # By name, so that a training from scratch does not depend on it.
    return importlib.import_module(architectures.STARTS)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    stage.add_arguments(parser)
    parser.add_argument("--start", type=Path, help="file of the weights to start from; none from scratch")
    stage.add_outputs(parser)
    job.run(main, parser)
