"""A search ends with exactly the configured trials, and a killed one draws what an unbroken one does."""

import subprocess
import sys
import textwrap
import time

import optuna
import pytest
import yaml

from detector.core.errors import DetectorError, DivergedError
from detector.training import search
from tests.support import ROOT

SCHEMA = ROOT / "src/detector/experiment/config.schema.yaml"
RATES = {"low": 1e-6, "high": 1e-4, "log": True}
SPACE = search.Space({"optimizer": ["Adam", "SGD"], "learning_rate": RATES})
WIDE = search.Space(
    {
        "weight_decay": {"low": 0.0, "high": 0.1},
        "clip": [None, 1.0, 5.0],
        **SPACE.knobs,
        "nesterov": [True, False],
        "batch_size": {"low": 8, "high": 64, "log": True},
    }
)


def score(number, values, report):
    """A made-up accuracy that prefers large learning rates."""
    accuracy = values["learning_rate"] * 1e3 + (values["optimizer"] == "Adam") * 0.01
    report(3, accuracy, valid_accuracy=accuracy)
    return accuracy, 3


def drawn(outcome):
    return [(row["optimizer"], row["learning_rate"], row["valid_accuracy"]) for row in outcome.trials]


def test_values_are_in_the_space_and_the_best_is_the_best(tmp_path):
    outcome = search.run(tmp_path / "journal.log", SPACE, 12, 0, score)
    assert [row["trial"] for row in outcome.trials] == list(range(12))
    assert {row["optimizer"] for row in outcome.trials} == {"Adam", "SGD"}
    assert all(1e-6 <= row["learning_rate"] <= 1e-4 for row in outcome.trials)
    assert outcome.best["valid_accuracy"] == max(row["valid_accuracy"] for row in outcome.trials)


def test_the_seed_decides(tmp_path):
    first = search.run(tmp_path / "a.log", SPACE, 4, 0, score)
    again = search.run(tmp_path / "b.log", SPACE, 4, 0, score)
    other = search.run(tmp_path / "c.log", SPACE, 4, 1, score)
    assert drawn(first) == drawn(again)
    assert drawn(first) != drawn(other)


def test_every_seed_that_the_config_takes_can_be_searched_with(tmp_path):
    """Also beyond 4,294, where what the sampler is seeded with no longer fits its 32 bits."""
    seed = yaml.safe_load(SCHEMA.read_text())["$defs"]["seed"]
    first = [search.run(tmp_path / f"{s}.log", SPACE, 2, s, score) for s in (0, 4294, 4295, seed["maximum"])]
    assert len({str(drawn(outcome)) for outcome in first}) == 4


@pytest.mark.parametrize("dies_in", [0, 2, 4])
def test_a_killed_search_goes_on_to_the_same_end(tmp_path, dies_in):
    whole = search.run(tmp_path / "whole.log", SPACE, 5, 0, score)
    program = textwrap.dedent(
        """
        import os, signal, sys
        sys.path.insert(0, sys.argv[1])
        from tests.training import test_search as t
        def objective(number, values, report):
            if number == int(sys.argv[3]):
                os.kill(os.getpid(), signal.SIGKILL)
            return t.score(number, values, report)
        t.search.run(__import__("pathlib").Path(sys.argv[2]), t.SPACE, 5, 0, objective)
        """
    )
    here = str(ROOT)
    journal = tmp_path / "broken.log"
    done = subprocess.run([sys.executable, "-c", program, here, str(journal), str(dies_in)])
    assert done.returncode == -9
    calls = []

    def counted(number, values, report):
        calls.append(number)
        return score(number, values, report)

    resumed = search.run(journal, SPACE, 5, 0, counted)
    assert calls == list(range(dies_in, 5)), "a finished trial was done again, or one is missing"
    assert drawn(resumed) == drawn(whole)


@pytest.mark.parametrize(
    ("name", "trials", "dies_in"), [("tpe", 6, 4), ("gp", 5, 3), ("random", 4, 2), ("cmaes", 11, 9)]
)
def test_with_every_sampler_a_killed_search_draws_what_an_unbroken_one_does(name, trials, dies_in, tmp_path):
    """Where it has begun to learn from results; a generation of CMA-ES is of 7 trials here."""
    how = {"sampler": name, "startup_trials": 2}

    def good(number, values, report):
        return 1 - (values["weight_decay"] - 0.03) ** 2 - abs(values["learning_rate"] - 3e-5), 1

    def killed(number, values, report):
        if number == dies_in:
            raise KeyboardInterrupt  # leaves the journal as a kill does: with a trial that nothing is told of
        return good(number, values, report)

    whole = search.run(tmp_path / "whole.log", WIDE, trials, 0, good, **how)
    with pytest.raises(KeyboardInterrupt):
        search.run(tmp_path / "broken.log", WIDE, trials, 0, killed, **how)
    resumed = search.run(tmp_path / "broken.log", WIDE, trials, 0, good, **how)
    assert [WIDE.values(row) for row in resumed.trials] == [WIDE.values(row) for row in whole.trials]
    random = search.run(tmp_path / "random.log", WIDE, trials, 0, good, sampler=name, startup_trials=trials)
    same = [WIDE.values(a) == WIDE.values(b) for a, b in zip(whole.trials, random.trials, strict=True)]
    assert same[:2] == [True, True]
    assert all(same) == (name == "random"), "it never looked at results"


def test_every_sampler_of_the_config_is_there():
    schema = yaml.safe_load(SCHEMA.read_text())["properties"]["search"]["properties"]
    assert set(schema["sampler"]["enum"]) == set(search.SAMPLERS)
    assert (schema["sampler"]["default"], schema["startup_trials"]["default"]) == ("tpe", search.STARTUP)


def test_the_default_draws_as_optuna_s_own_sampler_does(tmp_path):
    """The study's pairs stay what they were, whatever else can be searched."""
    found = search.run(tmp_path / "j.log", SPACE, 3, 7, score)
    for number, row in enumerate(found.trials):
        trial = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=1_000_003 * 7 + number)).ask()
        optimizer = trial.suggest_categorical("optimizer", ["Adam", "SGD"])
        assert (row["optimizer"], row["learning_rate"]) == (
            optimizer,
            trial.suggest_float("learning_rate", 1e-6, 1e-4, log=True),
        )


def test_every_knob_is_drawn_from_what_is_said_of_it(tmp_path):
    tried = []

    def objective(number, values, report):
        tried.append(values)
        return 0.5, 1

    outcome = search.run(tmp_path / "j.log", WIDE, 30, 0, objective)
    assert tried == [WIDE.values(row) for row in outcome.trials]
    assert [*tried[0]] == ["optimizer", "learning_rate", "batch_size", "nesterov", "weight_decay", "clip"]
    assert all(isinstance(values["batch_size"], int) and 8 <= values["batch_size"] <= 64 for values in tried)
    assert all(0 <= values["weight_decay"] <= 0.1 for values in tried)
    assert sum(values["batch_size"] < 23 for values in tried) > 8, (
        "half of a log range is below its geometric mean"
    )
    assert {values["clip"] for values in tried} == {None, 1.0, 5.0}
    assert {values["nesterov"] for values in tried} == {True, False}
    assert set(WIDE.columns) == {*outcome.trials[0]}


def test_the_order_in_which_a_space_is_written_changes_nothing(tmp_path):
    other = search.Space(dict(reversed(WIDE.knobs.items())))
    first, second = (
        search.run(tmp_path / str(n), s, 3, 0, lambda *_: (0.5, 1)) for n, s in enumerate((WIDE, other))
    )
    assert [WIDE.values(row) for row in first.trials] == [other.values(row) for row in second.trials]
    assert WIDE.columns == other.columns


def test_a_finished_search_trains_nothing(tmp_path):
    first = search.run(tmp_path / "j.log", SPACE, 3, 0, score)
    second = search.run(tmp_path / "j.log", SPACE, 3, 0, lambda number, values, report: pytest.fail("a trial ran"))
    assert first.trials == second.trials


def test_more_trials_go_on_with_the_study_and_fewer_count_the_first(tmp_path):
    whole = search.run(tmp_path / "whole.log", SPACE, 5, 0, score)
    search.run(tmp_path / "j.log", SPACE, 3, 0, score)
    calls = []

    def counted(number, values, report):
        calls.append(number)
        return score(number, values, report)

    assert drawn(search.run(tmp_path / "j.log", SPACE, 5, 0, counted)) == drawn(whole)
    assert calls == [3, 4]
    assert drawn(search.run(tmp_path / "j.log", SPACE, 2, 0, counted)) == drawn(whole)[:2]
    assert calls == [3, 4]


def test_trials_of_unlike_machines_are_one_study_that_says_so(tmp_path, caplog):
    card, cpu = {"device": "cuda", "precision": "bf16"}, {"device": "cpu", "precision": "fp32"}
    search.run(tmp_path / "j.log", SPACE, 2, 0, score, machine=card)
    assert not caplog.records
    outcome = search.run(tmp_path / "j.log", SPACE, 3, 0, score, "search l1-40", machine=cpu)
    assert [(row["device"], row["precision"]) for row in outcome.trials] == [
        *(("cuda", "bf16"), ("cuda", "bf16"), ("cpu", "fp32"))
    ]
    (warning,) = [record.getMessage() for record in caplog.records]
    assert "search l1-40: the trials were computed on unlike machines (cpu in fp32, cuda in bf16)" in warning


def test_a_diverged_trial_counts_and_is_never_the_best(tmp_path):
    def objective(number, values, report):
        if number == 1:
            raise DivergedError("no number")
        return score(number, values, report)

    outcome = search.run(tmp_path / "j.log", SPACE, 3, 0, objective)
    assert [row["state"] for row in outcome.trials] == ["COMPLETE", "DIVERGED", "COMPLETE"]
    assert outcome.trials[1]["valid_accuracy"] is None
    assert outcome.best["trial"] in (0, 2)


def test_a_search_in_which_all_diverge_is_an_error(tmp_path):
    def objective(number, values, report):
        raise DivergedError("no number")

    with pytest.raises(DetectorError, match=r"lower search\.learning_rate"):
        _ = search.run(tmp_path / "j.log", SPACE, 2, 0, objective).best


def test_a_damaged_journal_is_named(tmp_path):
    journal = tmp_path / "j.log"
    search.run(journal, SPACE, 2, 0, score)
    whole = journal.read_bytes()
    position = whole.index(b"learning_rate")
    journal.write_bytes(whole[:position] + b"L" + whole[position + 1 :])
    with pytest.raises(DetectorError, match=r"j\.log: damaged .* delete it"):
        search.run(journal, SPACE, 3, 0, score)


def test_optuna_s_own_tools_read_a_journal_as_it_stands(tmp_path):
    """As optuna-dashboard does: our checksums are one more field to it."""
    journal = tmp_path / "j.log"
    ours = search.run(journal, SPACE, 3, 0, score)
    before = journal.read_bytes()
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(journal)))
    study = optuna.load_study(study_name="search", storage=storage)
    assert [trial.params["learning_rate"] for trial in study.trials] == [
        row["learning_rate"] for row in ours.trials
    ]
    assert [trial.value for trial in study.trials] == [row["score"] for row in ours.trials]
    assert journal.read_bytes() == before


def test_a_torn_last_line_costs_no_trial_that_was_finished(tmp_path):
    journal = tmp_path / "j.log"
    first = search.run(journal, SPACE, 2, 0, score)
    whole = journal.read_bytes()
    with open(journal, "ab") as file:
        file.write(whole.splitlines()[-1][:20])
    second = search.run(journal, SPACE, 3, 0, score)
    assert second.trials[:2] == first.trials
    assert len(second.trials) == 3


def test_the_pruner_ends_a_hopeless_trial_and_its_best_epoch_still_counts(tmp_path):
    """Trial 0 climbs to 0.9; the others stay at 0.5 and are ended at their third epoch."""

    def objective(number, values, report):
        curve = [0.6, 0.7, 0.8, 0.9] if number == 0 else [0.5, 0.4, 0.4, 0.4]
        for epoch, accuracy in enumerate(curve, 1):
            report(epoch, accuracy, valid_accuracy=accuracy)
        return max(curve), len(curve)

    outcome = search.run(tmp_path / "j.log", SPACE, 3, 0, objective, pruner="median")
    assert [(row["state"], row["epochs"], row["valid_accuracy"]) for row in outcome.trials] == [
        *(("COMPLETE", 4, 0.9), ("PRUNED", 3, 0.5), ("PRUNED", 3, 0.5))
    ]
    plain = search.run(tmp_path / "k.log", SPACE, 3, 0, objective)
    assert [row["epochs"] for row in plain.trials] == [4, 4, 4]
    assert plain.best["trial"] == outcome.best["trial"] == 0


def test_the_score_decides_and_the_accuracy_beside_it_is_that_of_the_same_epoch(tmp_path):
    """Scores below 0, as those of a loss; the pruner ends the second trial, the third diverges after an epoch."""
    curves = {0: [(-0.9, 0.6), (-0.5, 0.7), (-0.6, 0.9)], 1: [(-0.8, 0.95), (-0.9, 0.9), (-0.9, 0.9)]}

    def objective(number, values, report):
        if number == 2:
            report(1, -0.1, valid_accuracy=0.99)
            raise DivergedError("no number")
        for epoch, (score, accuracy) in enumerate(curves[number], 1):
            report(epoch, score, valid_accuracy=accuracy)
        return max(score for score, _ in curves[number]), 3

    outcome = search.run(tmp_path / "j.log", SPACE, 3, 0, objective, pruner="median")
    assert [(row["state"], row["score"], row["valid_accuracy"]) for row in outcome.trials] == [
        *(("COMPLETE", -0.5, 0.7), ("PRUNED", -0.8, 0.95), ("DIVERGED", None, None))
    ]
    assert outcome.best["trial"] == 0


WORKER = """
import pathlib, sys, time
sys.path.insert(0, sys.argv[1])
from tests.training import test_search as t
from detector.core import locks
folder, worker = pathlib.Path(sys.argv[2]), int(sys.argv[3])
def lock_of(worker):
    return folder / f"{worker}.lock"
def objective(number, values, report):
    with open(folder / "tried.txt", "a") as file:
        file.write(f"{number} {worker}\\n")
    time.sleep(0.2)
    return t.score(number, values, report)
with locks.held(lock_of(worker)):
    t.search.run(folder / "journal.log", t.SPACE, 8, 0, objective, worker=worker, lock_of=lock_of)
"""


def worker(folder, number):
    here = str(ROOT)
    return subprocess.Popen([sys.executable, "-c", WORKER, here, str(folder), str(number)])


def tried(folder):
    path = folder / "tried.txt"
    return [tuple(map(int, line.split())) for line in path.read_text().splitlines()] if path.exists() else []


def test_workers_share_the_trials_and_none_is_lost_or_double_when_one_is_killed(tmp_path):
    whole = search.run(tmp_path / "whole.log", SPACE, 8, 0, score)
    workers = {number: worker(tmp_path, number) for number in (0, 1, 2)}
    deadline = time.monotonic() + 60
    while 1 not in {by for _, by in tried(tmp_path)}:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    workers[1].kill()  # in the middle of its trial
    assert workers[0].wait() == workers[2].wait() == 0
    assert workers[1].wait() == -9
    journal = search.run(tmp_path / "journal.log", SPACE, 8, 0, lambda *_: pytest.fail("a trial was missing"))
    assert drawn(journal) == drawn(whole), "how many share the work must not change what is tried"
    numbers = [number for number, _ in tried(tmp_path)]
    assert sorted(set(numbers)) == list(range(8))
    assert len(numbers) <= 8 + 1, "only the killed trial is done again"
