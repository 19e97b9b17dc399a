"""What looks give is a paired difference on the same images, beside what they cost, timed in the same run;
images of one group are one draw."""

import numpy as np
import pandas as pd
import pytest

from detector.core.errors import DetectorError
from detector.experiment.variants import Variant
from detector.stats.intervals import paired_interval
from detector.tables.looks import COLUMNS, looks
from tests.support.tables import images, written

TIMES = {"latency_ms_median": 4.0, "latency_ms_p90": 5.0, "batch": 1, "device": "cpu", "threads": 2}
TIMES |= {"looks": 5, "looks_ms_median": 18.0, "looks_ms_p90": 20.0}
LATENCIES = {("resnet18", 0): pd.DataFrame([{"branch": name, **TIMES} for name in ("baseline", "l1-40")])}


def seen(source, n, seed, **more):
    """Images whose logits by one look are those of more looks with noise added."""
    table = images(source, n, seed, **more)
    noise = np.random.default_rng(seed + 100).normal(0, 3, n)
    return table.assign(one_look=(table["logit"] + noise).astype(np.float32))


@pytest.fixture
def predictions():
    sets = {
        "valid": seen("faces", 300, 1),
        "faces": seen("faces", 400, 2),
        "made": seen("made", 90, 3, real=False),
    }
    return {Variant("resnet18", 0, branch): sets for branch in ("baseline", "l1-40")}


def test_a_difference_is_that_of_the_same_images_and_stands_beside_the_cost(predictions, tmp_path):
    table = written(looks(predictions, LATENCIES), COLUMNS, tmp_path)
    assert table["testset"].tolist() == ["valid", "faces", "made", "combined"] * 2
    assert table["n"].tolist() == [300, 400, 90, 490] * 2
    row = table.set_index(["branch", "testset"]).loc[("l1-40", "faces")]
    of = predictions[Variant("resnet18", 0, "l1-40")]["faces"]
    right = {column: (of[column] >= 0) == (of["label"] == 1) for column in ("logit", "one_look")}
    assert row["accuracy"] == pytest.approx(right["logit"].mean(), abs=1e-5)
    assert row["accuracy_one_look"] == pytest.approx(right["one_look"].mean(), abs=1e-5)
    assert row["difference"] == pytest.approx(row["accuracy"] - row["accuracy_one_look"], abs=1e-5)
    low, high = paired_interval(right["one_look"], right["logit"])
    assert (row["difference_low"], row["difference_high"]) == pytest.approx((low, high), abs=1e-5)
    assert 0 < row["difference_low"] < row["difference"] < row["difference_high"], "the noise is seen"
    assert row["auc"] > row["auc_one_look"] > 0.5
    assert (row["looks"], row["batch"], row["device"], row["threads"]) == (5, 1, "cpu", 2)
    assert (row["latency_ms_median"], row["latency_ms_median_one_look"], row["times_slower"]) == (18, 4, 4.5)


def test_looks_that_change_nothing_show_nothing(predictions):
    same = {
        variant: {name: table.assign(one_look=table["logit"]) for name, table in sets.items()}
        for variant, sets in predictions.items()
    }
    for row in looks(same, LATENCIES):
        assert row["difference"] == 0
        assert row["difference_low"] < 0 < row["difference_high"]


def test_what_is_undefined_is_empty(predictions, tmp_path):
    none = {
        variant: {name: table[:0] if name == "faces" else table for name, table in sets.items()}
        for variant, sets in predictions.items()
    }
    table = written(looks(none, LATENCIES), COLUMNS, tmp_path).set_index(["branch", "testset"])
    assert table.loc[("baseline", "faces"), ["accuracy", "difference", "difference_low", "auc"]].isna().all()
    assert table.loc[("baseline", "made"), ["auc", "auc_one_look"]].isna().all(), "fakes alone"


@pytest.mark.parametrize("column", ["logit", "one_look"])
def test_a_logit_that_is_no_number_is_refused(predictions, column):
    first, *_ = predictions
    odd = predictions[first]["made"].copy()
    odd.loc[7, column] = np.nan
    predictions[first] = {**predictions[first], "made": odd}
    with pytest.raises(DetectorError, match=rf"baseline, made: found nan as the {column} of made: 7.png"):
        looks(predictions, LATENCIES)


def test_images_that_belong_together_are_one_draw(predictions, tmp_path):
    """Four copies of each image say no more than one, with groups; the columns of single images do not know."""
    four = {
        variant: {
            name: pd.concat([table.assign(group=table["path"], path=f"{at}-" + table["path"]) for at in range(4)])
            for name, table in sets.items()
        }
        for variant, sets in predictions.items()
    }
    once, grouped = (written(looks(given, LATENCIES), COLUMNS, tmp_path) for given in (predictions, four))
    assert once["groups"].isna().all(), "none are known"
    assert grouped["groups"].tolist() == once["n"].tolist()
    for end in ("low", "high"):
        expected = once[f"difference_{end}"].tolist()
        assert grouped[f"difference_grouped_{end}"].tolist() == pytest.approx(expected, abs=0.01)
    width, alone = (
        grouped[f"difference_{kind}high"] - grouped[f"difference_{kind}low"] for kind in ("grouped_", "")
    )
    assert (width > 1.8 * alone).all()
