"""A search ends with exactly the configured trials, and a killed one draws what an unbroken one does."""

import subprocess
import sys
import textwrap

import pytest

from detector import search
from detector.errors import DetectorError, Diverged

SPACE = search.Space(("Adam", "SGD"), (1e-6, 1e-4))


def score(number, values, report):
    """A made-up accuracy that prefers large learning rates."""
    return values["learning_rate"] * 1e3 + (values["optimizer"] == "Adam") * 0.01, 3


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


@pytest.mark.parametrize("dies_in", [0, 2, 4])
def test_a_killed_search_goes_on_to_the_same_end(tmp_path, dies_in):
    whole = search.run(tmp_path / "whole.log", SPACE, 5, 0, score)
    program = textwrap.dedent(
        """
        import os, signal, sys
        sys.path.insert(0, sys.argv[1])
        import test_search as t
        def objective(number, values, report):
            if number == int(sys.argv[3]):
                os.kill(os.getpid(), signal.SIGKILL)
            return t.score(number, values, report)
        t.search.run(__import__("pathlib").Path(sys.argv[2]), t.SPACE, 5, 0, objective)
        """
    )
    here = str(__import__("pathlib").Path(__file__).parent)
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


def test_a_finished_search_trains_nothing(tmp_path):
    first = search.run(tmp_path / "j.log", SPACE, 3, 0, score)
    second = search.run(tmp_path / "j.log", SPACE, 3, 0, lambda number, values, report: pytest.fail("a trial ran"))
    assert first.trials == second.trials


def test_a_diverged_trial_counts_and_is_never_the_best(tmp_path):
    def objective(number, values, report):
        if number == 1:
            raise Diverged("no number")
        return score(number, values, report)

    outcome = search.run(tmp_path / "j.log", SPACE, 3, 0, objective)
    assert [row["state"] for row in outcome.trials] == ["COMPLETE", "DIVERGED", "COMPLETE"]
    assert outcome.trials[1]["valid_accuracy"] is None
    assert outcome.best["trial"] in (0, 2)


def test_a_search_in_which_all_diverge_is_an_error(tmp_path):
    def objective(number, values, report):
        raise Diverged("no number")

    with pytest.raises(DetectorError, match=r"lower search\.learning_rate"):
        _ = search.run(tmp_path / "j.log", SPACE, 2, 0, objective).best
