"""Comparisons hold what the logits say, are corrected for their number, and are undecided where nothing was
shown."""

import pandas as pd
import pytest

from detector.core.errors import DetectorError
from detector.experiment.variants import Variant
from detector.stats import predictions as predictions_stats
from detector.stats.intervals import paired_interval
from detector.stats.significance import equivalence, holm, mcnemar
from detector.tables.significance import COLUMNS, significance
from tests.support.tables import written
from tests.tables.conftest import turned


def test_comparisons(predictions, tmp_path):
    rows = significance(predictions, 0.1)
    got = written(rows, COLUMNS, tmp_path)
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
    rows = pd.DataFrame(significance({**predictions, **other}, 0.05))
    families = rows.groupby(["seed", "testset", "reference"])
    assert families.ngroups == 12
    for _, family in families:
        for column in ("mcnemar_p", "equivalence_p"):
            assert family[f"{column}_holm"].tolist() == pytest.approx(holm(family[column]))


def test_verdicts(predictions):
    def found(margin):
        rows = pd.DataFrame(significance(predictions, margin))
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
    assert {row["reference"] for row in significance(predictions, 0.01)} == {"baseline"}


def test_another_run_is_no_reference(predictions):
    moved = {Variant("resnet18", 1, v.branch) if v.branch == "l1-40" else v: s for v, s in predictions.items()}
    assert {row["seed"] for row in significance(moved, 0.01)} == {0}


def test_systems_are_compared_with_the_baseline_of_each_network_of_their_seed(predictions):
    """And corrected for how many there are; the rows of the networks stay as they are."""
    baseline = predictions[Variant("resnet18", 0, "baseline")]
    alone = significance(predictions, 0.05)
    more = {Variant("resnet50", seed, "baseline"): baseline for seed in (0, 1)}
    more |= {Variant(f"system-{count}", 0, "baseline"): turned_all(baseline, count) for count in (9, 300)}
    rows = significance({**predictions, **more}, 0.05, ["system-9", "system-300"])
    assert rows[: len(alone)] == alone
    found = pd.DataFrame(rows[len(alone) :])
    assert set(found["arch"]) == {"system-9", "system-300"}
    assert set(found["branch"]) == {"baseline"}
    families = found.groupby(["testset", "reference"], sort=False)
    assert list(families.groups) == [
        (name, network) for network in ("resnet18", "resnet50") for name in ("faces", "made", "combined")
    ]
    for _, family in families:
        assert family["arch"].tolist() == ["system-9", "system-300"]
        for column in ("mcnemar_p", "equivalence_p"):
            assert family[f"{column}_holm"].tolist() == pytest.approx(holm(family[column]))
    assert (found["equivalence_p_holm"] > found["equivalence_p"] + 1e-4).any(), "else nothing is corrected"
    worse = found.set_index(["arch", "testset", "reference"]).loc[("system-300", "faces", "resnet18")]
    turned = predictions[Variant("resnet18", 0, "l1-90")]["faces"]
    own, theirs = (predictions_stats.right(table) for table in (turned, baseline["faces"]))
    assert worse["difference"] == pytest.approx(own.mean() - theirs.mean())
    assert worse["verdict"] == "worse"


def turned_all(sets, count):
    return {name: turned(table, count if name == "faces" else 0) for name, table in sets.items()}


@pytest.mark.parametrize("change", [lambda t: t.iloc[:-1], lambda t: t.iloc[::-1], lambda t: t.assign(source="x")])
def test_other_images_are_refused(predictions, change):
    sets = predictions[Variant("resnet18", 0, "l1-40")]
    sets["faces"] = change(sets["faces"])
    with pytest.raises(
        DetectorError, match=r"l1-40, faces \(\d+ images\) and .*, baseline, faces \(600\) were not"
    ):
        significance(predictions, 0.01)


def test_a_set_without_images_is_undecided_and_empty(nothing, tmp_path):
    got = written(significance(nothing, 0.01), COLUMNS, tmp_path)
    assert (got["verdict"] == "undecided: n too small").all()
    assert got[["accuracy", "difference", "mcnemar_p", "equivalence_p_holm", "n_needed"]].isna().all(axis=None)


def test_images_of_a_group_are_no_more_evidence_than_one(predictions, tmp_path):
    """Each image four times over, and known to be: about the rows of the images as they were, and no firmer."""

    def copied(table):
        return pd.concat([table.assign(group=table["path"], path=str(at) + table["path"]) for at in range(4)])

    four = {v: {name: copied(table) for name, table in sets.items()} for v, sets in predictions.items()}
    blind = {v: {name: table.assign(group="") for name, table in sets.items()} for v, sets in four.items()}
    once, grouped, single = (
        written(significance(given, 0.03), COLUMNS, tmp_path).set_index(["testset", "reference", "branch"])
        for given in (predictions, four, blind)
    )
    assert (grouped["groups"] == once["n"]).all()
    assert (grouped["n"] == 4 * once["n"]).all()
    assert grouped["mcnemar_p"].tolist() == pytest.approx(once["mcnemar_p"].tolist(), rel=1e-4)
    assert grouped["equivalence_p"].tolist() == pytest.approx(once["equivalence_p"].tolist(), abs=0.03)
    assert grouped["n_independent"].tolist() == pytest.approx(once["n"].tolist(), rel=0.05)
    for end in ("low", "high"):
        assert grouped[f"grouped_{end}"].tolist() == pytest.approx(once[f"difference_{end}"].tolist(), abs=0.004)
    assert grouped["verdict"].tolist() == once["verdict"].tolist()
    assert (single["verdict"] != once["verdict"]).any(), "copies are taken for evidence"
    for name in ("groups", "n_independent", "grouped_low", "grouped_high"):
        assert once[name].isna().all(), "no groups are known"


def test_of_one_group_nothing_is_shown(predictions):
    one = {v: {name: table.assign(group="a") for name, table in sets.items()} for v, sets in predictions.items()}
    for row in significance(one, 0.5):
        if row["testset"] != "combined":  # groups of two sources have nothing in common
            assert row["verdict"] == "undecided: n too small"
            assert row["mcnemar_p"] == 1
