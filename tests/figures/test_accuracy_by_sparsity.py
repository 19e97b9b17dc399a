"""Accuracy against sparsity: seeds become a mean and an interval over them, differences are taken seed by seed,
controls are no pruned branches, and a cliff does not hide what is near the baseline."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from detector.core.errors import DetectorError
from detector.figures import accuracy_by_sparsity
from detector.stats.intervals import wilson
from tests.support.figures import BRANCHES, accuracy_table, texts


def table(branches, seeds=1, **more):
    rows = [
        ("resnet18", seed, name, "a", 1000, share + 0.002 * seed)
        for seed in range(seeds)
        for name, share in branches.items()
    ]
    columns = ["arch", "seed", "branch", "testset", "n", "accuracy"]
    found = pd.DataFrame(rows, columns=columns).assign(**more)
    single = [wilson(row.accuracy, row.n) for row in found.itertuples()]
    found[["accuracy_low", "accuracy_high"]] = single
    dense = found[found["branch"] == "l1-00"].set_index("seed")["accuracy"]
    return found.assign(delta_vs_dense_control=found["accuracy"] - found["seed"].map(dense))


DENSE = {"baseline": 0.9, "l1-00": 0.91, "l1-40": 0.905}


def points(rows):
    parts = rows["branch"].str.extract(r"^(.+)-(\d+)$")
    found = accuracy_by_sparsity._points(rows.assign(method=parts[0], percent=parts[1].astype(float)))
    return found.set_index("branch")


def test_what_has_a_baseline_alone_is_no_panel(tmp_path):
    """But where nothing has more, it is drawn all the same."""
    system = table({"baseline": 0.7}).assign(arch="spectrum_mlp")
    path = tmp_path / "x.svg"
    accuracy_by_sparsity.accuracy_by_sparsity(path, pd.concat([table(DENSE), system]))
    assert not any("spectrum_mlp" in text for text in texts(path))
    accuracy_by_sparsity.accuracy_by_sparsity(path, system)
    assert any("spectrum_mlp" in text for text in texts(path))


def test_one_seed_has_an_interval_over_images():
    row = points(table(DENSE)).loc["l1-40"]
    assert (row["low"] / 100, row["high"] / 100) == pytest.approx(wilson(0.905, 1000))


def test_several_seeds_have_a_mean_and_an_interval_over_them():
    row = points(table(DENSE, seeds=3)).loc["l1-40"]
    expected = stats.ttest_1samp(0.905 + 0.002 * np.arange(3), 0).confidence_interval(0.95)
    assert row["mean"] == pytest.approx(90.7)
    assert (row["low"] / 100, row["high"] / 100) == pytest.approx(tuple(expected))


def test_seeds_that_go_up_and_down_together_do_not_blur_a_difference(tmp_path):
    rows = table(DENSE, seeds=3)  # far apart, and l1-40 half a point below the dense control in each
    accuracy_by_sparsity.accuracy_by_sparsity(tmp_path / "x.svg", rows)
    assert "less the dense control of the same seed" in texts(tmp_path / "x.svg")
    assert any(text.startswith("−0.") for text in texts(tmp_path / "x.svg")), "an axis of differences"
    paired = accuracy_by_sparsity._points(
        rows.assign(accuracy=rows["delta_vs_dense_control"], method="l1", percent=40.0), bounds=(-1.0, 1.0)
    ).set_index("branch")
    assert paired.loc["l1-40", ["low", "mean", "high"]].tolist() == pytest.approx([-0.5] * 3)
    assert points(rows).loc["l1-40", "high"] - points(rows).loc["l1-40", "low"] > 0.9
    accuracy_by_sparsity.accuracy_by_sparsity(tmp_path / "one.svg", table(DENSE))
    assert "less the dense control of the same seed" not in texts(tmp_path / "one.svg")


@pytest.mark.parametrize(
    ("more", "seeds", "expected", "absent"),
    [
        ({}, 1, "dense control", "matched control: nothing pruned,"),
        ({"matched-40": 0.91}, 1, "matched control: nothing pruned,", "matched, pruned"),
        ({"random-40": 0.88}, 2, "random, pruned", "gradual, pruned"),
        ({}, 2, "one seed", "random, pruned"),
        ({}, 1, "l1, pruned", "one seed"),
    ],
)
def test_the_legend_names_what_is_drawn(more, seeds, expected, absent, tmp_path):
    accuracy_by_sparsity.accuracy_by_sparsity(tmp_path / "x.svg", table(DENSE | more, seeds))
    assert expected in texts(tmp_path / "x.svg")
    assert absent not in texts(tmp_path / "x.svg")


@pytest.mark.parametrize(("worst", "n", "panels"), [(0.84, 1000, 0), (0.55, 1000, 1), (0.55, 9, 0)])
def test_beside_a_cliff_the_baseline_is_enlarged(worst, n, panels, tmp_path):
    """Of nine images no fall is a cliff."""
    accuracy_by_sparsity.accuracy_by_sparsity(tmp_path / "x.svg", table(DENSE | {"l1-95": worst}, n=n))
    assert texts(tmp_path / "x.svg").count("near the baseline") == panels


def test_a_table_without_numbers_is_refused(tmp_path):
    with pytest.raises(DetectorError, match="no number"):
        accuracy_by_sparsity.accuracy_by_sparsity(tmp_path / "x.svg", table(DENSE, accuracy=np.nan))


def test_combined_is_drawn_only_beside_several_test_sets(tmp_path):
    one = accuracy_table(BRANCHES)
    two = one.assign(testset="celebdf")
    combined = one.assign(testset="combined")  # of two architectures with several seeds: two panels each
    for name, parts, expected in (("one", [one, combined], 0), ("two", [one, two, combined], 4)):
        path = tmp_path / f"{name}.svg"
        accuracy_by_sparsity.accuracy_by_sparsity(path, pd.concat(parts, ignore_index=True))
        assert sum("combined" in text for text in texts(path)) == expected


def test_one_seed_has_an_interval_by_groups_where_they_are_known():
    rows = table({"l1-40": 0.8}).assign(method="l1", percent=40.0, groups=30, grouped_low=0.6, grouped_high=0.9)
    point = accuracy_by_sparsity._points(rows).iloc[0]
    assert (point["low"], point["high"]) == pytest.approx((60, 90))
