"""Search the settings that fine-tune a branch, or the dense control for all, best; alone or with other workers."""

import argparse
import copy
import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from detector.core import dependencies, job, tabular
from detector.core.files import finish_state, sha256, write_json
from detector.experiment import architectures, methods
from detector.imaging import augmentation
from detector.imaging.normalisation import Normalisation
from detector.models import checkpoints, networks
from detector.pruning import start
from detector.training import resume, search, stage
from detector.training.fit import fit
from detector.training.recipe import Recipe, Stream
from detector.training.study import Report


def main(args: argparse.Namespace) -> None:
    settings, pruning = json.loads(args.config), json.loads(args.pruning)
    seen = Normalisation.beside(args.baseline)
    images, plan, train, valid = stage.prepare(
        args.arch, args.manifest, args.packs, args.threads, settings["runtime"], seen
    )
    pruned, kept = start.start(
        networks.load(args.arch, checkpoints.load_weights(args.baseline), images.size), pruning, args.seed
    )
    part = settings["search"]
    space = search.Space(part["space"])
    stage.check_batches(part["space"], pruned, images.size, plan)
    degradations = part["space"].get("augment") or [settings["recipe"]["augment"]]
    # How many trials there are does not change one of them, and workers on unlike machines share one study.
    study = {**settings, "search": {name: value for name, value in part.items() if name != "trials"}}
    key = dependencies.key(
        *(__file__, args.arch, study, pruning, args.seed, images.fingerprint(), sha256(args.baseline)),
        modules=[
            architectures.module(args.arch),
            methods.module(pruning["method"]),
            *augmentation.modules(*degradations),
        ],
    )
    title = f"search {args.branch} seed {args.seed}"

    select = settings["recipe"]["select"]

    def objective(number: int, values: Mapping, report: Report) -> tuple[float, int]:
        """One trial: fine-tune the pruned baseline; the best score counts."""
        recipe = Recipe(
            **{**settings["recipe"], **values},
            patience=search.PATIENCE_OF_TRIALS[part["pruner"]],
            seed=args.seed,
            stream=Stream.SEARCH,
        )
        result = fit(
            *(copy.deepcopy(pruned), train, valid, recipe, plan),
            masks=kept,
            state=resume.ResumeState(args.state / key / f"trial-{number}-{plan.arithmetic}"),
            title=f"{title} trial {number + 1}",
            after_epoch=lambda row: report(row.epoch, row.score(select), valid_accuracy=row.valid_accuracy),
        )
        return result.best.score(select), len(result.history)

    outcome = search.run(
        args.journal,
        space,
        part["trials"],
        args.seed,
        objective,
        title,
        key=key,
        sampler=part["sampler"],
        startup_trials=part["startup_trials"],
        pruner=part["pruner"],
        worker=args.worker or 0,
        machine={"device": plan.device, "precision": plan.precision},
        lock_of=lambda worker: job.lock_of(args.state, worker or None),
    )
    if args.worker:
        return
    rows = [{**settings["recipe"], **row} for row in outcome.trials]  # the rate, where it is not searched
    tabular.write_table(pd.DataFrame(rows, columns=space.columns), args.trials)
    best = outcome.best
    write_json(
        args.best,
        {
            "branch": args.branch,
            **{name: best[name] for name in ("trial", "valid_accuracy")},
            **space.values(best),
            "trials": len(outcome.trials),
            **({} if select == "accuracy" else {"selected_by": select, "score": best["score"]}),
        },
    )
    finish_state(args.state, key)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    stage.add_arguments(parser)
    parser.add_argument("--branch", required=True, help="its name, for the log and best.json")
    parser.add_argument("--pruning", required=True, help="JSON: method, sparsity, ramp")
    parser.add_argument("--baseline", type=Path, required=True, help="the baseline's model.safetensors")
    parser.add_argument("--journal", type=Path, required=True, help="Optuna's journal, made or gone on with")
    parser.add_argument("--worker", type=int, help="number, from 1, of one that only adds trials")
    parser.add_argument("--best", type=Path, help="JSON to write; not by a worker")
    parser.add_argument("--trials", type=Path, help="CSV to write, one row per trial; not by a worker")
    job.run(main, parser)
