"""Figures of what was probed are whole files that repeat byte for byte and show what they were given."""

import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from detector.core import tabular
from detector.core.errors import DetectorError
from detector.figures import drawing, gradcam, spectra
from detector.figures import robustness as robustness_figure
from detector.imaging.perturbations import CLEAN
from detector.stats.spectra import Spectrum
from detector.tables.robustness import COLUMNS, robustness
from tests.tables.test_robustness import SIZES, TABLE, logits


@pytest.fixture
def table(tmp_path):
    rows = robustness({("resnet18", 0): logits()}, TABLE, 0.02, SIZES)
    tabular.write_csv(rows, COLUMNS, tmp_path / "robustness.csv")
    table = pd.read_csv(tmp_path / "robustness.csv")
    return table[table["testset"] == "combined"]


def texts(path):
    return re.findall(r">([^<>\n]+)</text>", path.read_text())


def twice(draw, tmp_path, suffix="svg"):
    """The path of a figure that was drawn two times, to equal bytes."""
    paths = [tmp_path / f"{i}.{suffix}" for i in range(2)]
    for path in paths:
        draw(path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    return paths[0]


def test_accuracy_has_a_panel_a_kind_and_every_branch(table, tmp_path):
    path = twice(lambda path: robustness_figure.robustness(path, table, "title"), tmp_path)
    words = texts(path)
    assert words.count(CLEAN) == 2, "in the panel of JPEG and in that of the chains"
    for word in ("JPEG quality", "chains of steps", "50", "chat", "baseline", "l1-00", "l1-40", "l1-90"):
        assert words.count(word) == 1, word
    with pytest.raises(DetectorError, match="no row of a perturbed image"):
        robustness_figure.robustness(path, table[table["kind"] == CLEAN], "title")


def test_places_are_in_order_of_strength(table, tmp_path):
    rows = table[table["perturbation"] == "jpeg-50"]
    more = [rows.assign(perturbation=f"jpeg-{value}", value=value) for value in (30, 95, 75)]
    path = tmp_path / "figure.svg"
    robustness_figure.robustness(path, pd.concat([table, *more]), "title")
    numbers = [word for word in texts(path) if word in ("30", "50", "75", "95", "clean")]
    places = [numbers.index(word) for word in ("clean", "95", "75", "50")]
    assert places == sorted(places)


def test_brittleness_fills_what_was_shown_and_leaves_its_reference_out(table, tmp_path):
    compared = table[table["reference"] == "baseline"]
    path = twice(lambda path: robustness_figure.brittleness(path, compared, "baseline", "title"), tmp_path)
    words = texts(path)
    assert "baseline" not in words
    assert any("that of baseline" in word for word in words)
    for verdict, hollow in (("undecided", True), ("more brittle", False), ("as brittle: more brittle", True)):
        drawn = tmp_path / "one.svg"
        robustness_figure.brittleness(drawn, compared.assign(verdict=verdict), "baseline", "title")
        markers = drawn.read_text().count("fill: #ffffff; stroke")
        assert (markers > 0) == hollow, verdict


def test_branches_differ_in_more_than_colour():
    names = ["baseline", "l1-00", *(f"l1-{n}" for n in (10, 20, 30, 40, 60, 80, 90, 95)), "random-40"]
    styles = robustness_figure._styles(names)
    assert list(styles) == names
    assert len({style["marker"] for style in styles.values()}) == len(names)


def test_a_sheet_lights_what_speaks_for_the_call(tmp_path):
    image = np.full((32, 32, 3), 200, np.uint8)
    found = np.zeros((4, 4), np.float32)
    found[0, 3] = 5  # up and to the right
    rows = {"right": [(image, found, "is real, P(fake) 0.1")], "wrong": []}
    path = twice(lambda path: gradcam.heat_maps(path, rows, "title"), tmp_path, "png")
    svg = tmp_path / "sheet.svg"
    gradcam.heat_maps(svg, rows, "title")
    assert "is real, P(fake) 0.1" in texts(svg)
    assert "(no image)" in texts(svg)
    with Image.open(path) as sheet:
        assert min(sheet.size) > 100
    with pytest.raises(DetectorError, match="no examples to show"):
        gradcam.heat_maps(path, {"right": [], "wrong": []}, "title")


def test_a_map_is_scaled_to_its_highest_value():
    found = np.zeros((4, 4), np.float32)
    found[0, 3] = 0.02
    large = gradcam._enlarged(found, 32)
    assert large.shape == (32, 32)
    assert large.max() == 1
    assert large[:8, 24:].mean() > 0.5
    assert large[16:, :16].max() == 0
    assert not gradcam._enlarged(np.zeros((4, 4)), 32).any()


def some(level, n=30):
    rng = np.random.default_rng(int(level))
    return Spectrum(rng.normal(level, 1, (16, 16)), rng.normal(level, 1, (n, 8)))


def test_spectra_of_both_classes_and_of_one(tmp_path):
    path = twice(lambda p: spectra.mean_spectra(p, {"real": some(1), "fake": some(4)}, "title"), tmp_path)
    words = texts(path)
    assert {"real (n = 30)", "fake (n = 30)", "fake less real", "real", "fake"} <= set(words)
    spectra.mean_spectra(path, {"fake": some(4)}, "title")
    assert "fake less real" not in texts(path)
    with pytest.raises(DetectorError, match="no images"):
        spectra.mean_spectra(path, {}, "title")
    one = {"real": some(1, n=1), "fake": some(4, n=1)}
    spectra.mean_spectra(path, one, "title")


def test_a_note(tmp_path):
    path = twice(lambda path: drawing.note(path, "title", "there is nothing"), tmp_path)
    assert {"title", "there is nothing"} <= set(texts(path))
