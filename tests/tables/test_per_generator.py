"""Each generator is measured by itself, images of a group count together, and no two rows share a name."""

import pandas as pd
import pytest

from detector.experiment.variants import Variant
from detector.stats.groups import apart
from detector.stats.intervals import wilson
from detector.tables.per_generator import COLUMNS, per_generator
from tests.support.tables import images, written


def test_images_of_a_group_count_together(predictions, tmp_path):
    for sets in predictions.values():
        sets["made"] = sets["made"].assign(group=[str(i // 9) for i in range(90)], logit=[-1.0] * 81 + [1.0] * 9)
    got = written(per_generator(predictions), COLUMNS, tmp_path)
    row = got[(got["testset"] == "made") & (got["generator"] == "all")].iloc[0]
    assert (row["n"], row["groups"], row["accuracy"]) == (90, 10, 0.9)
    # one prompt of ten is wrong in all its images: ten things were seen, not ninety
    assert row["grouped_low"] < wilson(0.9, 10)[0] + 0.02
    assert row["accuracy_low"] == pytest.approx(wilson(0.9, 90)[0], rel=1e-5)


def test_groups_that_share_a_member_are_one():
    found = apart(pd.Series(["id1|id0", "", "id0", "id2", "", "id3|id1", "id2"], index=range(5, 12)))
    assert found.tolist() == [0, 1, 0, 2, 3, 0, 2]


def test_each_generator_by_itself(predictions, tmp_path):
    got = written(per_generator(predictions), COLUMNS, tmp_path)
    mine = got[got["branch"] == "l1-40"]
    places = [("faces", "all", 600), ("faces", "real", 300), ("faces", "diffusion", 150), ("faces", "gan", 150)]
    places += [("made", "all", 90), ("made", "diffusion", 44), ("made", "gan", 46)]
    assert list(mine[["testset", "generator", "n"]].itertuples(index=False, name=None)) == places
    table = predictions[Variant("resnet18", 0, "l1-40")]["faces"]
    share = (table.loc[table["generator"] == "gan", "logit"] < 0).mean()
    assert mine["held_out"].fillna("").tolist() == ["", "", "no", "no", "", "no", "no"]
    assert mine[["groups", "grouped_low", "grouped_high"]].isna().all(axis=None), "none are known"
    held = written(per_generator(predictions, ["gan"]), COLUMNS, tmp_path)
    assert set(zip(held["generator"], held["held_out"].fillna(""), strict=True)) == {
        *(("all", ""), ("real", ""), ("diffusion", "no"), ("gan", "yes"))
    }
    row = mine[(mine["testset"] == "faces") & (mine["generator"] == "gan")].iloc[0]
    assert row["accuracy"] == pytest.approx(share, rel=1e-5)
    assert row[["accuracy_low", "accuracy_high"]].tolist() == pytest.approx(wilson(share, 150), rel=1e-5)


@pytest.mark.parametrize("name", ["all", "real", "fake: all"])
def test_a_generator_may_have_the_name_of_another_row(name, tmp_path):
    """A folder of fakes called `all` or `real` is not taken for all images, or for the real ones."""
    label = [1, 1, 1, 1, 0, 0, 0, 0]
    table = images("faces", 8, 0).assign(label=label, generator=[*[""] * 4, name, name, "all", "gan"])
    table["logit"] = [1.0, 1.0, 1.0, -1.0, 1.0, 1.0, 1.0, -1.0]  # one of four real images is wrong, one fake right
    predictions = {Variant("resnet18", 0, "baseline"): {"valid": table, "faces": table}}
    rows = per_generator(predictions, [name])
    got = written(rows, COLUMNS, tmp_path).set_index("generator")
    assert got.index.is_unique
    assert got.loc["all", ["n", "accuracy", "accuracy_low"]].tolist() == pytest.approx(
        [8, 0.5, wilson(0.5, 8)[0]], rel=1e-5
    )
    assert got.loc["real", ["n", "accuracy"]].tolist() == [4, 0.75]
    assert got.loc["gan", ["n", "accuracy"]].tolist() == [1, 1]
    own = got.drop(["all", "real", "gan"])
    assert (own["n"].sum(), own["accuracy"].max()) == (3, 0)
    assert own.loc[f"fake: {name}", "held_out"] == "yes"


def test_a_set_without_images_has_no_row(nothing):
    assert per_generator(nothing) == []
