"""Search the optimizer and learning rate that fine-tune one pruned branch best."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from detector import checkpoints, entry, masks, models, runs, search
from detector.files import replacing, sha256, write_json
from detector.training import SEARCH, Recipe, fit


def main(args: argparse.Namespace) -> None:
    settings, pruning = json.loads(args.config), json.loads(args.pruning)
    images, where, train, valid = runs.prepare(args, settings)
    weights = checkpoints.load_weights(args.baseline)
    kept = masks.make(
        pruning["method"], models.prunable(models.load(args.arch, weights)), pruning["sparsity"], args.seed
    )
    space = settings["search"]
    key = checkpoints.fingerprint(
        *(args.arch, settings, pruning, args.seed, where.as_dict(), images.fingerprint(), sha256(args.baseline))
    )
    state = args.state / key
    title = f"search {args.branch} seed {args.seed}"

    def objective(number: int, values: Mapping) -> tuple[float, int]:
        """One trial: fine-tune the pruned baseline for all epochs; the best validation accuracy counts."""
        recipe = Recipe(
            **values,
            batch_size=space["batch_size"],
            epochs=space["epochs"],
            patience=None,
            flip=settings["flip"],
            seed=args.seed,
            momentum=space["momentum"],
            stream=SEARCH,
        )
        model = models.load(args.arch, weights)
        trial_state = checkpoints.ResumeState(state / f"trial-{number}")
        name = f"{title} trial {number + 1}"
        result = fit(model, train, valid, recipe, where, masks=kept, state=trial_state, title=name)
        return result.best.valid_accuracy, len(result.history)

    outcome = search.run(
        state / "journal.log",
        search.Space(tuple(space["optimizers"]), tuple(space["learning_rate"])),
        space["trials"],
        args.seed,
        objective,
        title,
    )
    with replacing(args.trials) as temporary:
        table = pd.DataFrame(outcome.trials, columns=search.TRIAL_COLUMNS)
        table.to_csv(temporary, index=False, lineterminator="\n")
    best = outcome.best
    write_json(
        args.best,
        {
            "branch": args.branch,
            **{name: best[name] for name in ("trial", "optimizer", "learning_rate", "valid_accuracy")},
            "trials": len(outcome.trials),
        },
    )
    checkpoints.forget(args.state)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    runs.add_arguments(parser)
    parser.add_argument("--branch", required=True, help="its name, for the log and best.json")
    parser.add_argument("--pruning", required=True, help="JSON: method and sparsity")
    parser.add_argument("--baseline", type=Path, required=True, help="the baseline's model.safetensors")
    parser.add_argument("--best", type=Path, required=True, help="JSON to write")
    parser.add_argument("--trials", type=Path, required=True, help="CSV to write, one row a trial")
    entry.run(main, parser)
