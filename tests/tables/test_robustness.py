"""The difference of differences is counted as documented, its interval and tests hold their levels, also where
models rarely differ, images of a group are one draw, and robustness.csv says of a branch what its logits say."""

import argparse
import json
import math

import numpy as np
import pandas as pd
import pytest

from detector.core import parquet, tabular
from detector.core.errors import DetectorError
from detector.data.records import of_frame
from detector.stats.auc import auc
from detector.stats.changes import extra_equivalence, extra_interval, extra_p
from detector.stats.intervals import independent, paired_interval, wilson
from detector.stats.significance import holm
from detector.tables.robustness import COLUMNS, robustness
from tests.support.samples import load_script

SIZES = {"faces": 300, "made": 60}  # all test images are drawn
TABLE = {"jpeg-50": [{"jpeg": 50}], "chat": [{"scale": 0.5}, {"jpeg": 75}]}


def logits(seed=0, n=300, branches=("baseline", "l1-00", "l1-40", "l1-90")):
    """A run on one source with both classes and one of fakes; each branch is more brittle than the last."""
    rng = np.random.default_rng(seed)
    names = pd.DataFrame({"source": ["faces"] * n + ["made"] * 60, "path": [f"{i}.png" for i in range(n + 60)]})
    names["label"] = np.concatenate([np.arange(n) % 2, np.zeros(60, int)])
    names["generator"], names["group"] = np.where(names["label"] == 1, "", "gan"), ""
    shared = rng.normal(np.where(names["label"] == 1, 2, -2), 1.2)
    parts = []
    for i, branch in enumerate(branches):
        clean = shared + rng.normal(0, 0.1, len(names))
        changed = {name: clean + 0.5 * i + rng.normal(0, 0.4, len(names)) for name in TABLE}
        parts.append(names.assign(branch=branch, clean=clean, **changed))
    return pd.concat(parts, ignore_index=True)


def right(part, name):
    return (part[name] >= 0).to_numpy() == (part["label"] == 1).to_numpy()


def test_a_worked_example():
    """100 images: 20 of +1, 8 of -1, 2 of -2, the others 0."""
    extra = np.repeat([1, -1, -2, 0], [20, 8, 2, 70])
    mean = (20 - 8 - 4) / 102
    variance = ((20 + 8 + 8 + 2) / 102 - mean**2) / 102
    assert extra_interval(extra) == pytest.approx(
        (mean - 1.959964 * variance**0.5, mean + 1.959964 * variance**0.5)
    )
    assert extra_p(extra) == pytest.approx(math.erfc(mean / math.sqrt(2 * variance)))


def test_against_a_reference_that_does_not_change_it_is_the_paired_interval():
    rng = np.random.default_rng(1)
    before, after = rng.random(200) < 0.8, rng.random(200) < 0.7
    assert extra_interval(after.astype(int) - before) == pytest.approx(paired_interval(before, after), rel=1e-9)


# Shares of images whose difference is -2, -1, +1, +2.
SHARES = [
    (0.003, 0.11, 0.11, 0.003),
    (0, 0.25, 0.05, 0),
    (0.15, 0.16, 0.16, 0.15),
    (0.03, 0, 0, 0.03),
    (0, 0.005, 0, 0),
]


def drawn(n, shares, rounds, seed):
    """Counts of -2, -1, 1, 2 and 0 in each of `rounds` sets of n images."""
    return np.random.default_rng(seed).multinomial(n, [*shares, 1 - sum(shares)], size=rounds)


def images(counts):
    return np.repeat([-2, -1, 1, 2, 0], counts)


@pytest.mark.parametrize("n", [50, 300, 2000])
@pytest.mark.parametrize("shares", SHARES)
def test_the_interval_covers_at_its_level_and_the_test_keeps_its_size(n, shares):
    rounds = 1500
    true = np.dot([-2, -1, 1, 2], shares)
    covered = rejected = 0
    for counts in drawn(n, shares, rounds, n):
        extra = images(counts)
        low, high = extra_interval(extra)
        covered += low <= true <= high
        rejected += extra_p(extra) < 0.05
    assert covered / rounds >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / rounds)
    if true == 0:
        assert rejected / rounds <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / rounds)


@pytest.mark.parametrize("n", [541, 728, 2000, 10000])
@pytest.mark.parametrize("rare", [0, 0.001, 0.005, 0.02])
def test_what_differs_by_the_margin_is_rarely_called_as_brittle(n, rare):
    margin, rounds = 0.005, 1000
    shares = (0.1 * rare, margin + 0.9 * rare, 0.9 * rare, 0.1 * rare)
    called = np.mean([extra_equivalence(images(counts), margin) < 0.05 for counts in drawn(n, shares, rounds, n)])
    assert called <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / rounds)


def test_the_least_number_of_images_is_that_of_the_other_test_of_equivalence():
    """`significance.equivalence` needs 725 images that never differ for a margin of 0.005."""
    zeros = np.zeros(725, int)
    assert extra_equivalence(zeros[:724], 0.005) >= 0.05 > extra_equivalence(zeros, 0.005)
    assert extra_equivalence(np.zeros(20000, int), 0.005) < 1e-6
    assert extra_equivalence(np.repeat([0, 1], [1000, 1000]), 0.005) > 0.99


def test_without_images_there_is_nothing():
    none = np.zeros(0, int)
    assert all(math.isnan(x) for x in (*extra_interval(none), extra_p(none), extra_equivalence(none, 0.1)))


def test_videos_count_as_one_with_all_their_frames(tmp_path):
    """The rule's script: one source has three frames of each; its rows are of the means, its size is in videos."""
    columns, offsets = ["clean", *TABLE], (-0.5, 0.0, 0.5)
    whole = logits()
    whole[columns] = whole[columns].astype(np.float32)
    frames = pd.concat([whole] * 3, ignore_index=True)
    frames[columns] += np.repeat(offsets, len(whole)).astype(np.float32)[:, None]
    frames["path"] = [of_frame(path, n) for n in range(3) for path in whole["path"]]
    frames = pd.concat([frames[frames["source"] == "faces"], whole[whole["source"] == "made"]])
    found = []
    for name, rows in (("one", whole), ("three", frames.sort_values("path", kind="stable"))):
        run = tmp_path / name / "resnet18/seed0/perturbed.parquet"
        run.parent.mkdir(parents=True)
        parquet.write(rows.reset_index(drop=True), run)
        images = rows[rows["branch"] == "baseline"][["source", "path"]].assign(split="test")
        parquet.write(images.reset_index(drop=True), tmp_path / name / "manifest.parquet")
        given = {"perturbations": json.dumps([*TABLE.items()]), "margin": 0.02, "inputs": [run], "systems": []}
        given |= {"manifest": tmp_path / name / "manifest.parquet", "output": tmp_path / f"{name}.csv"}
        load_script("tables/robustness").main(argparse.Namespace(**given))
        found.append(pd.read_csv(given["output"]).sort_values(["testset", "branch", "perturbation", "reference"]))
    one, three = (table.reset_index(drop=True) for table in found)
    assert three["n"].tolist() == one["n"].tolist()
    numbers = ["accuracy", "accuracy_low", "auc", "change", "extra", "extra_p"]
    pd.testing.assert_frame_equal(one[numbers], three[numbers], rtol=1e-3, atol=1e-3)


@pytest.fixture
def table(tmp_path):
    rows = robustness({("resnet18", 0): logits()}, TABLE, 0.02, SIZES)
    assert {name for row in rows for name in row} == {name for name in COLUMNS if "group" not in name} - {
        "n_independent"
    }
    tabular.write_csv(rows, COLUMNS, tmp_path / "table.csv")
    return pd.read_csv(tmp_path / "table.csv")


def test_which_rows_there_are(table):
    assert table["testset"].unique().tolist() == ["faces", "made", "combined"]
    faces = table[table["testset"] == "faces"]
    found = list(zip(faces["branch"], faces["perturbation"], faces["reference"].fillna(""), strict=True))
    expected = []
    for branch, references in (
        ("baseline", [""]),
        ("l1-00", ["baseline"]),
        ("l1-40", ["baseline", "l1-00"]),
        ("l1-90", ["baseline", "l1-00"]),
    ):
        expected.append((branch, "clean", ""))
        expected += [(branch, name, reference) for name in TABLE for reference in references]
    assert found == expected
    assert table["verdict"].isna().equals(table["reference"].isna())
    named = table.set_index("perturbation")
    assert set(named.loc["chat", "steps"]) == {"scale 0.5, jpeg 75"}
    assert set(named.loc["chat", "kind"]) == {"chain"}
    assert named.loc["chat", "value"].isna().all()
    assert set(named.loc["jpeg-50", "value"]) == {50}


def test_the_numbers_of_a_row(table):
    run = logits()
    row = table.set_index(["testset", "branch", "perturbation", "reference"]).loc[
        ("faces", "l1-90", "chat", "l1-00")
    ]
    ours, theirs = (run[(run["branch"] == name) & (run["source"] == "faces")] for name in ("l1-90", "l1-00"))
    before, after = right(ours, "clean"), right(ours, "chat")
    change, other = after.astype(int) - before, right(theirs, "chat").astype(int) - right(theirs, "clean")
    assert row["n"] == 300
    assert row["accuracy"] == pytest.approx(after.mean(), rel=1e-5)
    assert (row["accuracy_low"], row["accuracy_high"]) == pytest.approx(wilson(after.mean(), 300), rel=1e-5)
    label = ours["label"].to_numpy()
    assert row["recall_fake"] == pytest.approx(after[label == 0].mean(), rel=1e-5)
    assert row["recall_real"] == pytest.approx(after[label == 1].mean(), rel=1e-5)
    assert row["auc"] == pytest.approx(auc(label, ours["chat"]), rel=1e-5)
    assert row["auc_change"] == pytest.approx(auc(label, ours["chat"]) - auc(label, ours["clean"]), rel=1e-4)
    assert row["change"] == pytest.approx(change.mean(), rel=1e-4)
    assert (row["change_low"], row["change_high"]) == pytest.approx(paired_interval(before, after), rel=1e-4)
    assert row["reference_change"] == pytest.approx(other.mean(), rel=1e-4)
    assert row["extra"] == pytest.approx((change - other).mean(), rel=1e-4)
    assert (row["extra_low"], row["extra_high"]) == pytest.approx(extra_interval(change - other), rel=1e-4)
    assert row["extra_p"] == pytest.approx(extra_p(change - other), rel=1e-4)
    assert row["equivalence_p"] == pytest.approx(extra_equivalence(change - other, 0.02), rel=1e-4)


def test_combined_holds_all_and_a_set_of_fakes_has_no_auc(table):
    n = table.groupby("testset")["n"].unique().map(list).to_dict()
    assert n == {"faces": [300], "made": [60], "combined": [360]}
    made = table[table["testset"] == "made"]
    assert made[["auc", "auc_change", "recall_real"]].isna().all(axis=None)
    assert (made["recall_fake"] == made["accuracy"]).all()


def drawn_from(big, small, seed=0, most=2000):
    """A run that was shown `most` of `big` images of one source, half of them real, and all `small` fakes of
    another; what it would have said of all images, and how many there are of each source."""
    rng = np.random.default_rng(seed)
    label = np.concatenate([np.arange(big) % 2, np.zeros(small, int)])
    names = pd.DataFrame(
        {"source": ["faces"] * big + ["made"] * small, "label": label, "generator": "", "group": ""}
    )
    names["path"] = [f"{i}.png" for i in range(big + small)]
    right = rng.random(big + small) < np.where(names["source"] == "faces", 0.95, 0.6)
    clean = np.where(right == (label == 1), 1.0, -1.0)
    whole = names.assign(branch="baseline", clean=clean, **dict.fromkeys(TABLE, clean))
    shown = rng.permutation(big)[:most]
    return whole[(whole["source"] == "made") | whole.index.isin(shown)], whole, {"faces": big, "made": small}


def test_combined_weighs_sources_as_all_test_images_do():
    """Of the large source a tenth was drawn, of the small one all: together, a tenth of each counts."""
    run, whole, sizes = drawn_from(20000, 2400)
    rows = robustness({("resnet18", 0): run}, TABLE, 0.02, sizes)
    clean = {row["testset"]: row for row in rows if row["perturbation"] == "clean"}
    assert [clean[name]["n"] for name in ("faces", "made", "combined")] == [2000, 2400, 2240]
    combined = clean["combined"]
    assert combined["accuracy"] == pytest.approx(right(whole, "clean").mean(), abs=4 * (0.09 * 0.91 / 2240) ** 0.5)
    assert abs(combined["accuracy"] - right(run, "clean").mean()) > 0.1, "all that was drawn weighs otherwise"
    assert (combined["accuracy_low"], combined["accuracy_high"]) == pytest.approx(
        wilson(combined["accuracy"], 2240)
    )
    both = {0: combined["recall_fake"], 1: combined["recall_real"]}
    share = (whole["label"] == 1).mean()
    assert share * both[1] + (1 - share) * both[0] == pytest.approx(combined["accuracy"], abs=1e-3)


def test_the_interval_of_combined_holds_the_accuracy_on_all_test_images():
    held = 0
    for seed in range(100):
        run, whole, sizes = drawn_from(600, 60, seed, most=200)
        rows = robustness({("resnet18", 0): run}, {}, 0.02, sizes)
        (row,) = [row for row in rows if row["testset"] == "combined"]
        held += row["accuracy_low"] <= right(whole, "clean").mean() <= row["accuracy_high"]
    assert held / 100 >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / 100)


def test_all_branches_are_counted_on_the_same_part():
    run, _, sizes = drawn_from(20000, 2400)
    other = run.assign(branch="l1-40", clean=-run["clean"])
    rows = robustness({("resnet18", 0): pd.concat([run, other])}, TABLE, 0.02, sizes)
    accuracies = [
        row["accuracy"] for row in rows if row["testset"] == "combined" and row["perturbation"] == "clean"
    ]
    assert sum(accuracies) == pytest.approx(1)


def test_p_are_corrected_over_branches_and_perturbations():
    rows = robustness({("a", 0): logits(), ("a", 1): logits(1)}, TABLE, 0.02, SIZES)
    table = pd.DataFrame([row for row in rows if "reference" in row])
    families = table.groupby(["seed", "testset", "reference"])
    assert families.ngroups == 12
    for (_, _, reference), family in families:
        assert len(family) == (6 if reference == "baseline" else 4)
        for column in ("extra_p", "equivalence_p"):
            assert family[f"{column}_holm"].tolist() == pytest.approx(holm(family[column]))


def test_a_system_is_compared_with_the_baseline_of_each_network_of_its_seed():
    """On the same images, corrected over all systems of the seed, and networks' rows are as without systems."""
    networks = {("one", 0): logits(), ("two", 0): logits(1), ("one", 1): logits(2)}
    alone = {(name, 0): logits(seed, branches=("baseline",)) for seed, name in ((3, "waves"), (4, "linear"))}
    rows = robustness({**networks, **alone}, TABLE, 0.02, SIZES, ["waves", "linear"])
    n = len(networks_alone := robustness(networks, TABLE, 0.02, SIZES))
    pd.testing.assert_frame_equal(pd.DataFrame(rows[:n]), pd.DataFrame(networks_alone))
    found = pd.DataFrame(rows[n:])
    assert set(found["branch"]) == {"baseline"}
    compared = found[found["reference"].notna()]
    assert set(compared["perturbation"]) == set(TABLE)
    assert found[found["reference"].isna()]["perturbation"].tolist() == ["clean"] * 6
    families = compared.groupby(["testset", "reference"])
    assert {reference for _, reference in families.groups} == {"one", "two"}
    for (testset, reference), family in families:
        assert len(family) == 4
        for column in ("extra_p", "equivalence_p"):
            assert family[f"{column}_holm"].tolist() == pytest.approx(holm(family[column]))
        theirs = networks[reference, 0].query("branch == 'baseline'")
        for row in family.itertuples():
            ours, shown = alone[row.arch, 0], theirs["source"].isin([testset] if testset != "combined" else SIZES)
            after, before = (right(ours, name)[shown].astype(int) for name in (row.perturbation, "clean"))
            change = right(theirs, row.perturbation)[shown].astype(int) - right(theirs, "clean")[shown]
            assert row.change == pytest.approx((after - before).mean())
            assert row.reference_change == pytest.approx(change.mean())
            assert row.extra == pytest.approx((after - before - change).mean())
    other = alone["linear", 0].iloc[::-1]
    with pytest.raises(
        DetectorError, match=r"one, seed 0, baseline, \S+ \(360 images\) and linear, seed 0, baseline,"
    ):
        robustness({**networks, ("linear", 0): other}, TABLE, 0.02, SIZES, ["linear"])


def test_verdicts_in_words(table):
    faces = table[table["testset"] == "faces"].set_index(["reference", "branch", "perturbation"])["verdict"]
    assert faces["baseline", "l1-90", "chat"] == "more brittle"
    turned = logits()
    turned["branch"] = turned["branch"].map(
        {"baseline": "l1-90", "l1-00": "l1-00", "l1-40": "l1-40", "l1-90": "baseline"}
    )
    rows = robustness({("a", 0): turned}, TABLE, 0.02, SIZES)
    found = {
        (r["branch"], r["testset"], r["perturbation"]): r["verdict"]
        for r in rows
        if r.get("reference") == "baseline"
    }
    assert found["l1-90", "faces", "chat"] == "less brittle"
    same = pd.concat([logits(n=4000).query("branch == 'l1-00'").assign(branch=b) for b in ("baseline", "l1-40")])
    found = {
        row["verdict"]
        for row in robustness({("a", 0): same}, TABLE, 0.02, {"faces": 4000, "made": 60})
        if "verdict" in row
    }
    assert found == {"as brittle", "undecided: n too small"}, "60 images of the fakes prove nothing"


def test_other_images_are_refused():
    run = logits()
    missing = run.drop(run[run["branch"] == "l1-40"].index[:1])
    with pytest.raises(
        DetectorError, match=r"l1-40, \S+ \(359 images\) and .*, baseline, \S+ \(360\) were not shown"
    ):
        robustness({("resnet18", 0): missing}, TABLE, 0.02, SIZES)
    run.loc[run["branch"] == "l1-90", "path"] = run.loc[run["branch"] == "l1-90", "path"].to_numpy()[::-1]
    with pytest.raises(DetectorError, match="same images in the same order"):
        robustness({("resnet18", 0): run}, TABLE, 0.02, SIZES)


def test_no_images_give_an_empty_table():
    rows = robustness({("a", 0): logits().iloc[:0]}, TABLE, 0.02, SIZES)
    assert rows == []


def test_images_that_belong_together_are_one_draw():
    """Four copies of each image say no more than one, with groups; the columns of single images do not know."""
    run = logits(n=600)
    sizes = {"faces": 600, "made": 60}
    once = pd.DataFrame(robustness({("resnet18", 0): run}, TABLE, 0.02, sizes), columns=COLUMNS)
    four = pd.concat([run.assign(group=run["path"], path=f"{at}-" + run["path"]) for at in range(4)])
    rows = robustness({("resnet18", 0): four}, TABLE, 0.02, {name: 4 * size for name, size in sizes.items()})
    assert {name for row in rows for name in row} == set(COLUMNS)
    grouped = pd.DataFrame(rows, columns=COLUMNS)
    assert (grouped["n"] == 4 * once["n"]).all()
    assert (grouped["groups"] == once["n"]).all()
    compared = once["reference"].notna()
    for end in ("low", "high"):
        for name, kept in (("", once["testset"] != ""), ("change_", once["change"].notna()), ("extra_", compared)):
            expected = once.loc[kept, f"{name or 'accuracy_'}{end}"].tolist()
            assert grouped.loc[kept, f"{name}grouped_{end}"].tolist() == pytest.approx(expected, abs=0.01)
    wide, narrow = (grouped[f"extra_{kind}high"] - grouped[f"extra_{kind}low"] for kind in ("grouped_", ""))
    assert (wide[compared] > 1.8 * narrow[compared]).all()
    assert grouped.loc[compared, "extra_p"].tolist() == pytest.approx(
        once.loc[compared, "extra_p"].tolist(), abs=0.02
    )
    found, expected = (np.log(part.loc[compared, "equivalence_p"].clip(lower=1e-4)) for part in (grouped, once))
    assert found.tolist() == pytest.approx(expected.tolist(), abs=0.5)
    many = compared & (once["n"] > 100)
    assert grouped.loc[many, "verdict"].equals(once.loc[many, "verdict"])
    assert once.loc[many, "verdict"].nunique() > 1


def test_of_one_group_nothing_is_shown():
    rows = robustness({("resnet18", 0): logits().assign(group="a")}, TABLE, 0.02, SIZES)
    compared = [row for row in rows if "reference" in row and row["testset"] != "combined"]
    assert {row["verdict"] for row in compared} == {"undecided: n too small"}
    assert all(math.isnan(row["extra_p"]) and math.isnan(row["equivalence_p"]) for row in compared)


def test_groups_hold_the_level_that_their_images_do_not():
    """40 groups of ten images, most of which turn together, of two models of which neither is more brittle."""
    rng = np.random.default_rng(5)
    group = np.repeat(np.arange(40), 10)
    rejected = []
    for _ in range(1000):
        together, alone = rng.choice([-2, -1, 0, 1, 2], (2, 400), p=[0.02, 0.1, 0.76, 0.1, 0.02])
        extra = np.where(rng.random(400) < 0.6, together[group], alone)
        count = independent(extra.astype(float), group, differences=True)
        rejected.append([extra_p(extra, count) < 0.05, extra_p(extra) < 0.05])
    by_groups, by_images = np.mean(rejected, axis=0)
    assert by_groups <= 0.07
    assert by_images > 0.2


def test_two_sources_have_groups_of_their_own_and_one_may_know_none():
    """Names joined by | tie groups, images without a name stand alone, and "a" of another source is another."""
    run = logits(n=12)
    names = ["a", "a|b", "b", "c", "", ""] * 2
    some = run["source"] == "faces"
    four = run.assign(group=np.where(some, np.array(names)[run["path"].str[:-4].astype(int) % 12], ""))
    rows = pd.DataFrame(
        robustness({("resnet18", 0): four}, TABLE, 0.02, {"faces": 12, "made": 60}), columns=COLUMNS
    )
    groups = rows.groupby("testset")["groups"].unique()
    assert groups["faces"].tolist() == [6], "a and b, c, and four alone"
    assert np.isnan(groups["made"]).all()
    assert groups["combined"].tolist() == [66]
    both = four.assign(group=np.where(some, four["group"], "a"))
    rows = pd.DataFrame(
        robustness({("resnet18", 0): both}, TABLE, 0.02, {"faces": 12, "made": 60}), columns=COLUMNS
    )
    assert rows.groupby("testset")["groups"].unique()["combined"].tolist() == [7], "a of the other is another"


def test_of_images_that_are_worth_fewer_the_formulas_are_those_of_so_many():
    extra = np.random.default_rng(8).choice([-2, -1, 0, 1, 2], 300, p=[0.01, 0.05, 0.9, 0.03, 0.01])
    copies = np.tile(extra, 4)
    assert extra_interval(copies, 300) == pytest.approx(extra_interval(extra))
    assert extra_p(copies, 300) == pytest.approx(extra_p(extra))
    for margin in (0.005, 0.05):
        assert extra_equivalence(copies, margin, 300) == pytest.approx(extra_equivalence(extra, margin))


def test_the_number_of_independent_images_is_that_of_differences():
    run = logits().assign(group=lambda table: table["path"].str[:-5])
    row = next(r for r in robustness({("resnet18", 0): run}, TABLE, 0.02, SIZES) if "n_independent" in r)
    parts = {name: run[(run["branch"] == name) & (run["source"] == "faces")] for name in ("l1-00", "baseline")}
    ours, theirs = (
        right(part, row["perturbation"]).astype(float) - right(part, "clean") for part in parts.values()
    )
    group = pd.factorize(parts["l1-00"]["group"].where(parts["l1-00"]["group"] != "", parts["l1-00"]["path"]))[0]
    assert row["n_independent"] == pytest.approx(independent(ours - theirs, group, differences=True))
