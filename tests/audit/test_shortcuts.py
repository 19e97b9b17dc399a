"""On data whose file format, size or compression tells the class, the audit says that metadata alone separates it,
and by which; on fair data it says that it does not."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from detector.audit import shortcuts as shortcuts_module
from detector.data import manifest, scanning
from detector.data.records import of_frame
from tests.support import samples

COUNTS = {"train": 60, "valid": 2, "test": 25}  # of each class


def tree(root: Path, real: dict, fake: dict) -> None:
    """A source of the kind `folder`; `real`, `fake`: what `picture` takes."""
    seed = 0
    for split, count in COUNTS.items():
        for label, options in (("real", real), ("fake", fake)):
            for number in range(count):
                seed += 1
                picture(root / split / label / f"{number:03d}", seed, **options)


def picture(path: Path, seed: int, suffix: str = ".jpg", size=(16, 12), **save) -> None:
    samples.write_picture(path.with_suffix(suffix), seed, size, **save)


def audited(**sources: Path) -> list[dict]:
    scans = {
        name: scanning.scan_source(name, "folder", path, {}, max_pixels=10_000) for name, path in sources.items()
    }
    splits = manifest.build(scans, {}, {name: {"type": "folder"} for name in scans}, (0.8, 0.1, 0.1), 0)
    return shortcuts_module.shortcuts(splits, scans)


def test_photographs_that_only_test_has_do_not_switch_the_look_off(tmp_path):
    """A source of PNG fakes whose test set got JPEG photographs (`pairs`), beside a fair source."""
    tree(tmp_path / "fair", {}, {})
    tree(tmp_path / "fakes", {}, {"suffix": ".png"})
    scans = {
        name: scanning.scan_source(name, "folder", tmp_path / name, {}, max_pixels=10_000)
        for name in ("fair", "fakes")
    }
    splits = manifest.build(scans, {}, {name: {"type": "folder"} for name in scans}, (0.8, 0.1, 0.1), 0)
    splits = splits[(splits["source"] == "fair") | (splits["label"] == 0) | (splits["split"] == "test")]
    rows = shortcuts_module.shortcuts(splits, scans)
    assert area(rows, testset="fakes") > 0.95
    assert {"fakes": "shortcut"}.items() <= {
        r["source"]: r["verdict"] for r in shortcuts_module.verdicts(rows)
    }.items()
    assert next(r["against"] for r in rows if r["testset"] == "fakes") == "own"


def area(rows: list[dict], features: str = shortcuts_module.ALL, testset: str = "mine") -> float:
    return next(r["auc"] for r in rows if (r["testset"], r["features"]) == (testset, features))


@pytest.mark.parametrize(
    ("fake", "feature", "words"),
    [
        ({"suffix": ".png"}, "format", "format"),
        ({"size": (16, 16)}, "height", "height"),
        ({"mode": "L"}, "mode", "mode"),
        ({"quality": 90}, "quantisation", "JPEG quantisation"),
        ({"subsampling": 0}, "subsampling", "subsampling"),
        ({"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"}, "exif", "EXIF"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_confounded_data_are_said_to_be(tmp_path, fake, feature, words):
    tree(tmp_path, {}, fake)
    rows = audited(mine=tmp_path)
    assert area(rows) == area(rows, feature) == 1
    (verdict,) = shortcuts_module.verdicts(rows)
    assert verdict["verdict"] == "shortcut"
    assert verdict["sentence"].startswith("metadata alone separates mine (AUC 1.00; ")
    best = {r["features"] for r in rows if r["testset"] == "mine" and r["auc"] == 1} - {shortcuts_module.ALL}
    assert words in verdict["sentence"] or len(best) > 1, "several do, and it names one of them"


def test_fair_data_are_said_to_be(tmp_path):
    tree(tmp_path, {}, {})
    rows = audited(mine=tmp_path)
    assert abs(area(rows) - 0.5) < 0.2
    assert {row["n_train"] for row in rows} == {2 * COUNTS["train"]}, "learned from training images alone"
    (verdict,) = shortcuts_module.verdicts(rows)
    assert verdict["verdict"] == "clean"
    assert verdict["sentence"].startswith("metadata alone does not separate mine (AUC 0.")
    assert "95 %" in verdict["sentence"]


def test_a_source_of_fakes_alone_is_held_against_the_real_images_of_the_others(tmp_path):
    """The study's case: PNG fakes beside JPEG photographs."""
    tree(tmp_path / "fair", {}, {})
    for split, count in COUNTS.items():
        for number in range(count):
            picture(tmp_path / f"fakes/{split}/fake/{number:03d}", 9000 + 100 * len(split) + number, suffix=".png")
    rows = audited(fair=tmp_path / "fair", fakes=tmp_path / "fakes")
    verdicts = {row["source"]: row for row in shortcuts_module.verdicts(rows)}
    assert verdicts["fair"]["verdict"] == "clean"
    assert verdicts["fakes"]["verdict"] == "shortcut"
    assert "fakes from the real images of the other sources" in verdicts["fakes"]["sentence"]
    assert {row["against"] for row in rows if row["testset"] == "fakes"} == {"real of others"}
    (alone,) = shortcuts_module.verdicts(audited(fakes=tmp_path / "fakes"))
    assert alone["verdict"] == "unknown"
    assert "one class only" in alone["sentence"]


def test_what_two_sources_of_one_class_each_have_to_say_is_said_once(tmp_path):
    """Each is held against the other, which is all there is; beside a third each says something of its own."""
    for name, other in (("both", None), ("photos", "fake"), ("fakes", "real")):
        tree(tmp_path / name, {}, {})
        for folder in tmp_path.glob(f"{name}/*/{other}"):
            shutil.rmtree(folder)
    two = audited(photos=tmp_path / "photos", fakes=tmp_path / "fakes")
    assert [row["source"] for row in shortcuts_module.verdicts(two)] == ["combined"]
    three = audited(**{name: tmp_path / name for name in ("photos", "fakes", "both")})
    found = [row["source"] for row in shortcuts_module.verdicts(three)]
    assert sorted(found) == ["both", "combined", "fakes", "photos"]


def test_few_images_are_enough_where_the_format_tells_all(monkeypatch, tmp_path):
    for split in ("train", "test"):
        monkeypatch.setitem(COUNTS, split, shortcuts_module.FEWEST)
    tree(tmp_path, {}, {"suffix": ".png"})
    assert shortcuts_module.verdicts(audited(mine=tmp_path))[0]["verdict"] == "shortcut"


def test_too_few_images_to_say(monkeypatch, tmp_path):
    monkeypatch.setitem(COUNTS, "test", shortcuts_module.FEWEST - 1)
    tree(tmp_path, {}, {"suffix": ".png"})
    assert shortcuts_module.verdicts(audited(mine=tmp_path))[0]["verdict"] == "unknown"


@pytest.mark.parametrize(
    ("real", "fake", "words"),
    [
        (0, 12, "one class only"),
        (1, 1, "too few test images"),
        (0, 0, "too few test images"),
        (12, 12, "the images to learn from are of one class"),
    ],
)
def test_where_nothing_was_ranked_the_reason_is_true(real, fake, words):
    counts = {"n_real": real, "n_fake": fake}
    (found,) = shortcuts_module.verdicts([row(np.nan, np.nan, np.nan) | counts])
    assert (found["verdict"], words in found["sentence"]) == ("unknown", True)


def row(auc: float, low: float, high: float) -> dict:
    counts = {"against": "own", "n_train": 99, "n_real": 50, "n_fake": 50}
    return {
        "testset": "s",
        "features": shortcuts_module.ALL,
        "auc": auc,
        "auc_low": low,
        "auc_high": high,
        **counts,
    }


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0.97, 0.92, 0.99), "shortcut"),
        ((0.92, 0.85, 0.96), "part"),
        ((0.65, 0.55, 0.74), "clean"),
        ((1.0, np.nan, np.nan), "shortcut"),
        ((0.5, np.nan, np.nan), "clean"),
        ((0.02, 0.01, 0.05), "clean"),
    ],
)
def test_the_verdict_goes_by_the_lower_end_of_the_interval(values, expected):
    rows = [row(*values), {**row(0.8, 0.7, 0.9), "features": "format"}]
    assert shortcuts_module.verdicts(rows)[0]["verdict"] == expected


def test_videos_and_missing_metadata_are_no_obstacle():
    """A video has no mode and no quantisation; a source whose files all agree has nothing to learn from."""
    scan = pd.DataFrame({"format": ["MP4/h264"] * 40, "mode": "", "width": 32, "height": 32, "bytes": 900})
    scan = scan.assign(quantisation=np.nan, subsampling="", exif=False)
    images = pd.DataFrame({"source": "v", "split": ["train", "test"] * 20, "label": [0, 0, 1, 1] * 10})
    images = images.assign(row=range(40), path=[f"{number}.mp4" for number in range(40)])
    rows = shortcuts_module.shortcuts(images, {"v": scan})
    assert {r["auc"] for r in rows} == {0.5}


def test_metadata_of_a_video_count_once_however_many_frames_are_images(tmp_path):
    """They are the file's: repeated for each frame they would make the interval narrower, of no more evidence."""
    tree(tmp_path / "mine", {}, {"size": (16, 13)})
    scan = scanning.scan_source("mine", "folder", tmp_path / "mine", {}, max_pixels=10_000)
    splits = manifest.build({"mine": scan}, {}, {"mine": {"type": "folder"}}, (0.8, 0.1, 0.1), 0)
    several = pd.concat([splits.assign(path=[of_frame(path, n) for path in splits["path"]]) for n in range(3)])
    once, thrice = (
        shortcuts_module.shortcuts(t.reset_index(drop=True), {"mine": scan}) for t in (splits, several)
    )
    pd.testing.assert_frame_equal(pd.DataFrame(once), pd.DataFrame(thrice))
