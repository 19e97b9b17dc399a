"""The tables hold what the files say, in the columns promised, beside the study's values where it gives any."""

import pandas as pd
import pytest
import yaml

from detector.core import tabular
from detector.experiment.variants import Variant
from detector.models import checkpoints, networks
from detector.pruning import masks
from detector.stats.intervals import wilson
from detector.tables import efficiency, study
from tests.support import ROOT

PAPER = yaml.safe_load((ROOT / "workflow/resources/paper.yaml").read_text())


def predictions(label, logit):
    paths = [f"{i}.png" for i in range(len(label))]
    return pd.DataFrame({"source": "some", "path": paths, "label": label, "logit": logit})


def variant(branch, arch="resnet50", seed=0):
    return Variant(arch, seed, branch)


@pytest.fixture
def sets():
    """Three variants on a validation set, a set with both classes and one with fakes alone."""
    valid = predictions([1, 0], [1.0, -1.0])
    fakes = predictions([0, 0, 0, 0], [-1.0, -2.0, 1.0, -0.5])
    right, wrong = [1.0, 2.0, -1.0, -2.0], [1.0, -2.0, -1.0, 2.0]
    return {
        variant("baseline"): {
            "valid": valid,
            "faces140k": predictions([1, 1, 0, 0], wrong),
            "synthbuster": fakes,
        },
        variant("l1-00"): {"valid": valid, "faces140k": predictions([1, 1, 0, 0], right), "synthbuster": fakes},
        variant("l1-40"): {"valid": valid, "faces140k": predictions([1, 1, 0, 0], right), "synthbuster": fakes},
    }


def written(rows, columns, tmp_path):
    tabular.write_csv(rows, columns, tmp_path / "table.csv")
    text = (tmp_path / "table.csv").read_text()
    assert text.splitlines()[0].split(",") == list(columns)
    return pd.read_csv(tmp_path / "table.csv")


def test_composition(tmp_path):
    manifest = pd.DataFrame(
        {
            "source": ["faces140k"] * 4 + ["synthbuster"] * 2,
            "split": ["train", "train", "train", "test", "train", "valid"],
            "label": [1, 0, 0, 1, 0, 0],
        }
    )
    rows = study.composition(manifest, {"faces140k": "official", "synthbuster": "stem"}, PAPER)
    got = written(rows, study.COMPOSITION_COLUMNS, tmp_path).set_index(["source", "split"])
    assert list(got.index)[::3] == [("faces140k", "train"), ("synthbuster", "train"), ("combined", "train")]
    assert got.loc[("faces140k", "train"), ["real", "fake", "total"]].tolist() == [1, 2, 3]
    assert got.loc[("combined", "train"), ["real", "fake", "total"]].tolist() == [1, 3, 4]
    assert got.loc[("combined", "train"), "paper_total"] == 112_183
    assert got.loc[("combined", "valid"), "paper_total"] == 21_523
    assert pd.isna(got.loc[("synthbuster", "test"), "paper_total"]), "the study gives no such number"


def test_the_study_s_own_table_adds_up():
    for split in ("train", "valid"):
        parts = [PAPER["composition"][name][split] for name in ("faces140k", "celebdf", "synthbuster")]
        assert [sum(column) for column in zip(*parts, strict=True)] == PAPER["composition"]["combined"][split]


def test_baseline_performance(sets, tmp_path):
    got = written(study.baseline_performance(sets, PAPER), study.BASELINE_COLUMNS, tmp_path)
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


def test_final_accuracy(sets, tmp_path):
    got = written(study.final_accuracy(sets, PAPER), study.ACCURACY_COLUMNS, tmp_path)
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
    other = {variant("l1-40", seed=1): sets[variant("l1-40")]}
    rows = study.final_accuracy({**sets, **other}, PAPER)
    lonely = [row for row in rows if row["seed"] == 1]
    assert lonely
    assert all(row["delta_vs_baseline"] is None and row["delta_vs_dense_control"] is None for row in lonely)


def test_efficiency_counts_what_is_in_the_file(tmp_path):
    model = networks.build("resnet18")
    weights = networks.prunable(model)
    kept = masks.global_l1(weights, 0.3)
    masks.apply(weights, masks.like(weights, kept))
    path = tmp_path / "model.safetensors"
    checkpoints.save_weights(path, model.state_dict())
    times = {"latency_ms_median": 5, "latency_ms_p90": 7, "batch": 1, "device": "cpu", "threads": 2}
    latency = pd.DataFrame([{"branch": branch, **times} for branch in ("baseline", "l1-30")])
    variants = [variant("baseline", "resnet18"), variant("l1-30", "resnet18")]
    metas = [
        {"total_parameters": 100, "channels": 50, "macs": 1000},
        {"total_parameters": 60, "channels": 40, "macs": 500},
    ]
    rows = efficiency.efficiency(
        *(dict.fromkeys(variants, path), dict(zip(variants, metas, strict=True))),
        *({("resnet18", 0): latency}, PAPER),
    )
    table = written(rows, efficiency.EFFICIENCY_COLUMNS, tmp_path).set_index("branch")
    removed = ["parameters_removed", "channels_removed", "macs_removed"]
    assert table.loc["baseline", removed].tolist() == [0, 0, 0]
    assert table.loc["l1-30", removed].tolist() == pytest.approx([0.4, 0.2, 0.5])
    row = table.loc["l1-30"]
    assert row["nonzero_weights"] == sum(int(mask.sum()) for mask in kept)
    assert row["total_parameters"] == networks.parameter_count(model)
    assert row["file_mib"] == pytest.approx(path.stat().st_size / 2**20, abs=1e-3)
    assert (row["sparsity_percent"], row["latency_ms_median"]) == (30, 5)
    assert row["paper_nonzero_weights"] == 16_419_872


def test_best_hyperparameters(tmp_path):
    best = {"optimizer": "SGD", "learning_rate": 1.2345e-6, "valid_accuracy": 0.9, "trials": 5}
    rows = study.best_hyperparameters({variant("l1-30"): best, variant("l1-00"): best}, PAPER)
    got = written(rows, study.HYPERPARAMETER_COLUMNS, tmp_path)
    assert got["learning_rate"].tolist() == [1.2345e-6, 1.2345e-6]
    assert got["paper_optimizer"].fillna("").tolist() == ["SGD", ""]
    assert got["sparsity_percent"].tolist() == [30, 0]


def test_prior_work_ends_with_this_run(sets, tmp_path):
    accuracy = written(study.final_accuracy(sets, PAPER), study.ACCURACY_COLUMNS, tmp_path)
    manifest = pd.DataFrame({"source": ["faces140k", "celebdf"], "split": ["train", "test"]})
    got = written(study.prior_work(accuracy, manifest, PAPER), study.PRIOR_WORK_COLUMNS, tmp_path)
    ours = got[got["source"] == "this run"]
    assert len(got) - len(ours) == len(PAPER["prior_work"]) == 18
    assert ours["accuracy"].tolist() == accuracy["accuracy"].tolist()
    assert ours["train_test"].iloc[0] == "faces140k → faces140k"


def test_variants_are_read_from_their_folder():
    assert Variant.of("results/runs/resnet18/seed3/random-40") == Variant("resnet18", 3, "random-40")
    assert Variant("resnet18", 3, "random-40").sparsity_percent == 40
    assert Variant("resnet18", 3, "matched-40").sparsity_percent == 0, (
        "the percent is of the branch it is matched with"
    )
    assert Variant("resnet18", 3, "baseline").sparsity_percent == 0
    assert Variant("resnet18", 3, "channels-40").percent_of == "parameters"
    assert Variant("resnet18", 3, "gradual-40").percent_of == "weights"
