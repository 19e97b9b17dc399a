"""Every variant is measured on every test set and compared with its own run's references alone."""

import pandas as pd
import pytest

from detector.experiment.variants import Variant
from detector.stats.intervals import wilson
from detector.tables.final_accuracy import COLUMNS, final_accuracy
from tests.support.tables import PAPER, written


def test_final_accuracy(sets, tmp_path):
    got = written(final_accuracy(sets, PAPER), COLUMNS, tmp_path)
    got = got.set_index(["branch", "testset"])
    assert "valid" not in got.index.get_level_values("testset")
    assert got.loc[("l1-40", "faces140k"), "delta_vs_baseline"] == 0.5
    assert got.loc[("l1-40", "faces140k"), "delta_vs_dense_control"] == 0.0
    assert got.loc[("baseline", "faces140k"), "delta_vs_dense_control"] == -0.5
    assert got.loc[("baseline", "faces140k"), "paper_accuracy"] == 0.9548
    assert got.loc[("l1-40", "faces140k"), ["tp", "fp", "tn", "fn"]].tolist() == [2, 0, 2, 0]
    interval = got.loc[("l1-40", "combined"), ["accuracy_low", "accuracy_high"]].tolist()
    assert interval == pytest.approx(wilson(7 / 8, 8), abs=1e-5)
    assert pd.isna(got.loc[("l1-00", "faces140k"), "paper_accuracy"]), "the study has no dense control"


def test_deltas_compare_within_a_run(sets):
    """Another seed's baseline is no reference; without a dense control its column is empty."""
    other = {Variant("resnet50", 1, "l1-40"): sets[Variant("resnet50", 0, "l1-40")]}
    rows = final_accuracy({**sets, **other}, PAPER)
    lonely = [row for row in rows if row["seed"] == 1]
    assert lonely
    assert all(row["delta_vs_baseline"] is None and row["delta_vs_dense_control"] is None for row in lonely)
