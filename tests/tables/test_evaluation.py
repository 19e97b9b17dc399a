"""The tables of comparisons, metrics and generators hold what the logits say, selection looks at validation images
alone, and what cannot be said is empty or undecided."""

import math

import numpy as np
import pandas as pd
import pytest

from detector.core import tabular
from detector.core.errors import DetectorError
from detector.experiment.variants import Variant
from detector.stats import predictions as predictions_stats
from detector.stats.calibration import temperature
from detector.stats.intervals import paired_interval, wilson
from detector.stats.ranking import best_cut
from detector.stats.significance import equivalence, holm, mcnemar
from detector.tables import metrics, significance
from detector.tables.generators import PER_GENERATOR_COLUMNS, apart, per_generator


def images(source, n, seed, generators=("gan", "diffusion"), real=True):
    """n labelled images: every second one real, unless `real` is false; fakes by each generator in turn."""
    label = np.arange(n) % 2 if real else np.zeros(n, int)
    makers = [generators[i // 2 % len(generators)] if kind == 0 else "" for i, kind in enumerate(label)]
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "path": [f"{i}.png" for i in range(n)],
            "source": source,
            "generator": makers,
            "group": "",
            "label": label,
            "logit": rng.normal(np.where(label == 1, 1.2, -0.8), 1.5).astype(np.float32),
        }
    )


def turned(table, count):
    """The same predictions, those of the first `count` images turned around."""
    return table.assign(logit=table["logit"].where(np.arange(len(table)) >= count, -table["logit"]))


@pytest.fixture
def predictions():
    """A baseline, its dense control and two branches, on a set with both classes and one of fakes alone."""
    valid, faces, fakes = images("faces", 400, 1), images("faces", 600, 2), images("made", 90, 3, real=False)
    return {
        Variant("resnet18", 0, branch): {"valid": valid, "faces": turned(faces, count), "made": fakes}
        for branch, count in (("baseline", 0), ("l1-00", 3), ("l1-40", 9), ("l1-90", 300))
    }


def written(rows, columns, tmp_path):
    assert {name for row in rows for name in row} - set(columns) <= {"tp", "fp", "tn", "fn"}
    tabular.write_csv(rows, columns, tmp_path / "table.csv")
    return pd.read_csv(tmp_path / "table.csv", dtype={"threshold": str})


def test_comparisons(predictions, tmp_path):
    rows = significance.significance(predictions, 0.1)
    got = written(rows, significance.SIGNIFICANCE_COLUMNS, tmp_path)
    pairs = [
        ("l1-00", "baseline"),
        ("l1-40", "baseline"),
        ("l1-90", "baseline"),
        ("l1-40", "l1-00"),
        ("l1-90", "l1-00"),
    ]
    for name in ("faces", "made", "combined"):
        part = got[got["testset"] == name]
        assert list(zip(part["branch"], part["reference"], strict=True)) == pairs
    got = got.set_index(["testset", "reference", "branch"])

    right = {v.branch: predictions_stats.right(pd.concat([s["faces"], s["made"]])) for v, s in predictions.items()}
    row, ours, theirs = got.loc[("combined", "l1-00", "l1-40")], right["l1-40"], right["l1-00"]
    gained, lost = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    assert gained + lost == 6, "six images were turned around"
    assert row[["n", "only_reference_wrong", "only_branch_wrong"]].tolist() == [690, gained, lost]
    assert row["both_wrong"] == (~ours & ~theirs).sum()
    assert row["accuracy"] == pytest.approx(ours.mean(), rel=1e-5)
    assert row["reference_accuracy"] == pytest.approx(theirs.mean(), rel=1e-5)
    assert row["difference"] == pytest.approx(ours.mean() - theirs.mean(), rel=1e-4)
    expected = paired_interval(theirs, ours)
    assert row[["difference_low", "difference_high"]].tolist() == pytest.approx(expected, rel=1e-4)
    assert row["mcnemar_p"] == pytest.approx(mcnemar(gained, lost), rel=1e-4)
    assert row["equivalence_p"] == pytest.approx(equivalence(690, gained, lost, 0.1), rel=1e-4)
    assert row["margin"] == 0.1


def test_p_are_corrected_over_the_branches_of_a_run_test_set_and_reference(predictions):
    other = {Variant("resnet18", 1, v.branch): sets for v, sets in predictions.items()}
    rows = pd.DataFrame(significance.significance({**predictions, **other}, 0.05))
    families = rows.groupby(["seed", "testset", "reference"])
    assert families.ngroups == 12
    for _, family in families:
        for column in ("mcnemar_p", "equivalence_p"):
            assert family[f"{column}_holm"].tolist() == pytest.approx(holm(family[column]))


def test_verdicts(predictions):
    def found(margin):
        rows = pd.DataFrame(significance.significance(predictions, margin))
        return rows.set_index(["testset", "reference", "branch"])["verdict"]

    wide, narrow = found(0.1), found(0.001)
    assert wide["faces", "baseline", "l1-90"] == narrow["faces", "baseline", "l1-90"] == "worse"
    assert wide["faces", "baseline", "l1-40"] == "equivalent"
    assert narrow["faces", "baseline", "l1-40"] == "undecided: n too small"
    assert wide["made", "baseline", "l1-90"] == "equivalent", (
        "the same logits on 90 images, a margin of ten percent"
    )
    assert narrow["made", "baseline", "l1-90"] == "undecided: n too small", "the same logits prove nothing here"


def test_without_a_dense_control_the_baseline_is_the_only_reference(predictions):
    del predictions[Variant("resnet18", 0, "l1-00")]
    assert {row["reference"] for row in significance.significance(predictions, 0.01)} == {"baseline"}


def test_another_run_is_no_reference(predictions):
    moved = {Variant("resnet18", 1, v.branch) if v.branch == "l1-40" else v: s for v, s in predictions.items()}
    assert {row["seed"] for row in significance.significance(moved, 0.01)} == {0}


@pytest.mark.parametrize("change", [lambda t: t.iloc[:-1], lambda t: t.iloc[::-1], lambda t: t.assign(source="x")])
def test_other_images_are_refused(predictions, change):
    sets = predictions[Variant("resnet18", 0, "l1-40")]
    sets["faces"] = change(sets["faces"])
    with pytest.raises(
        DetectorError, match=r"l1-40, faces \(\d+ images\) and .*, baseline, faces \(600\) were not"
    ):
        significance.significance(predictions, 0.01)


def test_a_set_without_images_is_undecided_and_empty(tmp_path):
    none = images("faces", 0, 0)
    sets = {"valid": none, "faces": none}
    predictions = {Variant("resnet18", 0, branch): sets for branch in ("baseline", "l1-40")}
    got = written(significance.significance(predictions, 0.01), significance.SIGNIFICANCE_COLUMNS, tmp_path)
    assert (got["verdict"] == "undecided: n too small").all()
    assert got[["accuracy", "difference", "mcnemar_p", "equivalence_p_holm", "n_needed"]].isna().all(axis=None)
    got = written(metrics.metrics(predictions), metrics.METRICS_COLUMNS, tmp_path)
    assert (got["n"] == 0).all()
    assert got[["accuracy", "accuracy_low", "auc", "brier", "temperature"]].isna().all(axis=None)
    assert per_generator(predictions) == []


def test_metrics(predictions, tmp_path):
    got = written(metrics.metrics(predictions), metrics.METRICS_COLUMNS, tmp_path)
    assert list(got.columns) == list(metrics.METRICS_COLUMNS)
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


def test_images_of_a_group_count_together(predictions, tmp_path):
    for sets in predictions.values():
        sets["made"] = sets["made"].assign(group=[str(i // 9) for i in range(90)], logit=[-1.0] * 81 + [1.0] * 9)
    got = written(per_generator(predictions), PER_GENERATOR_COLUMNS, tmp_path)
    row = got[(got["testset"] == "made") & (got["generator"] == "all")].iloc[0]
    assert (row["n"], row["groups"], row["accuracy"]) == (90, 10, 0.9)
    # one prompt of ten is wrong in all its images: ten things were seen, not ninety
    assert row["grouped_low"] < wilson(0.9, 10)[0] + 0.02
    assert row["accuracy_low"] == pytest.approx(wilson(0.9, 90)[0], rel=1e-5)


def test_groups_that_share_a_member_are_one():
    found = apart(pd.Series(["id1|id0", "", "id0", "id2", "", "id3|id1", "id2"], index=range(5, 12)))
    assert found.tolist() == [0, 1, 0, 2, 3, 0, 2]


def test_each_generator_by_itself(predictions, tmp_path):
    got = written(per_generator(predictions), PER_GENERATOR_COLUMNS, tmp_path)
    mine = got[got["branch"] == "l1-40"]
    places = [("faces", "all", 600), ("faces", "real", 300), ("faces", "diffusion", 150), ("faces", "gan", 150)]
    places += [("made", "all", 90), ("made", "diffusion", 44), ("made", "gan", 46)]
    assert list(mine[["testset", "generator", "n"]].itertuples(index=False, name=None)) == places
    table = predictions[Variant("resnet18", 0, "l1-40")]["faces"]
    share = (table.loc[table["generator"] == "gan", "logit"] < 0).mean()
    assert mine["held_out"].fillna("").tolist() == ["", "", "no", "no", "", "no", "no"]
    assert mine[["groups", "grouped_low", "grouped_high"]].isna().all(axis=None), "none are known"
    held = written(per_generator(predictions, ["gan"]), PER_GENERATOR_COLUMNS, tmp_path)
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
    got = written(rows, PER_GENERATOR_COLUMNS, tmp_path).set_index("generator")
    assert got.index.is_unique
    assert got.loc["all", ["n", "accuracy", "accuracy_low"]].tolist() == pytest.approx(
        [8, 0.5, wilson(0.5, 8)[0]], rel=1e-5
    )
    assert got.loc["real", ["n", "accuracy"]].tolist() == [4, 0.75]
    assert got.loc["gan", ["n", "accuracy"]].tolist() == [1, 1]
    own = got.drop(["all", "real", "gan"])
    assert (own["n"].sum(), own["accuracy"].max()) == (3, 0)
    assert own.loc[f"fake: {name}", "held_out"] == "yes"
