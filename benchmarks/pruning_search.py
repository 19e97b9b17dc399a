"""Trial pruner: what it saves of a search and what it costs, by replayed learning curves.

Each search draws its trials as `detector.training.search` does; a trial follows the recorded curve of its
optimizer and of the grid's nearest learning rate. The same draws are judged once without a pruner and once with
each.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import optuna
import pandas as pd

from benchmarks import common
from detector.training.study import FINISHED

EPOCHS_TARGET, POINTS = 0.6, 0.1
STARTUP = 1  # trials that are never stopped by the median
# name → how to make it, and after how many epochs without a better accuracy a trial ends by itself
PRUNERS: dict[str, tuple[Callable[[], optuna.pruners.BasePruner], int | None]] = {
    "none": (optuna.pruners.NopPruner, None),
    "median, warm-up 1": (lambda: optuna.pruners.MedianPruner(STARTUP, 1), None),
    "median, warm-up 2": (lambda: optuna.pruners.MedianPruner(STARTUP, 2), None),
    "median, warm-up 3": (lambda: optuna.pruners.MedianPruner(STARTUP, 3), None),
    "median, warm-up 2; patience 4": (lambda: optuna.pruners.MedianPruner(STARTUP, 2), 4),
    "patience 4": (optuna.pruners.NopPruner, 4),
    "halving, from epoch 1, factor 2": (lambda: optuna.pruners.SuccessiveHalvingPruner(1, 2), None),
    "halving, from epoch 1, factor 3": (lambda: optuna.pruners.SuccessiveHalvingPruner(1, 3), None),
    "halving, from epoch 2, factor 2": (lambda: optuna.pruners.SuccessiveHalvingPruner(2, 2), None),
}


def read(path: Path) -> dict[tuple[str, float], list[float]]:
    """Validation accuracy after each epoch, by optimizer and learning rate."""
    table = pd.read_csv(path, comment="#").sort_values("epoch")
    return {key: rows["valid_accuracy"].tolist() for key, rows in table.groupby(["optimizer", "learning_rate"])}


def search(
    curves: dict, pruner: optuna.pruners.BasePruner, patience: int | None, trials: int, seed: int
) -> tuple[float, int]:
    """The winner's own full best accuracy, and the epochs trained.

    A trial's value is the best accuracy over the epochs that it trained. A pruned trial competes with the others:
    its best epoch is as real as theirs. Steps count from 0: a warm-up of 2 lets a trial be stopped after its third
    epoch at the soonest. What is reported is the best accuracy so far, which is less noisy than the last.
    """
    rates = np.array(sorted({rate for _, rate in curves}))
    study = optuna.create_study(direction="maximize", pruner=pruner)
    scores, epochs = [], 0
    for _ in range(trials):
        number = len(study.get_trials(deepcopy=False, states=FINISHED))
        study.sampler = optuna.samplers.TPESampler(seed=1_000_003 * seed + number)
        trial = study.ask()
        optimizer = trial.suggest_categorical("optimizer", ["Adam", "SGD"])
        rate = trial.suggest_float("learning_rate", 1e-6, 1e-4, log=True)
        curve = curves[optimizer, rates[np.abs(np.log(rates / rate)).argmin()]]
        best, state = 0.0, optuna.trial.TrialState.COMPLETE
        for step, value in enumerate(curve):
            best = max(best, value)
            epochs += 1
            trial.report(best, step)
            if patience is not None and step - curve.index(best) >= patience:
                break
            if step + 1 < len(curve) and trial.should_prune():
                state = optuna.trial.TrialState.PRUNED
                break
        complete = state == optuna.trial.TrialState.COMPLETE
        study.tell(trial, best if complete else None, state)
        scores.append((best, max(curve)))
    return max(scores, key=lambda score: score[0])[1], epochs


def main(args: argparse.Namespace) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    optuna.logging.disable_propagation()
    curves = read(args.curves)
    length = len(next(iter(curves.values())))
    full = args.trials * length
    outcome = {
        name: np.array([search(curves, make(), patience, args.trials, seed) for seed in range(args.searches)])
        for name, (make, patience) in PRUNERS.items()
    }
    unpruned = outcome.pop("none")[:, 0]
    rows = []
    for name, values in outcome.items():
        spent, lost = values[:, 1] / full, 100 * (unpruned - values[:, 0])
        close = lost <= POINTS + 1e-9
        met = spent.mean() <= EPOCHS_TARGET and close.all()
        low, high = spent.min(), spent.max()
        rows.append(
            (
                name,
                f"{spent.mean():.0%} ({low:.0%}–{high:.0%})",
                f"{np.mean(np.abs(lost) < 1e-9):.1%}",
                f"{close.mean():.1%}",
                f"{lost.mean():.3f}",
                f"{lost.max():.2f}",
                common.verdict(met),
            )
        )
    best = sorted(max(curve) for curve in curves.values())
    print("## Search with a pruner\n")
    print(
        f"{args.searches} searches of {args.trials} trials by {length} epochs over the {len(curves)} recorded "
        f"curves of `benchmarks/{args.curves.name}` (best accuracies {best[0]:.4f} to {best[-1]:.4f}). Points are "
        "percent of validation images; the loss is in the winner's best accuracy over all its epochs. Target: at "
        f"most {EPOCHS_TARGET:.0%} of the epochs, and always the same winner or one within {POINTS} point.\n"
    )
    header = ("pruner", "epochs spent", "same winner", "within 0.1 point", "mean points lost", "at most", "target")
    print(common.table(header, rows))
    about = args.curves.read_text().splitlines()[0].lstrip("# ")
    print(f"\nHow the curves were recorded (of CIFAKE, where the file is the project's own): {about}.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--curves", type=Path, default=Path(__file__).with_name("curves.csv"))
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--searches", type=int, default=300)
    main(parser.parse_args())
