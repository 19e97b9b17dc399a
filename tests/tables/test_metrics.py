"""More metrics hold what the logits say; cut and temperature are chosen on validation images alone."""

import math

import numpy as np
import pandas as pd
import pytest

from detector.core.errors import DetectorError
from detector.experiment.variants import Variant
from detector.stats import metric_modules
from detector.stats import metrics as package
from detector.stats.calibration import temperature
from detector.stats.intervals import wilson
from detector.stats.ranking import best_cut
from detector.tables import metrics
from tests.support.tables import images, written


def test_metrics(predictions, tmp_path):
    got = written(metrics.metrics(predictions), metrics.columns(), tmp_path)
    assert list(got.columns) == list(metrics.columns())
    baseline = got[got["branch"] == "baseline"]
    assert baseline["testset"].tolist() == ["faces"] * 2 + ["made"] * 2 + ["combined"] * 2
    assert baseline["threshold"].tolist() == ["0.5", "valid"] * 3
    half, chosen = (row for _, row in baseline.iloc[:2].iterrows())
    valid = predictions[Variant("resnet18", 0, "baseline")]["valid"]
    table = predictions[Variant("resnet18", 0, "baseline")]["faces"]
    label, logit = table["label"].to_numpy(), table["logit"].to_numpy()
    assert half["cut_logit"] == 0
    assert chosen["cut_logit"] == pytest.approx(best_cut(valid["label"], valid["logit"]), abs=1e-9)
    for row in (half, chosen):
        fake = logit < row["cut_logit"]
        recall, rest = fake[label == 0].mean(), (~fake)[label == 1].mean()
        assert row["balanced_accuracy"] == pytest.approx((recall + rest) / 2, rel=1e-5)
        assert row["recall"] == pytest.approx(recall, rel=1e-5)
        assert row["accuracy_low"] == pytest.approx(wilson(row["accuracy"], 600)[0], abs=1e-5)
    assert half["auc"] == chosen["auc"]
    assert half["accuracy"] != chosen["accuracy"]
    assert (got["positive"] == "fake").all()
    made = baseline[baseline["testset"] == "made"]
    names = ["balanced_accuracy", "auc", "auc_low", "average_precision", "eer", "tpr_at_1_percent_fpr"]
    assert made[names].isna().all(axis=None), "undefined without real images"
    assert made[["accuracy", "recall", "brier", "ece", "temperature"]].notna().all(axis=None)


def test_intervals_by_groups_are_there_where_groups_are_known(predictions, tmp_path):
    """Each image four times over, and known to be: the intervals of the images as they were."""

    def copied(table):
        return pd.concat([table.assign(group=table["path"], path=str(at) + table["path"]) for at in range(4)])

    four = {v: {name: copied(table) for name, table in sets.items()} for v, sets in predictions.items()}
    once, grouped = (written(metrics.metrics(p), metrics.columns(), tmp_path) for p in (predictions, four))
    assert (grouped["groups"] == once["n"]).all()
    for end in ("low", "high"):
        for name, plain in (("grouped", "accuracy"), ("auc_grouped", "auc")):
            assert once[f"{name}_{end}"].isna().all()
            assert grouped[f"{name}_{end}"].tolist() == pytest.approx(
                once[f"{plain}_{end}"].tolist(), abs=0.01, nan_ok=True
            )
    half = grouped["grouped_high"] - grouped["grouped_low"], grouped["accuracy_high"] - grouped["accuracy_low"]
    assert (half[0] > 1.8 * half[1]).all(), "not those of four times as many images"


def test_temperature_scaling_is_that_of_the_validation_images():
    """Logits three times as bold as they should be: scaled, they cost less."""
    rng = np.random.default_rng(0)

    def bold(n):
        honest = rng.normal(0, 2, n)
        table = images("faces", n, 0)
        return table.assign(label=(rng.random(n) < 1 / (1 + np.exp(-honest))).astype(int), logit=3 * honest)

    sets = {"valid": bold(4000), "faces": bold(4000)}
    row = metrics.metrics({Variant("resnet18", 0, "baseline"): sets})[0]
    assert row["temperature"] == temperature(sets["valid"]["label"], sets["valid"]["logit"])
    assert row["temperature"] == pytest.approx(3, rel=0.1)
    for name, factor in (("brier", 0.95), ("log_loss", 0.8), ("ece", 0.3)):
        assert row[f"{name}_scaled"] < factor * row[name]


def test_selection_sees_validation_images_alone(predictions):
    """Other test predictions leave cut and temperature as they are; other validation predictions do not."""

    def selected(found):
        return [(row["branch"], row["testset"], row["cut_logit"], row["temperature"]) for row in found]

    def replaced(which, seed):
        rng = np.random.default_rng(seed)
        return {
            variant: {
                name: table.assign(logit=rng.normal(0, 5, len(table)), label=np.roll(table["label"], seed))
                if (name == "valid") == which
                else table
                for name, table in sets.items()
            }
            for variant, sets in predictions.items()
        }

    before = metrics.metrics(predictions)
    others = metrics.metrics(replaced(which=False, seed=7))
    assert selected(others) == selected(before)
    assert [row["accuracy"] for row in others] != [row["accuracy"] for row in before], "nothing was replaced"
    moved = metrics.metrics(replaced(which=True, seed=7))
    assert all(a != b for a, b in zip(selected(moved)[1::2], selected(before)[1::2], strict=True))


def test_validation_images_of_one_class_choose_no_cut(predictions):
    for sets in predictions.values():
        sets["valid"] = sets["valid"][sets["valid"]["label"] == 0]
    rows = metrics.metrics(predictions)
    chosen = [row for row in rows if row["threshold"] == "valid"]
    assert chosen
    for row in chosen:
        assert math.isnan(row["cut_logit"])
        assert {"accuracy", "balanced_accuracy", "recall", "tp"}.isdisjoint(row)
        assert row["n"] in (600, 90, 690)


def test_a_set_without_images_is_empty(nothing, tmp_path):
    got = written(metrics.metrics(nothing), metrics.columns(), tmp_path)
    assert (got["n"] == 0).all()
    assert got[["accuracy", "accuracy_low", "auc", "brier", "temperature"]].isna().all(axis=None)


MATTHEWS = """import numpy as np

COLUMNS = ("matthews",)

def measure(label, logit):
    both = len(np.unique(label)) == len(np.unique(logit >= 0)) == 2
    return {"matthews": np.corrcoef(label, logit >= 0)[0, 1] if both else np.nan}
"""


def test_a_new_metric_is_a_new_file_and_nothing_else(predictions, tmp_path, monkeypatch):
    """Its column is the last; the others hold what they held."""
    before = written(metrics.metrics(predictions), metrics.columns(), tmp_path)
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    (tmp_path / "matthews.py").write_text(MATTHEWS)
    assert metric_modules.modules()[-1] == "detector.stats.metrics.matthews"
    after = written(metrics.metrics(predictions), metrics.columns(), tmp_path)
    assert list(after.columns) == [*before.columns, "matthews"]
    pd.testing.assert_frame_equal(after[before.columns], before)
    row = after[(after["testset"] == "faces") & (after["threshold"] == "valid")].iloc[0]
    table = predictions[Variant(row["arch"], row["seed"], row["branch"])]["faces"]
    called = table["logit"] >= row["cut_logit"]
    assert row["matthews"] == pytest.approx(np.corrcoef(table["label"], called)[0, 1], rel=1e-4)


@pytest.mark.parametrize("column", ["auc", "balanced_accuracy"])
def test_a_metric_takes_no_column_of_another(column, tmp_path, monkeypatch):
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    (tmp_path / f"other_{column}.py").write_text(MATTHEWS.replace('"matthews",', f'"{column}",'))
    with pytest.raises(
        DetectorError, match=f"other_{column}: found '{column}' in COLUMNS, expected a name that no"
    ):
        metrics.columns()
