"""Accuracy on perturbed images has a panel for each kind, in order of strength, and every branch."""

import pandas as pd
import pytest

from detector.core.errors import DetectorError
from detector.figures import robustness
from detector.imaging.perturbations import CLEAN
from tests.support.figures import texts, twice


@pytest.fixture
def table(perturbed):
    return robustness.of_run(perturbed, "resnet18", 0)


def test_accuracy_has_a_panel_a_kind_and_every_branch(table, tmp_path):
    path = twice(lambda path: robustness.robustness(path, table, "title"), tmp_path)
    words = texts(path)
    assert words.count(CLEAN) == 2, "in the panel of JPEG and in that of the chains"
    for word in ("JPEG quality", "chains of steps", "50", "chat", "baseline", "l1-00", "l1-40", "l1-90"):
        assert words.count(word) == 1, word
    with pytest.raises(DetectorError, match="no row of a perturbed image"):
        robustness.robustness(path, table[table["kind"] == CLEAN], "title")


def test_places_are_in_order_of_strength(table, tmp_path):
    rows = table[table["perturbation"] == "jpeg-50"]
    more = [rows.assign(perturbation=f"jpeg-{value}", value=value) for value in (30, 95, 75)]
    path = tmp_path / "figure.svg"
    robustness.robustness(path, pd.concat([table, *more]), "title")
    numbers = [word for word in texts(path) if word in ("30", "50", "75", "95", "clean")]
    places = [numbers.index(word) for word in ("clean", "95", "75", "50")]
    assert places == sorted(places)


def test_branches_differ_in_more_than_colour():
    names = ["baseline", "l1-00", *(f"l1-{n}" for n in (10, 20, 30, 40, 60, 80, 90, 95)), "random-40"]
    styles = robustness.styles_of_branches(names)
    assert list(styles) == names
    assert len({style["marker"] for style in styles.values()}) == len(names)


def test_a_run_without_test_images_says_so(perturbed, tmp_path):
    robustness.draw(tmp_path / "none.svg", perturbed, "resnet18", 7)
    assert "there are no test images" in texts(tmp_path / "none.svg")
