"""Images of an earlier run come back with its labels and splits, whatever the seed, and no file is opened."""

import shutil

import pandas as pd
import pytest

from detector.core import parquet
from detector.core.errors import DetectorError
from detector.core.files import write_json
from detector.data import kinds, manifest
from detector.data.scanning import scan_source
from detector.imaging.preprocessing import Preprocessing
from tests.support.samples import write_picture

FRACTIONS = (0.5, 0.25, 0.25)
HOW = {"size": 16, "preprocess": "center_crop", "max_pixels": 10**6}


@pytest.fixture
def earlier(tmp_path):
    """The folder of a source of an earlier run, whose files are gone; and the run's manifest."""
    for number in range(12):
        write_picture(tmp_path / f"mine/{('real', 'fake/gan')[number % 2]}/{number}.png", number)
    root, options = tmp_path / "results/data/mine", {"type": "folder", "limit": {"train": 4}}
    scan = scan_source("mine", "folder", tmp_path / "mine", options, max_pixels=10**6)
    shutil.rmtree(tmp_path / "mine")
    root.mkdir(parents=True)
    table = manifest.build({"mine": scan}, {"mine": {"real/0.png"}}, {"mine": options}, FRACTIONS, 0)
    parquet.write(scan, root / "scan.parquet")
    parquet.write(table, root.parent / "manifest.parquet")
    write_json(root / "images.json", {"source": "mine", "preprocessing": Preprocessing.of(HOW).record()})
    (root / "bad.csv").write_text("path,error\nreal/0.png,broken\n")
    (root / "images.npy").touch()
    return root, table


def test_splits_limits_and_bad_images_are_those_of_the_run(earlier):
    root, table = earlier
    options = {"type": "run", "root": str(root)}
    scan = scan_source("mine", "run", root, options, max_pixels=1)
    bad = {"mine": {"real/0.png"}}
    again = manifest.build({"mine": scan}, bad, {"mine": options}, (1.0, 0.0, 0.0), 99)
    pd.testing.assert_frame_equal(again, table)
    assert set(table["split"]) == {"train", "valid", "test"}
    assert len(table) < len(scan), "what the run left out stays out, and keeps its row"
    records = kinds.module("run").scan(root, options)
    assert [record.path for record in records] == list(scan["path"])
    assert {record.generator for record in records if record.label == 0} == {"gan"}


def test_a_photograph_of_pairs_that_leaked_in_the_run_stays_out(tmp_path):
    """The run's audit dropped it (`audit.on_leak: drop`); the others are tested on, as they were."""
    write_picture(tmp_path / "mine/fake/gan/0.png", 0)
    for number in range(3):
        write_picture(tmp_path / f"photos/{number}.png", 1 + number)
    root = tmp_path / "results/data/mine"
    options = {"type": "folder", "pairs": str(tmp_path / "photos")}
    scan = scan_source("mine", "folder", tmp_path / "mine", options, max_pixels=10**6)
    table = manifest.build({"mine": scan}, {}, {"mine": options}, FRACTIONS, 0)
    table = table[table["path"] != "@pairs/1.png"].reset_index(drop=True)
    root.mkdir(parents=True)
    parquet.write(scan, root / "scan.parquet")
    parquet.write(table, root.parent / "manifest.parquet")
    write_json(root / "images.json", {"source": "mine"})
    again = scan_source("mine", "run", root, {"root": str(root)}, max_pixels=1)
    own = {"type": "run", "root": str(root)}
    found = manifest.build({"mine": again}, {}, {"mine": own}, FRACTIONS, 5)
    pd.testing.assert_frame_equal(found, table)
    assert found["path"].str.startswith("@pairs/").sum() == 2


def test_what_is_missing_or_packed_otherwise_is_one_error(earlier):
    root, _ = earlier
    module = kinds.module("run")
    assert kinds.missing_roots({"mine": {"type": "run", "root": str(root)}}) == ""
    module.check("mine", root, HOW)
    for name, how, words in (
        ("other", HOW, "data.sources.other: found the images of mine in"),
        ("mine", {**HOW, "size": 32}, "were packed with size: 16, and the configuration says size: 32"),
        ("mine", {**HOW, "preprocess": "resize"}, "preprocess: center_crop, and .*preprocess: None"),
    ):
        with pytest.raises(DetectorError, match=words):
            module.check(name, root, how)
    for name in ("images.npy", "../manifest.parquet"):
        (root / name).unlink()
        said = kinds.missing_roots({"mine": {"type": "run", "root": str(root)}})
        assert f"looked in: {root / name} (found: no such file; set data.sources.mine.root" in said
