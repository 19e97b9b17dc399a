"""Hyperparameter search: the study of one branch, over optimizer and learning rate."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import Trial

from detector.core.errors import DetectorError
from detector.training import study

TRIAL_COLUMNS = (
    *("trial", "state", "optimizer", "learning_rate", "valid_accuracy", "epochs", "seconds"),
    *(*study.MACHINE, "score"),
)


@dataclass(frozen=True)
class Space:
    """Search space: optimizers by name, and a log-uniform range of learning rates."""

    optimizers: tuple[str, ...]
    learning_rate: tuple[float, float]

    def suggest(self, trial: Trial) -> dict[str, Any]:
        """Values of one trial by name, as its sampler draws them."""
        return {
            "optimizer": trial.suggest_categorical("optimizer", list(self.optimizers)),
            "learning_rate": trial.suggest_float("learning_rate", *self.learning_rate, log=True),
        }


@dataclass
class Outcome:
    """Result of a search: the table of finished trials."""

    trials: list[dict[str, Any]] = field(default_factory=list)

    @property
    def best(self) -> dict[str, Any]:
        """Row of the trial with the best score (the first of ties).

        Raises `DetectorError` where every trial diverged.
        """
        scored = [row for row in self.trials if row["score"] is not None]
        if not scored:
            raise DetectorError("every trial of the search diverged; lower search.learning_rate")
        return max(scored, key=lambda row: row["score"])


# objective(trial number, values, report) -> (score, epochs); report(epoch, score, valid_accuracy=…)
Objective = Callable[[int, Mapping[str, Any], study.Report], tuple[float, int]]


def run(
    journal: Path,
    space: Space,
    trials: int,
    seed: int,
    objective: Objective,
    title: str = "",
    *,
    key: str = "search",
    pruner: str = "none",
    worker: int = 0,
    machine: Mapping[str, str] | None = None,
    lock_of: Callable[[int], Path] | None = None,
) -> Outcome:
    """Bring the study `key` in `journal` to `trials` finished trials, as `study.run` does, for the best score.

    `objective(number, {"optimizer": …, "learning_rate": …}, report)` returns the score reached and the epochs
    trained, and calls `report(epoch, score, valid_accuracy=…)` after each.

    Raises `DetectorError` where the journal is damaged.
    """

    def scored(number: int, values: Mapping[str, Any], report: study.Report) -> tuple[tuple[float], int]:
        score, epochs = objective(number, values, report)
        return (score,), epochs

    rows = study.run(
        *(journal, space.suggest, trials, seed, scored, title),
        key=key,
        goals={"score": "maximize"},
        sampler=tpe,
        pruner=PRUNERS[pruner],
        worker=worker,
        machine=machine,
        lock_of=lock_of,
    )
    return Outcome(
        [{name: row.get(name) for name in TRIAL_COLUMNS} for row in rows]
    )  # a diverged one has no accuracy


def tpe(seed: int) -> optuna.samplers.BaseSampler:
    """Optuna's default sampler, which begins to learn from earlier trials at its eleventh."""
    return optuna.samplers.TPESampler(seed=seed)


PRUNERS: Mapping[str, optuna.pruners.BasePruner] = {
    "none": optuna.pruners.NopPruner(),
    # Optuna's defaults (5 startup trials) never prune a study of 5.
    "median": optuna.pruners.MedianPruner(n_startup_trials=1, n_warmup_steps=2),
}
# Epochs without a better accuracy after which a trial ends. The median alone leaves too many: on the recorded
# curves it spends 67 % of the epochs, with this 57 % (docs/performance.md).
PATIENCE_OF_TRIALS: Mapping[str, int | None] = {"none": None, "median": 4}
