"""Search for two goals at once: pruning method and share, beside the knobs that a search of one branch has."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.trial import Trial

from detector.training import search, study

ACCURACY = "valid_accuracy"
WHAT = ("method", "percent")  # of a trial's values, what is pruned


@dataclass(frozen=True)
class Space:
    """Search space: pruning methods by name, lowest and highest percent, and the space of the recipe's knobs."""

    methods: tuple[str, ...]
    percent: tuple[int, int]
    knobs: search.Space

    def suggest(self, trial: Trial) -> dict[str, Any]:
        """Values of one trial by name, as its sampler draws them."""
        return {
            "method": trial.suggest_categorical("method", list(self.methods)),
            "percent": trial.suggest_int("percent", *self.percent),
            **self.knobs.suggest(trial),
        }


def run(
    journal: Path,
    space: Space,
    trials: int,
    seed: int,
    objective: study.Objective,
    title: str = "",
    *,
    key: str,
    goal: str,
    worker: int = 0,
    machine: Mapping[str, str] | None = None,
    lock_of: Callable[[int], Path] | None = None,
) -> list[dict[str, Any]]:
    """Bring the study `key` in `journal` to `trials` finished trials, as `study.run` does, for two goals.

    `objective` returns the validation accuracy, to be as high, and `goal`, by its name, to be as low as can be.
    Returns a row for each trial, columns `columns`. Raises `DetectorError` where the journal is damaged.
    """
    rows = study.run(
        *(journal, space.suggest, trials, seed, objective, title),
        key=key,
        goals={ACCURACY: "maximize", goal: "minimize"},
        sampler=search.TPE,
        worker=worker,
        machine=machine,
        lock_of=lock_of,
    )
    return [{name: row.get(name) for name in columns(rows, goal)} for row in rows]


def columns(rows: list[dict[str, Any]], goal: str) -> list[str]:
    """Columns of a study's trials.csv: what was pruned, the knobs in the order of their space, what it came to."""
    said = ("trial", "state", *WHAT, ACCURACY, goal, "epochs", "seconds", *study.MACHINE, "number", "worker")
    knobs = dict.fromkeys(name for row in rows for name in row if name not in said)
    return ["trial", "state", *WHAT, *knobs, ACCURACY, goal, "epochs", "seconds", *study.MACHINE]
