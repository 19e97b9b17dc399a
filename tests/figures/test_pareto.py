"""The figure of the search for two goals names what no other trial beats, of one run."""

from pathlib import Path

import pandas as pd
import pytest

from detector.figures import pareto
from detector.tables import pareto as table
from tests.support.figures import texts, twice
from tests.tables.test_pareto import TRIALS


@pytest.mark.parametrize("goal", pareto.AXES)
def test_the_front_is_named_and_no_other_run_is_shown(goal: str, tmp_path: Path) -> None:
    trials = TRIALS.rename(columns={"bytes": goal})
    other = trials.assign(percent=trials["percent"] + 1)
    rows = pd.DataFrame(table.pareto({("resnet18", 0): trials, ("resnet18", 1): other}, goal, {}))
    shown = texts(twice(lambda path: pareto.draw(path, rows, "resnet18", 0), tmp_path))
    assert [name for name in shown if "-" in name and name[-1].isdigit()] == ["channels-55", "l1-05"]
    assert {"l1", "channels", pareto.AXES[goal][0], "Two goals: resnet18, seed 0"} <= set(shown)


def test_a_note_says_that_every_trial_diverged(tmp_path: Path) -> None:
    rows = pd.DataFrame(table.pareto({("resnet18", 0): TRIALS.iloc[3:]}, "bytes", {}))
    assert "every trial diverged" in texts(twice(lambda path: pareto.draw(path, rows, "resnet18", 0), tmp_path))
