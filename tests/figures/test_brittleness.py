"""Brittleness fills what was shown, leaves its reference out, and is measured against the dense control first;
where groups are known its bars are theirs."""

import pandas as pd
import pytest

from detector.figures import brittleness, robustness
from detector.tables.robustness import COLUMNS
from detector.tables.robustness import robustness as robustness_table
from tests.support.figures import texts, twice
from tests.tables.test_robustness import SIZES, TABLE, logits


@pytest.fixture
def table(perturbed):
    return robustness.of_run(perturbed, "resnet18", 0)


def test_brittleness_fills_what_was_shown_and_leaves_its_reference_out(table, tmp_path):
    compared = table[table["reference"] == "baseline"]
    path = twice(lambda path: brittleness.brittleness(path, compared, "baseline", "title"), tmp_path)
    words = texts(path)
    assert "baseline" not in words
    assert any("that of baseline" in word for word in words)
    for verdict, hollow in (("undecided", True), ("more brittle", False), ("as brittle: more brittle", True)):
        drawn = tmp_path / "one.svg"
        brittleness.brittleness(drawn, compared.assign(verdict=verdict), "baseline", "title")
        markers = drawn.read_text().count("fill: #ffffff; stroke")
        assert (markers > 0) == hollow, verdict


def test_the_dense_control_is_the_reference_where_there_is_one(perturbed, tmp_path):
    baseline = perturbed[perturbed["reference"] != "l1-00"]
    for rows, said in ((perturbed, "that of l1-00"), (baseline, "that of baseline")):
        brittleness.draw(tmp_path / "x.svg", rows, "resnet18", 0)
        assert any(said in text for text in texts(tmp_path / "x.svg"))
    brittleness.draw(tmp_path / "x.svg", perturbed[perturbed["branch"] == "baseline"], "resnet18", 0)
    assert "there is nothing to compare" in texts(tmp_path / "x.svg")


def test_a_system_is_drawn_against_each_network(tmp_path):
    runs = {(name, 0): logits(seed, branches=("baseline",)) for seed, name in enumerate(("waves", "one", "two"))}
    table = pd.DataFrame(robustness_table(runs, TABLE, 0.02, SIZES, ["waves"]), columns=COLUMNS)
    brittleness.draw(tmp_path / "x.svg", table, "waves", 0)
    words = texts(tmp_path / "x.svg")
    assert [words.count(name) for name in ("one", "two", "baseline", "that of the network (points)")] == [
        1,
        1,
        0,
        1,
    ]
    brittleness.draw(tmp_path / "x.svg", table, "one", 0)
    assert "there is nothing to compare" in texts(tmp_path / "x.svg")


def test_bars_are_of_groups_where_they_are_known(perturbed):
    rows = perturbed.assign(groups=9.0, grouped_low=0.1, extra_grouped_high=0.2)
    rows.loc[rows["perturbation"] == "chat", "groups"] = float("nan")
    shown = robustness.of_run(rows, "resnet18", 0)
    for perturbation, known in (("jpeg-50", True), ("chat", False)):
        part = shown[shown["perturbation"] == perturbation]
        assert (part["accuracy_low"] == 0.1).all() == known
        assert (part["extra_high"] == 0.2).all() == known
