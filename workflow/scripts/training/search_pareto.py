"""Search pruning method, share and recipe for two goals at once, alone or with other workers."""

import argparse
import copy
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
from torch import nn

from detector.core import dependencies, job, tabular
from detector.core.errors import DetectorError
from detector.core.files import finish_state, sha256
from detector.experiment import architectures, methods
from detector.imaging import augmentation
from detector.imaging.normalisation import Normalisation
from detector.models import checkpoints, latency, networks, sparse
from detector.models.devices import Plan
from detector.pruning import start
from detector.training import pareto, resume, search, stage
from detector.training.fit import fit
from detector.training.recipe import Recipe, Stream


def main(args: argparse.Namespace) -> None:
    settings = json.loads(args.config)
    space = settings["pareto"]
    if space["goal"] is None:
        raise DetectorError("search.goals: found null, expected two, such as [accuracy, parameters]")
    seen = Normalisation.beside(args.baseline)
    images, plan, train, valid = stage.prepare(
        args.arch, args.manifest, args.packs, args.threads, settings["runtime"], seen
    )
    baseline = networks.load(args.arch, checkpoints.load_weights(args.baseline), images.size)
    degradations = space["space"].get("augment") or [settings["recipe"]["augment"]]
    # How many trials there are does not change one of them, and workers on unlike machines share one study.
    study = {**settings, "pareto": {name: value for name, value in space.items() if name != "trials"}}
    key = dependencies.key(
        *(__file__, args.arch, study, args.seed, images.fingerprint(), sha256(args.baseline)),
        modules=[
            architectures.module(args.arch),
            *(methods.module(method) for method in space["methods"]),
            *augmentation.modules(*degradations),
        ],
    )
    title = f"search for {space['goal']} seed {args.seed}"

    def pruned(method: str, percent: int) -> tuple:
        """The network that a trial starts from, and what stays zero."""
        pruning = {"method": method, "sparsity": percent / 100, **space["methods"][method]}
        return start.start(copy.deepcopy(baseline), pruning, args.seed)

    # Before hours of trials: not every batch fits, and not every network can lose so much.
    stage.check_batches(space["space"], baseline, images.size, plan)
    for method in space["methods"]:
        try:
            pruned(method, space["percent"][1])
        except DetectorError as error:
            raise DetectorError(f"{error}; lower the highest share in search.pareto.sparsity") from None

    def objective(number: int, values: Mapping, report: Callable[[int, float], None]) -> tuple:
        """One trial: prune the baseline and fine-tune it; its best validation accuracy and its cost count."""
        model, kept = pruned(values["method"], values["percent"])
        recipe = Recipe(
            **{**settings["recipe"], **{name: v for name, v in values.items() if name not in pareto.WHAT}},
            patience=None,
            seed=args.seed,
            stream=Stream.SEARCH,
        )
        result = fit(
            *(model, train, valid, recipe, plan),
            masks=kept,
            state=resume.ResumeState(args.state / key / f"trial-{number}-{plan.arithmetic}"),
            title=f"{title} trial {number + 1}",
            after_epoch=lambda row: report(row.epoch, row.valid_accuracy),
        )
        found = cost(space["goal"], model, baseline, images.size, settings["latency"], plan)
        return (result.best.valid_accuracy, found), len(result.history)

    rows = pareto.run(
        args.journal,
        pareto.Space(
            tuple(space["methods"]),
            tuple(space["percent"]),
            search.Space(space["space"]),
        ),
        space["trials"],
        args.seed,
        objective,
        title,
        key=key,
        goal=space["goal"],
        worker=args.worker or 0,
        machine={"device": plan.device, "precision": plan.precision},
        lock_of=lambda worker: job.lock_of(args.state, worker or None),
    )
    if args.worker:
        return
    tabular.write_table(pd.DataFrame(rows), args.trials)
    finish_state(args.state, key)


def cost(goal: str, model: nn.Module, baseline: nn.Module, size: int, timing: Mapping | None, plan: Plan) -> float:
    """What a network costs: parameters that are not zero, bytes as a sparse file, or time in baselines.

    `size`: of an image, in pixels; `timing`: the section latency of the config.
    """
    if goal == "parameters":
        return networks.nonzero_parameters(model)
    if goal == "bytes":
        return sparse.size(model.state_dict(), "fp16")
    models = {"baseline": copy.deepcopy(baseline), "trial": copy.deepcopy(model)}
    times = latency.measure(models, size, **timing, device=plan.torch_device, threads=plan.threads)
    baseline_ms, trial_ms = (row["latency_ms_median"] for row in times)
    return trial_ms / baseline_ms


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    stage.add_arguments(parser)
    parser.add_argument("--baseline", type=Path, required=True, help="the baseline's model.safetensors")
    parser.add_argument("--journal", type=Path, required=True, help="Optuna's journal, made or gone on with")
    parser.add_argument("--worker", type=int, help="number, from 1, of one that only adds trials")
    parser.add_argument("--trials", type=Path, help="CSV to write, one row per trial; not by a worker")
    job.run(main, parser)
