"""The study's comparison stands beside what this run measured of each system, then come this run's accuracies."""

import fnmatch

import numpy as np
import pandas as pd
import pytest

from detector.experiment import architectures
from detector.experiment.variants import Branch
from detector.tables import final_accuracy
from detector.tables.prior_work import COLUMNS, prior_work
from tests.support.tables import PAPER, written

QUOTED = [*PAPER["prior_work"], *PAPER["named"]]
MANIFEST = pd.DataFrame({"source": ["faces140k", "celebdf"], "split": ["train", "test"]})
# Without a network of their own.
SYSTEMS = {"cnn_svm", "spectrum_mlp", "frozen_linear", "mobilenet_experts", "resnet_bilstm"}


def accuracies(*variants, testsets=("faces140k", "combined")):
    """Rows of final_accuracy.csv, each of another accuracy."""
    rows = [(*variant, testset) for variant in variants for testset in testsets]
    table = pd.DataFrame(rows, columns=["arch", "branch", "seed", "testset"])
    table["accuracy"] = [0.5 + number / 100 for number in range(len(rows))]
    bounds = {"accuracy_low": table["accuracy"] - 0.1, "accuracy_high": table["accuracy"] + 0.1}
    return table.assign(**bounds, groups=np.nan, grouped_low=np.nan, grouped_high=np.nan)


def quoted(accuracy, folder):
    table = written(prior_work(accuracy, MANIFEST, PAPER), COLUMNS, folder)
    return table[table["source"] != "this run"]


def test_prior_work_ends_with_this_run(sets, tmp_path):
    accuracy = written(final_accuracy.final_accuracy(sets, PAPER), final_accuracy.COLUMNS, tmp_path)
    got = written(prior_work(accuracy, MANIFEST, PAPER), COLUMNS, tmp_path)
    ours = got[got["source"] == "this run"]
    assert got["model"].tolist()[: len(QUOTED)] == [row["model"] for row in QUOTED]
    assert len(PAPER["prior_work"]) == 18
    assert ours["accuracy"].tolist() == accuracy["accuracy"].tolist()
    assert ours["train_test"].iloc[0] == "faces140k → faces140k"


def test_a_quoted_row_has_what_each_seed_measured_with_its_interval(tmp_path):
    variants = [("vgg16_bn", "baseline", 0), ("vgg16_bn", "baseline", 1), ("vgg16_bn", "channels-60", 0)]
    accuracy = accuracies(*variants, ("small_cnn", "l1-40", 0))
    got = quoted(accuracy, tmp_path).set_index("model")
    assert got.loc["VGG (baseline)", "measured_system"].tolist() == [
        "vgg16_bn (baseline, seed 0)",
        "vgg16_bn (baseline, seed 1)",
    ]
    pruned = got.loc["VGG (40 % parameters)"]
    of = accuracy[(accuracy["branch"] == "channels-60") & (accuracy["testset"] == "faces140k")].iloc[0]
    assert pruned["testset"] == "faces140k"
    assert pruned["accuracy"] == 0.9592
    measured = pruned[["measured_accuracy", "measured_low", "measured_high"]].tolist()
    assert measured == pytest.approx(of[["accuracy", "accuracy_low", "accuracy_high"]].tolist())
    # Not trained: a baseline of it, more channels removed.
    for model in ("CNN", "VGG (10 % parameters)"):
        assert got.loc[model, "measured_system":"measured_high"].isna().all()


def test_without_the_study_s_test_set_all_images_count(tmp_path):
    got = quoted(accuracies(("resnet18_gram", "baseline", 0), testsets=("mine", "combined")), tmp_path)
    assert got["testset"].dropna().tolist() == ["combined"]
    assert got.loc[got["testset"].notna(), "model"].tolist() == ["Gram matrices + CNN"]


def test_every_name_that_stands_for_a_system_is_one_that_a_run_can_have():
    known = {*architectures.known(), *SYSTEMS}
    for row in QUOTED:
        by = row["measured_by"]
        for pattern in by["arch"]:
            assert fnmatch.filter(known, pattern.partition("+")[0]), pattern
        assert Branch.of(by.get("branch", "baseline"))


def test_bounds_are_of_groups_where_they_are_known(tmp_path):
    accuracy = accuracies(("vgg16_bn", "baseline", 0)).assign(groups=12, grouped_low=0.2, grouped_high=0.8)
    got = quoted(accuracy, tmp_path).set_index("model").loc["VGG (baseline)"]
    assert got[["measured_low", "measured_high"]].tolist() == [0.2, 0.8]
