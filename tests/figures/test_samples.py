"""A grid of samples keeps the pixels, says what it left out, and takes images from all over a source."""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from detector.core.errors import DetectorError
from detector.core.files import write_json
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


def test_samples_are_what_the_network_sees(tmp_path: Path, monkeypatch) -> None:
    """Of images that are packed larger, the middle; other scripts that show pixels open stores alike."""
    script, shown = load_script("figures/samples"), {}
    red = np.zeros((2, 7, 7, 3), np.uint8)
    red[:, 1:5, 1:5, 0] = 255
    np.save(tmp_path / "images.npy", red)
    index = {"format": "detector-pack", "version": 1, "shape": red.shape, "dtype": "uint8"}
    write_json(tmp_path / "images.json", {**index, "preprocessing": {"size": 7, "centre": 4}})
    table = {"source": "s", "split": "train", "path": ["a", "b"], "label": [0, 1], "generator": "", "row": [0, 1]}
    pd.DataFrame(table).to_parquet(tmp_path / "manifest.parquet")
    monkeypatch.setattr(script.samples, "sample_grid", lambda _, rows, __: shown.update(rows))
    given = {"manifest": tmp_path / "manifest.parquet", "pack": tmp_path, "source": "s", "output": tmp_path / "f"}
    script.main(argparse.Namespace(**given))
    assert np.array_equal(np.concatenate(list(shown.values())), red[:, 1:5, 1:5])
    for name in ("gradcam", "spectrum"):
        assert load_script(f"figures/{name}").open_seen is script.open_seen
