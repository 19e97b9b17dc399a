"""The Optuna study of one branch: which optimizer and learning rate fine-tune a pruned model best."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from detector.errors import DetectorError, Diverged

log = logging.getLogger(__name__)

TRIAL_COLUMNS = ("trial", "state", "optimizer", "learning_rate", "valid_accuracy", "epochs", "seconds")
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True)
class Space:
    """What is searched: optimizers by name, and a log-uniform range of learning rates."""

    optimizers: tuple[str, ...]
    learning_rate: tuple[float, float]


@dataclass
class Outcome:
    """The table of finished trials, and the best of them (the first of equals).

    `best` raises `DetectorError` where every trial diverged.
    """

    trials: list[dict] = field(default_factory=list)

    @property
    def best(self) -> dict:
        scored = [row for row in self.trials if row["valid_accuracy"] is not None]
        if not scored:
            raise DetectorError("every trial of the search diverged; lower search.learning_rate")
        return max(scored, key=lambda row: row["valid_accuracy"])


def run(
    journal: Path,
    space: Space,
    trials: int,
    seed: int,
    objective: Callable[[int, Mapping], tuple[float, int]],
    title: str = "",
) -> Outcome:
    """Bring the study in `journal` to exactly `trials` finished trials, whatever is in it already.

    `objective(number, {"optimizer": …, "learning_rate": …})` returns the validation accuracy reached and the
    epochs trained; where it raises `Diverged`, the trial counts as done, without an accuracy (state PRUNED).
    A trial that a kill left running is marked failed and its number is tried again.

    The sampler is seeded anew for each number, from (seed, number): a study that was killed and went on draws
    the same values as one that was not.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    journal.parent.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(journal))),
        study_name="search",
        direction="maximize",
        load_if_exists=True,
    )
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
    while (number := len(study.get_trials(deepcopy=False, states=FINISHED))) < trials:
        study.sampler = optuna.samplers.TPESampler(seed=1_000_003 * seed + number)
        trial = study.ask()
        values = {
            "optimizer": trial.suggest_categorical("optimizer", list(space.optimizers)),
            "learning_rate": trial.suggest_float("learning_rate", *space.learning_rate, log=True),
        }
        log.info("%s: trial %d/%d  %s", title, number + 1, trials, values)
        started = time.perf_counter()
        try:
            accuracy, epochs = objective(number, values)
        except Diverged as error:
            log.warning("%s", error)
            accuracy, epochs = None, None
        trial.set_user_attr("epochs", epochs)
        trial.set_user_attr("seconds", time.perf_counter() - started)
        study.tell(trial, accuracy, TrialState.COMPLETE if accuracy is not None else TrialState.PRUNED)
    finished = study.get_trials(deepcopy=False, states=FINISHED)[:trials]
    return Outcome(
        [
            {
                "trial": number,
                "state": trial.state.name,
                "optimizer": trial.params["optimizer"],
                "learning_rate": trial.params["learning_rate"],
                "valid_accuracy": trial.value,
                "epochs": trial.user_attrs["epochs"],
                "seconds": trial.user_attrs["seconds"],
            }
            for number, trial in enumerate(finished)
        ]
    )
