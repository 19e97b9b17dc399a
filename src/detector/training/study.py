"""Study: the trials of an Optuna study, each by its number, in a journal that any number of workers share."""

import json
import logging
import os
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import optuna
from optuna.pruners import BasePruner, NopPruner
from optuna.samplers import BaseSampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from detector.core import locks
from detector.core.errors import DetectorError, DivergedError

log = logging.getLogger(__name__)

MACHINE = ("device", "precision")  # what each trial was computed on and in
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
WAIT = 1.0  # seconds between two looks at what other workers do
PATIENCE = 60.0  # seconds to wait for the journal; it is held for milliseconds


class PrunedError(Exception):
    """Trial ended early by the pruner: its learning curve lies below those before it."""


Report = Callable[..., None]  # report(epoch, score, **noted)
# objective(trial number, values, report) -> (what each goal came to, epochs)
Objective = Callable[[int, Mapping[str, Any], Report], tuple[Sequence[float], int]]


def run(
    journal: Path,
    suggest: Callable[[Trial], dict[str, Any]],
    trials: int,
    seed: int,
    objective: Objective,
    title: str = "",
    *,
    key: str,
    goals: Mapping[str, str],
    sampler: Callable[[int], BaseSampler],
    pruner: BasePruner | None = None,
    worker: int = 0,
    machine: Mapping[str, str] | None = None,
    lock_of: Callable[[int], Path] | None = None,
) -> list[dict[str, Any]]:
    """Bring the study `key` in `journal` to `trials` finished trials, whatever is in it already.

    `suggest(trial)` gives the values of a trial by name. `objective(number, values, report)` returns what each of
    the `goals` (`maximize` or `minimize` by name) came to, in their order, and the epochs trained. With one goal,
    it calls `report(epoch, score, **noted)` after each epoch, which raises `PrunedError` where `pruner` ends the
    trial; the best score so far then counts. What is `noted` with the best score is recorded with the trial. With
    several goals, Optuna ends none early. Where it raises `DivergedError`, the trial counts as finished, without a
    score and notes.

    Each number is one trial. A worker takes the first number that is neither finished nor in progress at another
    living worker; `lock_of(worker)` is the lock that each holds while it lives (`locks`). Trials of a killed
    worker are taken over. Worker 0 returns when all trials are finished, others when nothing is left to take.

    `sampler` is called anew for each number, with a seed made of (seed, number): a resumed study draws the same
    values as an uninterrupted one. While a sampler draws without looking at results (TPE its first ten), the
    values do not depend on the number of workers either.

    `machine` describes this worker's hardware (`MACHINE`) and is recorded with each of its trials. Workers may
    differ; the trials stay one study, and a warning says that they were not all computed alike.

    Returns for each finished trial its number as `trial`, `state` (COMPLETE, PRUNED or DIVERGED), values, goals,
    notes, `epochs`, `seconds` and machine. Raises `DetectorError` where the journal is damaged.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    journal.parent.mkdir(parents=True, exist_ok=True)
    claim = journal.with_name(journal.name + ".claim")
    with locks.held(claim, PATIENCE):
        study = optuna.create_study(
            storage=JournalStorage(_CheckedJournal(journal)),
            study_name=key,
            directions=list(goals.values()),
            load_if_exists=True,
            pruner=pruner or NopPruner(),
        )
    told = False
    while True:
        with locks.held(claim, PATIENCE):
            number, under_way = _free_number(study, trials, worker, lock_of)
            if number is not None:
                study.sampler = sampler((1_000_003 * seed + number) % 2**32)
                trial = study.ask()
                trial.set_user_attr("number", number)
                trial.set_user_attr("worker", worker)
                for name in MACHINE:
                    trial.set_user_attr(name, (machine or {}).get(name, ""))
                values = suggest(trial)
        if number is None:
            if worker or not under_way:
                return _rows(study, trials, title)
            if not told:
                log.info("%s: waiting for %d trials of other workers", title, under_way)
                told = True
            time.sleep(WAIT)
            continue
        log.info("%s: trial %d/%d  %s", title, number + 1, trials, values)
        _try(study, trial, number, values, objective, tuple(goals))


def _free_number(
    study: optuna.Study, trials: int, worker: int, lock_of: Callable[[int], Path] | None
) -> tuple[int | None, int]:
    """The first number that nobody has or had, and how many trials are under way.

    Trials of workers that are gone are marked failed first.
    """
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        other = trial.user_attrs.get("worker", worker)
        if other == worker or lock_of is None or not locks.is_held(lock_of(other)):
            study.tell(trial.number, state=TrialState.FAIL)
    taken = study.get_trials(deepcopy=False, states=(*FINISHED, TrialState.RUNNING))
    free = set(range(trials)) - {trial.user_attrs["number"] for trial in taken}
    return min(free, default=None), sum(trial.state == TrialState.RUNNING for trial in taken)


def _try(
    study: optuna.Study,
    trial: Trial,
    number: int,
    values: Mapping[str, Any],
    objective: Objective,
    goals: Sequence[str],
) -> None:
    best: list[float] = []
    notes: dict[str, Any] = {}
    epochs = 0

    def report(epoch: int, score: float, **noted: object) -> None:
        nonlocal epochs, notes
        epochs = epoch
        if not best or score > best[0]:
            best[:], notes = [score], noted
        if len(goals) == 1:
            trial.report(best[0], epoch - 1)  # Optuna counts steps from 0
            if trial.should_prune():
                raise PrunedError

    started = time.perf_counter()
    scores: Sequence[float | None]
    try:
        scores, epochs = objective(number, values, report)
        state = "COMPLETE"
    except PrunedError:
        scores, state = best, "PRUNED"
    except DivergedError as error:
        log.warning("%s", error)
        scores, state, notes = [None] * len(goals), "DIVERGED", {}
    for name, value in {
        "state": state,
        **dict(zip(goals, scores, strict=True)),
        "epochs": epochs,
        **notes,
    }.items():
        trial.set_user_attr(name, value)
    trial.set_user_attr("seconds", time.perf_counter() - started)
    if state == "COMPLETE":
        study.tell(trial, scores, TrialState.COMPLETE)
    else:
        study.tell(trial, state=TrialState.PRUNED)


def _rows(study: optuna.Study, trials: int, title: str) -> list[dict[str, Any]]:
    """The finished trials with numbers below `trials`: the study may hold more, from when more were asked for."""
    finished = study.get_trials(deepcopy=False, states=FINISHED)
    rows = [_row(trial) for trial in sorted(finished, key=lambda t: t.user_attrs["number"])][:trials]
    if len(machines := {tuple(row[name] for name in MACHINE) for row in rows}) > 1:
        found = ", ".join(" in ".join(machine) for machine in sorted(machines))
        log.warning(
            "%s: the trials were computed on unlike machines (%s); trials.csv has each one's", title, found
        )
    return rows


def _row(trial: FrozenTrial) -> dict[str, Any]:
    return {**trial.params, **trial.user_attrs, "trial": trial.user_attrs["number"]}


class _Flock:
    """The journal's lock, as Optuna wants it. Optuna's own outlives a killed holder, by 30 seconds."""

    def __init__(self, path: Path):
        self._path = path
        self._held: AbstractContextManager[None] | None = None

    def acquire(self) -> bool:
        self._held = locks.held(self._path, PATIENCE)
        self._held.__enter__()
        return True

    def release(self) -> None:
        if self._held is not None:
            self._held.__exit__(None, None, None)
            self._held = None


class _CheckedJournal(JournalFileBackend):
    """Optuna's journal with a checksum in each line."""

    def __init__(self, path: Path):
        self._path = path
        lock = path.with_name(path.name + ".lock")
        with locks.held(lock, PATIENCE):
            _mend(path)
        super().__init__(str(path), _Flock(lock))

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        super().append_logs([{**entry, "crc32": _crc(entry)} for entry in logs])

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        lines = super().read_logs(log_number_from)
        while True:
            try:
                entry = next(lines)
                if entry.pop("crc32") != _crc(entry):
                    raise ValueError("a checksum does not hold")
            except StopIteration:
                return
            except (ValueError, KeyError, AttributeError, TypeError) as error:
                raise DetectorError(
                    f"{self._path}: damaged ({error}); delete it, with the trials in it, and run again"
                ) from None
            yield entry


def _crc(entry: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(entry, sort_keys=True).encode())


def _mend(journal: Path) -> None:
    """Cut off a last line that a kill or a full disk left unfinished: the next one would be glued to it."""
    if not journal.exists():
        return
    with open(journal, "r+b") as file:
        content = file.read()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            log.warning("%s: the last line is torn; it is taken back", journal)
            file.truncate(whole)
            os.fsync(file.fileno())
