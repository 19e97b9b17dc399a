"""A grid of samples keeps the pixels, says what it left out, and takes images from all over a source."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from detector.core.errors import DetectorError
from detector.figures import samples
from tests.support.figures import texts
from tests.support.samples import load_script


def test_a_sample_grid_keeps_the_pixels_and_says_what_it_left_out(tmp_path: Path) -> None:
    red = np.zeros((9, 4, 4, 3), np.uint8)
    red[..., 0] = 255
    samples.sample_grid(tmp_path / "one.png", {"real": red}, "")
    pixels = np.asarray(Image.open(tmp_path / "one.png").convert("RGB")).reshape(-1, 3)
    assert (pixels == (255, 0, 0)).all(axis=1).mean() > 0.5
    samples.sample_grid(tmp_path / "many.svg", {f"fake: {i}": red for i in range(15)}, "Many")
    assert "Many (first 12 of 15 rows)" in texts(tmp_path / "many.svg")
    with pytest.raises(DetectorError, match="no images"):
        samples.sample_grid(tmp_path / "none.png", {"real": red[:0]}, "")


def test_samples_are_spread_over_the_sorted_paths_with_real_first() -> None:
    script = load_script("figures/samples")
    table = pd.DataFrame(
        {
            "path": [f"{i:03d}" for i in range(32)][::-1],
            "label": [0] * 16 + [1] * 16,
            "generator": ["b", "a"] * 8 + [""] * 16,
            "row": range(32),
        }
    )
    chosen = script.choose(table)
    assert list(chosen) == ["real", "fake: a", "fake: b"]
    assert list(chosen["real"]) == [31, 29, 27, 25, 22, 20, 18, 16]
    assert list(chosen["fake: a"]) == [15, 13, 11, 9, 7, 5, 3, 1]
