"""A sheet of maps lights what speaks for the call, each map scaled to its highest value."""

import numpy as np
import pytest
from PIL import Image

from detector.core.errors import DetectorError
from detector.figures import gradcam
from tests.support.figures import texts, twice


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
