"""The baselines, and no other variant, are measured on every set, beside the study's values."""

import pandas as pd
import pytest

from detector.stats.intervals import wilson
from detector.tables.baseline_performance import COLUMNS, baseline_performance
from tests.support.tables import PAPER, written


def test_baseline_performance(sets, tmp_path):
    got = written(baseline_performance(sets, PAPER), COLUMNS, tmp_path)
    assert got["dataset"].tolist() == ["valid", "faces140k", "synthbuster", "combined"]
    assert got["n"].tolist() == [2, 4, 4, 8]
    got = got.set_index("dataset")
    assert got.loc["faces140k", "accuracy"] == 0.5
    assert got.loc["faces140k", ["accuracy_low", "accuracy_high"]].tolist() == pytest.approx(
        wilson(0.5, 4), abs=1e-5
    )
    assert got.loc["combined", "accuracy"] == 0.625
    assert got.loc["faces140k", "paper_accuracy"] == 0.9879
    assert (got["positive"] == "fake").all()
    assert pd.isna(got.loc["synthbuster", "auc"]), "undefined without real images"
