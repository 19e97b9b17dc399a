"""A branch's gain is split into more training and pruning: the parts add up, each control is the right one,
seeds have an interval only where there are several, and images that belong together are one draw."""

import numpy as np
import pandas as pd
import pytest

from detector.core import tabular
from detector.core.errors import DetectorError
from detector.experiment.variants import Variant
from detector.stats.intervals import paired_interval
from detector.stats.predictions import right
from detector.tables.ablation import COLUMNS, ablation

BRANCHES = ("baseline", "l1-00", "l1-40", "l1-90", "matched-40")
ADAM, SGD = {"optimizer": "Adam", "learning_rate": 1e-4}, {"optimizer": "SGD", "learning_rate": 1e-6}
WRONG = {"baseline": 120, "l1-00": 119, "l1-40": 80, "l1-90": 300, "matched-40": 60}


def images(wrong, seed):
    """400 images of which as many are called wrong, others for each seed."""
    rng = np.random.default_rng([wrong, seed])
    label = np.arange(400) % 2
    logit = np.where(label == 1, 1.0, -1.0)
    logit[rng.choice(400, wrong + seed, replace=False)] *= -1
    return pd.DataFrame(
        {"path": [f"{i}" for i in range(400)], "source": "s", "group": "", "label": label, "logit": logit}
    )


def study(seeds):
    predictions = {
        Variant("resnet18", seed, branch): {"valid": images(9, 0), "faces": images(WRONG[branch], seed)}
        for seed in range(seeds)
        for branch in BRANCHES
    }
    metas = {
        variant: {}
        if variant.branch == "baseline"
        else {"hyperparameters": SGD if variant.branch == "l1-00" else ADAM}
        for variant in predictions
    }
    metas[Variant("resnet18", seeds - 1, "l1-90")] = {"hyperparameters": SGD}
    return predictions, metas


def written(rows, folder):
    tabular.write_csv(rows, COLUMNS, folder / "ablation.csv")
    return pd.read_csv(folder / "ablation.csv", dtype={"seed": str}, keep_default_na=False, na_values={"n": ""})


def test_the_parts_add_up_and_every_control_fits(tmp_path):
    table = written(ablation(*study(3), 0.005), tmp_path)
    assert table["branch"].unique().tolist() == ["l1-40", "l1-90"], "a control is no branch of its own"
    assert table["seed"].unique().tolist() == ["0", "1", "2", "all"]
    assert table["testset"].unique().tolist() == ["faces", "combined"]
    for (branch, seed, control), rows in table.groupby(["branch", "seed", "control"]):
        if control:
            same = control == "matched-40" or (branch, seed) == ("l1-90", "2")
            assert rows["part"].tolist() == ["more training", "pruning"] * 2
            assert set(rows["same_settings"]) == {"yes" if same else "no"}
    parts = table.groupby(["branch", "testset", "seed", "control"])["difference"].sum().unstack()
    assert parts["l1-00"].to_numpy() == pytest.approx(parts[""].to_numpy(), abs=2e-6)
    matched = parts["matched-40"].dropna()
    assert matched.to_numpy() == pytest.approx(parts.loc[matched.index, ""].to_numpy(), abs=2e-6)
    found = set(table.loc[table["control"] == "matched-40", ["branch", "seed"]].itertuples(index=False, name=None))
    assert ("l1-40", "all") in found
    assert ("l1-90", "1") in found, "it happened to find the same settings"
    assert ("l1-90", "2") not in found, "it did not"
    assert ("l1-90", "all") not in found


def test_settings_are_the_same_where_all_that_was_searched_is(tmp_path):
    """Whatever else a search says of itself, and whichever knobs it had."""
    predictions, metas = study(1)
    more = {"weight_decay": 0.1, "augment": [{"jpeg": 75}], "clip": None}
    for branch, other in (("l1-00", {"branch": "l1-00", "trial": 1}), ("l1-40", {"branch": "l1-40", "trial": 3})):
        metas[Variant("resnet18", 0, branch)] = {"hyperparameters": {**ADAM, **more, **other}}
    metas[Variant("resnet18", 0, "l1-90")] = {"hyperparameters": {**ADAM, **more, "weight_decay": 0.2}}
    table = written(ablation(predictions, metas, 0.005), tmp_path)
    dense = table[table["control"] == "l1-00"].groupby("branch")["same_settings"].unique()
    assert [list(said) for said in dense[["l1-40", "l1-90"]]] == [["yes"], ["no"]]


def test_a_seed_s_numbers_are_those_of_its_networks(tmp_path):
    predictions, metas = study(2)
    table = written(ablation(predictions, metas, 0.005), tmp_path)
    row = table[(table["seed"] == "1") & (table["part"] == "pruning") & (table["control"] == "l1-00")].iloc[0]
    first, second = (right(predictions[Variant("resnet18", 1, name)]["faces"]) for name in ("l1-00", "l1-40"))
    assert (row["branch"], row["n"], row["seeds"]) == ("l1-40", 400, 1)
    assert row["difference"] == pytest.approx(40 / 400 - 1 / 400)
    assert (row["images_low"], row["images_high"]) == pytest.approx(paired_interval(first, second), rel=1e-5)
    assert row["verdict"] == "better (one training run)"
    assert set(row[["seeds_low", "seeds_high", "both_low", "both_high"]]) == {""}


def test_all_seeds_have_intervals_over_both(tmp_path):
    table = written(ablation(*study(3), 0.005), tmp_path)
    row = table[(table["seed"] == "all") & (table["branch"] == "l1-90") & (table["part"] == "total")].iloc[0]
    assert row["difference"] == pytest.approx(-180 / 400)
    assert float(row["both_low"]) <= float(row["images_low"]) < row["difference"]
    assert (row["seeds"], row["verdict"]) == (3, "worse")
    wide = written(ablation(*study(3), 0.9), tmp_path)
    assert wide.loc[row.name, "verdict"] == "equivalent: worse within the margin"


def test_a_gain_that_hangs_on_one_seed_is_not_called_a_gain(tmp_path):
    predictions, metas = study(3)
    for variant, sets in predictions.items():
        wrong = 120 - {0: 60, 1: 2, 2: 1}[variant.seed] * (variant.branch == "l1-40")
        table = sets["faces"]
        right_way = np.where(table["label"] == 1, 1.0, -1.0)
        sets["faces"] = table.assign(logit=np.where(np.arange(400) < wrong, -right_way, right_way))
    table = written(ablation(predictions, metas, 0.005), tmp_path)
    row = table[(table["seed"] == "all") & (table["branch"] == "l1-40") & (table["part"] == "total")].iloc[0]
    assert float(row["images_low"]) > 0, "by the images of these networks alone it would be one"
    assert float(row["both_low"]) < 0
    assert row["verdict"] == "undecided"


def test_one_seed_says_nothing_of_others(tmp_path):
    table = written(ablation(*study(1), 0.005), tmp_path)
    rows = table[table["seed"] == "all"]
    assert (rows[["seeds_low", "seeds_high", "both_low", "both_high"]] == "").all(axis=None)
    assert rows["verdict"].str.endswith("(one training run)").all()


def test_other_images_are_refused():
    predictions, metas = study(2)
    some = Variant("resnet18", 1, "l1-40")
    predictions[some] = {**predictions[some], "faces": predictions[some]["faces"].iloc[::-1]}
    with pytest.raises(DetectorError, match=r"resnet18, seed 1, l1-40, faces .*400 images.* same images"):
        ablation(predictions, metas, 0.005)


def test_a_branch_that_was_taught_says_by_whom(tmp_path):
    predictions, metas = study(2)
    for seed in range(2):
        metas[Variant("resnet18", seed, "l1-40")] |= {"teacher": {"name": "baseline", "sha256": "0"}}
        metas[Variant("resnet18", seed, "l1-90")] |= {"teacher": None}
    table = written(ablation(predictions, metas, 0.005), tmp_path)
    assert set(table[table["branch"] == "l1-40"]["teacher"]) == {"baseline"}
    assert set(table[table["branch"] == "l1-90"]["teacher"]) == {""}


def test_settings_differ_where_the_teacher_does(tmp_path):
    """The dense control cannot teach itself; whose network it was in each seed does not matter."""
    predictions, metas = study(2)
    for variant in metas:
        if variant.branch != "baseline":
            name = "baseline" if variant.branch == "l1-00" else "l1-00"
            metas[variant] = {"hyperparameters": ADAM, "teacher": {"name": name, "sha256": f"{variant.seed}"}}
    table = written(ablation(predictions, metas, 0.005), tmp_path)
    same = table[table["branch"] == "l1-40"].groupby("control")["same_settings"].unique()
    assert [list(same[control]) for control in ("l1-00", "matched-40")] == [["no"], ["yes"]]


def started(predictions, metas):
    """The study once more, from weights: `wrong` images less in each of its networks."""
    more = {
        Variant(f"{variant.arch}@lite", variant.seed, variant.branch): {
            name: images(max(0, WRONG[variant.branch] - 30), variant.seed) if name == "faces" else table
            for name, table in sets.items()
        }
        for variant, sets in predictions.items()
        if variant.branch != "matched-40"
    }
    facts = {variant: metas[Variant("resnet18", variant.seed, variant.branch)] for variant in more}
    return predictions | more, metas | facts


def test_a_start_is_compared_with_the_same_branch_from_scratch(tmp_path):
    predictions, metas = started(*study(3))
    table = written(ablation(predictions, metas, 0.005), tmp_path)
    rows = table[table["part"] == "start"]
    assert set(rows["arch"]) == {"resnet18@lite"}
    assert set(rows["control"]) == {"resnet18"}
    assert rows["branch"].unique().tolist() == ["baseline", "l1-00", "l1-40", "l1-90"], "that both have"
    assert rows["seed"].unique().tolist() == ["0", "1", "2", "all"]
    assert rows["difference"].to_numpy() == pytest.approx(30 / 400)
    assert rows["same_settings"].tolist() == [""] * 8 + ["yes"] * 24
    one = rows[(rows["seed"] == "1") & (rows["branch"] == "baseline") & (rows["testset"] == "faces")].iloc[0]
    first, second = (
        right(predictions[Variant(arch, 1, "baseline")]["faces"]) for arch in ("resnet18", "resnet18@lite")
    )
    assert (one["images_low"], one["images_high"]) == pytest.approx(paired_interval(first, second), rel=1e-5)
    every = rows[(rows["seed"] == "all") & (rows["branch"] == "l1-40")].iloc[0]
    assert (every["seeds"], every["verdict"]) == (3, "better")
    assert table[table["arch"] == "resnet18"].equals(written(ablation(*study(3), 0.005), tmp_path))


def test_a_start_without_the_same_from_scratch_has_no_row_and_other_settings_are_said(tmp_path):
    predictions, metas = started(*study(2))
    metas[Variant("resnet18@lite", 1, "l1-40")] = {"hyperparameters": SGD}
    rows = pd.DataFrame(ablation(predictions, metas, 0.005)).query("part == 'start' and testset == 'faces'")
    said = rows[rows["branch"] == "l1-40"].set_index("seed")["same_settings"]
    assert said.to_dict() == {0: "yes", 1: "no", "all": "no"}
    alone = {variant: sets for variant, sets in predictions.items() if variant.arch != "resnet18"}
    table = pd.DataFrame(ablation(alone, {variant: metas[variant] for variant in alone}, 0.005))
    assert "start" not in set(table["part"])


@pytest.mark.parametrize(
    ("first", "second", "starts"),
    [("resnet18", "resnet18+ela", set()), ("resnet18+ela", "resnet18@lite+ela", {"resnet18+ela"})],
)
def test_a_start_is_compared_on_the_same_pixels(first, second, starts):
    names = {"resnet18": first, "resnet18@lite": second}
    renamed = [
        {Variant(names[one.arch], one.seed, one.branch): of for one, of in each.items()}
        for each in started(*study(1))
    ]
    rows = [row for row in ablation(*renamed, 0.005) if row["part"] == "start"]
    assert {row["control"] for row in rows} == starts


def of_groups(predictions, name):
    """The predictions with the groups that `name` gives: a function of the number of an image."""
    return {
        variant: {
            which: table.assign(group=[name(at) for at in range(len(table))]) for which, table in sets.items()
        }
        for variant, sets in predictions.items()
    }


def test_images_that_belong_together_are_one_draw(tmp_path):
    """Four copies of each image say no more than one, with groups; the columns of single images do not know."""
    predictions, metas = study(3)
    four = {
        variant: {
            name: pd.concat([table.assign(path=f"{at}" + table["path"]) for at in range(4)], ignore_index=True)
            for name, table in sets.items()
        }
        for variant, sets in predictions.items()
    }
    once, grouped = (
        pd.DataFrame(ablation(given, metas, 0.05), columns=COLUMNS)
        for given in (predictions, of_groups(four, lambda at: f"{at % 400}"))
    )
    assert once[["groups", "both_grouped_low", "images_grouped_high"]].isna().all(axis=None), "none are known"
    assert (grouped["groups"] == 400).all()
    for end in ("low", "high"):
        expected = once[f"images_{end}"]
        assert grouped[f"images_grouped_{end}"].tolist() == pytest.approx(expected.tolist(), abs=0.004)
        assert grouped[f"both_grouped_{end}"].tolist() == pytest.approx(
            once[f"both_{end}"].tolist(), abs=0.004, nan_ok=True
        )
    width, alone = (grouped[f"images{kind}_high"] - grouped[f"images{kind}_low"] for kind in ("_grouped", ""))
    assert (width > 1.5 * alone).all()


def test_a_verdict_is_of_groups_where_they_are_known(tmp_path):
    """Of ten groups, the branch gains all images of one and loses none: to groups that is chance."""
    predictions, metas = study(2)
    for variant, sets in predictions.items():
        table = sets["faces"]
        right_way = np.where(table["label"] == 1, 1.0, -1.0)
        wrong = np.arange(400) < (0 if variant.branch == "l1-40" else 40) + variant.seed
        sets["faces"] = table.assign(logit=np.where(wrong, -right_way, right_way))
    for known, said in ((lambda at: "", "better"), (lambda at: f"{at // 40}", "undecided")):
        rows = ablation(of_groups(predictions, known), metas, 0.005)
        found = {
            (row["seed"], row["verdict"]) for row in rows if (row["branch"], row["part"]) == ("l1-40", "total")
        }
        assert found == {("all", said), *((seed, f"{said} (one training run)") for seed in (0, 1))}


def test_two_sources_have_groups_of_their_own_and_names_may_be_joined():
    predictions, metas = study(1)
    two = {
        variant: {
            **sets,
            "made": sets["faces"].assign(source="t", group="a"),
            "none": sets["faces"].assign(source="u"),
        }
        for variant, sets in of_groups(predictions, lambda at: ["a", "a|b", "b", "c"][at % 4]).items()
    }
    for variant in two:
        two[variant]["none"] = two[variant]["none"].assign(group="")
    rows = pd.DataFrame(ablation(two, metas, 0.005), columns=COLUMNS)
    groups = rows.groupby("testset")["groups"].unique()
    assert groups["faces"].tolist() == [2]
    assert groups["made"].tolist() == [1]
    assert np.isnan(groups["none"]).all()
    assert groups["combined"].tolist() == [403]
    of_one = rows[rows["testset"] == "made"]
    assert set(of_one["verdict"]) == {"undecided (one training run)"}


def test_what_a_start_gains_is_of_groups_too():
    predictions, metas = study(1)
    both = {Variant("resnet18@own", v.seed, v.branch): sets for v, sets in predictions.items()}
    told = {Variant("resnet18@own", v.seed, v.branch): meta for v, meta in metas.items()}
    rows = ablation({**of_groups({**predictions, **both}, lambda at: f"{at // 4}")}, {**metas, **told}, 0.005)
    starts = [row for row in rows if row["part"] == "start"]
    assert starts
    assert {row["groups"] for row in starts} == {100}
