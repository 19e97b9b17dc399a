"""Each number of trials has the best so far as it came, and as it would have come in all orders."""

import pandas as pd
import pytest

from detector.experiment.variants import Variant
from detector.tables.search_luck import COLUMNS, search_luck
from tests.support.tables import written


def trials(*accuracies: float | None) -> pd.DataFrame:
    return pd.DataFrame({"trial": range(len(accuracies)), "score": pd.Series(accuracies, dtype=float)})


def test_search_luck(tmp_path):
    searches = {
        Variant("resnet18", 0, "l1-00"): trials(0.8, 0.7, 0.9),
        Variant("resnet18", 0, "l1-40"): trials(0.6),
    }
    got = written(search_luck(searches, 0.005), COLUMNS, tmp_path)
    assert got["branch"].tolist() == ["l1-00"] * 3 + ["l1-40"]
    assert got["draws"].tolist() == [1, 2, 3, 1]
    assert got["trials"].tolist() == [3, 3, 3, 1]
    assert got["best_so_far"].tolist() == [0.8, 0.8, 0.9, 0.6]
    assert got["expected_best"].tolist() == pytest.approx([0.8, (0.8 + 0.9 + 0.9) / 3, 0.9, 0.6], abs=1e-5)
    assert got["expected_low"].tolist() == [0.7, 0.8, 0.9, 0.6]
    assert got["expected_high"].tolist() == [0.9, 0.9, 0.9, 0.6]
    assert got["gain"].tolist() == pytest.approx(
        [float("nan"), 0.2 / 3, 0.1 / 3, float("nan")], rel=1e-4, nan_ok=True
    )
    assert got["gain_over_half"].tolist() == pytest.approx(
        [float("nan"), *[x / 3 for x in (0.2, 0.1)], float("nan")], rel=1e-4, nan_ok=True
    )
    assert got["verdict"].fillna("").tolist() == ["", "", "still rising", "too few to tell"]


def test_a_loss_is_not_judged_by_a_margin_of_accuracies(tmp_path):
    searches = {Variant("resnet18", 0, "l1-00"): trials(-0.8, -0.2)}
    got = written(search_luck(searches, 0.005, "loss"), COLUMNS, tmp_path)
    assert set(got["selected_by"]) == {"loss"}
    assert got["best_so_far"].tolist() == [-0.8, -0.2]
    assert got[["margin", "verdict"]].isna().all(axis=None)


def test_trials_count_in_the_order_of_their_numbers(tmp_path):
    """Workers end them in another one."""
    searches = {Variant("resnet18", 0, "l1-00"): trials(0.8, 0.7, 0.9).iloc[::-1]}
    assert written(search_luck(searches, 0.005), COLUMNS, tmp_path)["best_so_far"].tolist() == [0.8, 0.8, 0.9]


def test_what_diverged_counts_as_a_trial_and_gives_nothing(tmp_path):
    searches = {Variant("resnet18", 0, "l1-00"): trials(None, 0.7, None, 0.8)}
    got = written(search_luck(searches, 0.005), COLUMNS, tmp_path)
    assert got["best_so_far"].tolist() == pytest.approx([float("nan"), 0.7, 0.7, 0.8], nan_ok=True)
    assert got["expected_best"].isna().tolist() == [True, True, False, False]
