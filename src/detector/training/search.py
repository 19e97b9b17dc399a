"""Hyperparameter search: the study of a branch, or of all, over knobs of the recipe."""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, Trial

from detector.core.errors import DetectorError
from detector.core.files import canonical
from detector.training import study
from detector.training.recipe import Recipe

STARTUP = 10  # Optuna's own number of random trials before TPE learns
SHOWN = ("optimizer", "learning_rate")  # columns of trials.csv whether searched or not
WHOLE = {field.name for field in fields(Recipe) if field.type is int}  # knobs that count something


@dataclass(frozen=True)
class Space:
    """Search space: knobs of a `Recipe` by name, each a list of values or a map of `low`, `high` and `log`.

    Whatever their order here, they are drawn and written in that of `Recipe`: the order is part of what is drawn.
    """

    knobs: Mapping[str, Any]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the knobs, in the order in which they are drawn."""
        return tuple(field.name for field in fields(Recipe) if field.name in self.knobs)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of trials.csv."""
        more = (name for name in self.names if name not in SHOWN)
        return ("trial", "state", *SHOWN, *more, "valid_accuracy", "epochs", "seconds", *study.MACHINE, "score")

    def suggest(self, trial: Trial) -> dict[str, Any]:
        """Values of one trial by name, as its sampler draws them."""
        return {name: self._suggest(trial, name) for name in self.names}

    def _suggest(self, trial: Trial, name: str) -> Any:
        how = self.knobs[name]
        if isinstance(how, Mapping):
            suggest = trial.suggest_int if name in WHOLE else trial.suggest_float
            return suggest(name, how["low"], how["high"], log=how.get("log", False))
        return _listed(how, trial.suggest_categorical(name, _noted(how)))

    def values(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Values of a trial by name, from what its row says of them."""
        return {
            name: row[name] if isinstance(how, Mapping) else _listed(how, row[name])
            for name, how in ((name, self.knobs[name]) for name in self.names)
        }


def _noted(values: Sequence[Any]) -> list[Any]:
    """Values as a journal and a table hold them: lists and maps are JSON."""
    return [canonical(value) if isinstance(value, list | Mapping) else value for value in values]


def _listed(values: Sequence[Any], noted: Any) -> Any:
    """The one of `values` that was noted."""
    return values[_noted(values).index(noted)]


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
            raise DetectorError("every trial of the search diverged; lower search.learning_rate or search.space's")
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
    sampler: str = "tpe",
    startup_trials: int = STARTUP,
    pruner: str = "none",
    worker: int = 0,
    machine: Mapping[str, str] | None = None,
    lock_of: Callable[[int], Path] | None = None,
) -> Outcome:
    """Bring the study `key` in `journal` to `trials` finished trials, as `study.run` does, for the best score.

    `objective(number, values, report)` returns the score reached and the epochs trained, and calls
    `report(epoch, score, valid_accuracy=…)` after each. `sampler`: one of `SAMPLERS`, which draws the first
    `startup_trials` at random.

    Raises `DetectorError` where the journal is damaged.
    """

    def scored(number: int, values: Mapping[str, Any], report: study.Report) -> tuple[tuple[float], int]:
        score, epochs = objective(number, values, report)
        return (score,), epochs

    rows = study.run(
        *(journal, space.suggest, trials, seed, scored, title),
        key=key,
        goals={"score": "maximize"},
        sampler=partial(SAMPLERS[sampler], startup_trials),
        pruner=PRUNERS[pruner],
        worker=worker,
        machine=machine,
        lock_of=lock_of,
    )
    # A trial that diverged has no accuracy; a knob that is not searched is not the study's to tell.
    told = [name for name in space.columns if name not in SHOWN or name in space.names]
    return Outcome([{name: row.get(name) for name in told} for row in rows])


class _CmaEs(CmaEsSampler):
    """CMA-ES, seeded by the number that a trial has here: Optuna's also counts trials that were killed."""

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, Any]
    ) -> dict[str, Any]:
        unnumbered = copy(trial)
        unnumbered.number = 0
        found: dict[str, Any] = super().sample_relative(study, unnumbered, search_space)
        return found


# By name, a sampler of a number of random trials to begin with, and a seed; each is made anew for each trial.
SAMPLERS: Mapping[str, Callable[[int, int], BaseSampler]] = {
    "tpe": lambda first, seed: TPESampler(n_startup_trials=first, seed=seed),
    "gp": lambda first, seed: GPSampler(n_startup_trials=first, seed=seed),
    "random": lambda first, seed: RandomSampler(seed=seed),
    "cmaes": lambda first, seed: _CmaEs(n_startup_trials=first, seed=seed, warn_independent_sampling=False),
}
TPE = partial(SAMPLERS["tpe"], STARTUP)

PRUNERS: Mapping[str, optuna.pruners.BasePruner] = {
    "none": optuna.pruners.NopPruner(),
    # Optuna's defaults (5 startup trials) never prune a study of 5.
    "median": optuna.pruners.MedianPruner(n_startup_trials=1, n_warmup_steps=2),
}
# Epochs without a better accuracy after which a trial ends. The median alone leaves too many: on the recorded
# curves it spends 67 % of the epochs, with this 57 % (docs/performance.md).
PATIENCE_OF_TRIALS: Mapping[str, int | None] = {"none": None, "median": 4}
