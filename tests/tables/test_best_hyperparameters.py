"""What each search chose stands beside the study's choice."""

from detector.experiment.variants import Variant
from detector.tables.best_hyperparameters import COLUMNS, best_hyperparameters, columns
from tests.support.tables import PAPER, written


def test_best_hyperparameters(tmp_path):
    best = {"optimizer": "SGD", "learning_rate": 1.2345e-6, "valid_accuracy": 0.9, "trials": 5}
    rows = best_hyperparameters(
        {Variant("resnet50", 0, "l1-30"): best, Variant("resnet50", 0, "l1-00"): best}, PAPER
    )
    got = written(rows, COLUMNS, tmp_path)
    assert got["learning_rate"].tolist() == [1.2345e-6, 1.2345e-6]
    assert got["paper_optimizer"].fillna("").tolist() == ["SGD", ""]
    assert got["sparsity_percent"].tolist() == [30, 0]


def test_what_else_was_searched_has_columns_of_its_own(tmp_path):
    one = {
        "optimizer": "SGD",
        "learning_rate": 1e-6,
        "valid_accuracy": 0.9,
        "trials": 5,
        "trial": 3,
        "branch": "x",
    }
    more = {"weight_decay": 0.25, "clip": None, "balance": "weights"}
    searches = {Variant("resnet50", 0, "l1-30"): {**one, **more}}
    assert columns({Variant("resnet50", 0, "l1-30"): one}) == COLUMNS
    got = written(best_hyperparameters(searches, PAPER), columns(searches), tmp_path)
    assert set(got.columns) == {*COLUMNS, *more}
    assert got.columns.get_loc("valid_accuracy") == got.columns.get_loc("learning_rate") + 4
    assert got["weight_decay"].tolist() == [0.25]
    without = {key: value for key, value in one.items() if key not in ("optimizer", "learning_rate")}
    got = written(best_hyperparameters({Variant("resnet50", 0, "l1-30"): without}, PAPER), COLUMNS, tmp_path)
    assert got["optimizer"].isna().all(), "it was not searched"


def test_a_search_that_all_branches_share_is_one_row(tmp_path):
    best = {"optimizer": "SGD", "learning_rate": 1e-6, "valid_accuracy": 0.9, "trials": 5}
    got = written(best_hyperparameters({Variant("resnet50", 0, "all"): best}, PAPER), COLUMNS, tmp_path)
    assert got[["branch", "optimizer"]].to_numpy().tolist() == [["all", "SGD"]]
    assert got["sparsity_percent"].isna().all(), "it is of no one branch"
