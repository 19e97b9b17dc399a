"""The manifest has the study's counts, names every bad file, and depends on paths and seed alone."""

import argparse
import json
import os
import random
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from detector.core import parquet
from detector.core.errors import DetectorError
from detector.core.files import sha256
from detector.core.labels import FAKE, REAL
from detector.data import kinds, manifest, packing, periods, scanning
from detector.data.records import Record, file_of, of_frame
from detector.data.sources import cifake, synthbuster
from detector.data.splits import STUDY_FRACTIONS
from detector.data.store import open_store
from detector.imaging import decoding, preprocessing
from tests.support import samples

LIMIT = 1_000_000  # pixels
OPTIONS = {
    "faces": {"type": "faces140k"},
    "celeb": {"type": "celebdf"},
    "synth": {"type": "synthbuster"},
}


def scan(name: str, kind: str, root: Path, **more) -> pd.DataFrame:
    options = more.pop("options", {})
    return scanning.scan_source(name, kind, root, options, max_pixels=LIMIT, **more)


@pytest.fixture
def scans(tiny_tree):
    return {name: scan(name, o["type"], tiny_tree / o["type"]) for name, o in OPTIONS.items()}


def build(scans, bad=None, options=OPTIONS, seed=0):
    return manifest.build(scans, bad or {}, options, STUDY_FRACTIONS, seed)


# --- the full-size counts -------------------------------------------------------------------------


def link(model: Path, folder: Path, names) -> None:
    """Hard links to one small real file: they cost an entry in a folder each, and read like files."""
    folder.mkdir(parents=True)
    for name in names:
        os.link(model, folder / name)


@pytest.fixture
def full_size(tmp_path):
    """The three data sets with every file name of the real ones' numbers: 155,229 files, a few on disk."""
    for number, split in enumerate(("train", "valid", "test")):
        for label in ("real", "fake"):
            # One file a folder: file systems allow some 65,000 links to one file.
            samples.write_picture(tmp_path / f"{split}-{label}.jpg", seed=number, size=(8, 8))
            link(
                tmp_path / f"{split}-{label}.jpg",
                tmp_path / "faces140k" / split / label,
                (f"{i:05d}.jpg" for i in range(50_000 if split == "train" else 10_000)),
            )
    samples.write_video(tmp_path / "video.mp4", frames=1)
    link(tmp_path / "video.mp4", tmp_path / "celebdf/Celeb-real", (f"id{i % 59}_{i:04d}.mp4" for i in range(590)))
    link(
        tmp_path / "video.mp4",
        tmp_path / "celebdf/Celeb-synthesis",
        (f"id{i % 59}_id{i % 58}_{i:04d}.mp4" for i in range(5639)),
    )
    samples.write_picture(tmp_path / "prompt.png", size=(8, 8))
    for generator in synthbuster.GENERATORS:
        link(
            tmp_path / "prompt.png", tmp_path / "synthbuster" / generator, (f"r{i:05x}t.png" for i in range(1000))
        )
    yield tmp_path
    shutil.rmtree(tmp_path)  # pytest would keep 155,229 names for three runs


@pytest.mark.long
def test_full_size_counts_are_those_of_the_study(full_size):
    """Every cell of the study's Table 1: 112,183 images to train on and 21,523 to validate."""
    scans = {
        name: scan(name, o["type"], full_size / o["type"], workers=2, options={"expect": "official"})
        for name, o in OPTIONS.items()
    }
    table = build(scans)
    cells = Counter(zip(table.source, table.label, table.split, strict=True))
    assert cells == {
        ("faces", REAL, "train"): 50_000,
        ("faces", FAKE, "train"): 50_000,
        ("faces", REAL, "valid"): 10_000,
        ("faces", FAKE, "valid"): 10_000,
        ("faces", REAL, "test"): 10_000,
        ("faces", FAKE, "test"): 10_000,
        ("celeb", REAL, "train"): 472,
        ("celeb", FAKE, "train"): 4_511,
        ("celeb", REAL, "valid"): 59,
        ("celeb", FAKE, "valid"): 564,
        ("celeb", REAL, "test"): 59,
        ("celeb", FAKE, "test"): 564,
        ("synth", FAKE, "train"): 7_200,
        ("synth", FAKE, "valid"): 900,
        ("synth", FAKE, "test"): 900,
    }
    assert (table.split == "train").sum() == 112_183
    assert (table.split == "valid").sum() == 21_523


# --- scanning -------------------------------------------------------------------------------------


def test_scan_reads_headers(tiny_tree):
    faces = scan("faces", "faces140k", tiny_tree / "faces140k")
    first = faces.iloc[0]
    path = tiny_tree / "faces140k" / first.path
    assert (first.width, first.height, first.format) == (16, 12, "JPEG")
    assert first.bytes == path.stat().st_size
    assert faces.sha256.nunique() == len(faces) == 12
    assert faces.frame.isna().all()
    assert (faces.label.dtype, faces.frame.dtype, faces.bytes.dtype) == (np.int8, np.float32, np.int64)
    video = scan("celeb", "celebdf", tiny_tree / "celebdf", options={"frame": 0.75}).iloc[0]
    assert (video.width, video.height, video.format, video.frame) == (32, 32, "MP4/h264", 0.75)


def test_one_frame_is_what_there_was_before(tiny_tree):
    plain = scan("celeb", "celebdf", tiny_tree / "celebdf", options={"frame": 0.75})
    one = scan("celeb", "celebdf", tiny_tree / "celebdf", options={"frame": 0.75, "frames": 1})
    pd.testing.assert_frame_equal(plain, one)


def test_several_frames_of_a_video_are_a_row_each(tiny_tree, caplog):
    """Evenly spread; of a video with fewer than were asked for all are taken, which is said."""
    root = tiny_tree / "celebdf"
    samples.write_video(root / "Celeb-real/id0_0000.mp4", frames=2)
    samples.write_video(root / "Celeb-real/id1_0000.mp4", frames=31)
    plain = scan("celeb", "celebdf", root)
    found = scan("celeb", "celebdf", root, options={"frames": 3}, workers=2)
    assert list(found.columns) == list(plain.columns)
    assert (found.dtypes == plain.dtypes).all()
    assert found.path.is_unique
    assert found.path.is_monotonic_increasing
    counts = found.path.map(file_of).value_counts(sort=False)
    assert counts.to_dict() == {path: 2 if path == "Celeb-real/id0_0000.mp4" else 3 for path in plain.path}
    of = found[found.path.str.startswith("Celeb-real/id1_")]
    assert of.path.tolist() == [f"Celeb-real/id1_0000.mp4@frame{n:06d}" for n in (5, 15, 25)]
    assert of.frame.tolist() == pytest.approx([5 / 30, 15 / 30, 25 / 30])
    assert "1 video(s) have fewer than 3 frames" in caplog.text
    assert "Celeb-real/id0_0000.mp4: 2" in caplog.text
    for name in ("label", "generator", "group", "sha256", "width", "bytes", "official", "error"):
        expected = plain.set_index("path")[name].loc[found.path.map(file_of)]
        assert found[name].tolist() == expected.tolist()


def test_a_video_whose_frames_cannot_be_counted_is_bad(tiny_tree):
    root = tiny_tree / "celebdf"
    path = root / "Celeb-synthesis/id0_id1_0000.mp4"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DetectorError, match=r"1 bad file\(s\)[\s\S]*Celeb-synthesis/id0_id1_0000.mp4: "):
        scan("celeb", "celebdf", root, options={"frames": 2})
    found = scan("celeb", "celebdf", root, options={"frames": 2}, max_bad=1)
    assert found.loc[found.error != "", "path"].tolist() == ["Celeb-synthesis/id0_id1_0000.mp4"]
    assert len(found) == 2 * 8 + 1


def test_scan_is_the_same_with_workers(tiny_tree, monkeypatch):
    alone = scan("synth", "synthbuster", tiny_tree / "synthbuster")
    monkeypatch.setattr(scanning, "SCAN_CHUNK", 5)
    pd.testing.assert_frame_equal(alone, scan("synth", "synthbuster", tiny_tree / "synthbuster", workers=2))


def break_files(root: Path) -> dict[str, str]:
    """Four bad files in a SynthBuster tree; path → what the reason must contain."""
    (root / "dalle2/r000.png").write_bytes(b"")
    (root / "dalle2/r001.png").write_text("<html>404</html>")
    samples.write_picture(root / "dalle3/r000.png", size=(1001, 1000))
    (root / "firefly/r000.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    return {
        "dalle2/r000.png": "no image that can be read",
        "dalle2/r001.png": "no image that can be read",
        "dalle3/r000.png": "1001 x 1000 pixels are more than data.max_pixels, 1000000",
        "firefly/r000.png": "no image that can be read",
    }


def test_bad_files_are_named_and_refused_beyond_the_limit(tiny_tree):
    root = tiny_tree / "synthbuster"
    broken = break_files(root)
    with pytest.raises(DetectorError) as caught:
        scan("synth", "synthbuster", root, max_bad=3)
    message = str(caught.value)
    assert "4 bad file(s)" in message
    assert "data.max_bad_images" in message
    assert all(f"{path}: " in message for path in broken)
    table = scan("synth", "synthbuster", root, max_bad=4)
    errors = dict(zip(table.path, table.error, strict=True))
    assert {path for path, error in errors.items() if error} == set(broken)
    assert all(why in errors[path] and str(root) not in errors[path] for path, why in broken.items())


def test_a_named_pipe_among_images_is_named_and_not_waited_for(tiny_tree):
    root = tiny_tree / "synthbuster"
    (root / "dalle2/r000.png").unlink()
    os.mkfifo(root / "dalle2/r000.png")
    with pytest.raises(DetectorError, match=r"dalle2/r000\.png: a named pipe, not a file"):
        scan("synth", "synthbuster", root)


def test_pillows_own_size_limit_has_no_say(tiny_tree, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)  # at 16 x 12 pixels Pillow would raise
    assert (scan("synth", "synthbuster", tiny_tree / "synthbuster").error == "").all()
    assert Image.MAX_IMAGE_PIXELS == 10


def test_pillow_s_own_limit_is_the_largest_of_those_that_threads_have_images_open_with(tmp_path, monkeypatch):
    """Threads open and close in any order: here the first one closes while the second has its image open."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    samples.write_picture(tmp_path / "a.png")
    first, second = (decoding.opened(tmp_path / "a.png", limit) for limit in (2000, 1000))
    first.__enter__()
    second.__enter__()
    assert Image.MAX_IMAGE_PIXELS == 2000
    first.__exit__(None, None, None)
    assert Image.MAX_IMAGE_PIXELS == 1000
    second.__exit__(None, None, None)
    assert Image.MAX_IMAGE_PIXELS == 10


def test_missing_root_says_how_to_obtain_the_data(tmp_path):
    with pytest.raises(DetectorError, match=r"looked in: .*nowhere[\s\S]*zenodo\.org/records/10066460"):
        scan("synth", "synthbuster", tmp_path / "nowhere")


def test_expect_official_names_each_wrong_count(tiny_tree):
    with pytest.raises(DetectorError) as caught:
        scan("faces", "faces140k", tiny_tree / "faces140k", options={"expect": "official"})
    assert "train, real: found 2, expected 50000" in str(caught.value)
    assert "test, fake: found 2, expected 10000" in str(caught.value)
    with pytest.raises(DetectorError, match=r"train, real: found \d, expected 472"):
        scan("celeb", "celebdf", tiny_tree / "celebdf", options={"expect": "official"})


def test_official_counts_of_cifake_are_its_own_splits(monkeypatch):
    monkeypatch.setattr(cifake, "OFFICIAL", {("train", REAL): 2, ("test", FAKE): 1})
    records = [Record("a", REAL, official="train"), Record("b", REAL, official="train")]
    records.append(Record("c", FAKE, official="test"))
    kinds.check_official("cifake", "cifake", records)
    with pytest.raises(DetectorError, match="train, real: found 1, expected 2"):
        kinds.check_official("cifake", "cifake", records[1:])


# --- building -------------------------------------------------------------------------------------


def test_manifest_columns_and_rows(scans):
    table = build(scans)
    assert tuple(table.columns) == manifest.COLUMNS
    assert table.row.dtype == np.int32
    assert list(table.source.unique()) == ["celeb", "faces", "synth"]
    for row in table.itertuples():
        assert scans[row.source].path.iloc[row.row] == row.path
        assert scans[row.source].sha256.iloc[row.row] == row.sha256


def test_order_of_files_does_not_matter(scans):
    shuffled = {}
    for name in reversed(list(scans)):
        order = random.Random(1).sample(range(len(scans[name])), len(scans[name]))
        shuffled[name] = scans[name].iloc[order].reset_index(drop=True)
    # `row` points into the scan, so it alone follows the scan's order.
    pd.testing.assert_frame_equal(build(scans).drop(columns="row"), build(shuffled).drop(columns="row"))


def test_os_order_does_not_matter(tiny_tree, scans, monkeypatch):
    real_scandir = os.scandir

    class Reversed:
        def __init__(self, folder):
            with real_scandir(folder) as entries:
                self.entries = sorted(entries, key=lambda entry: entry.name, reverse=True)

        def __enter__(self):
            return iter(self.entries)

        def __exit__(self, *_):
            return None

    monkeypatch.setattr(os, "scandir", Reversed)
    again = {name: scan(name, o["type"], tiny_tree / o["type"]) for name, o in OPTIONS.items()}
    pd.testing.assert_frame_equal(build(again), build(scans))


def test_bad_paths_are_left_out_and_move_nobody(scans):
    whole = build(scans)
    gone = scans["synth"].path.iloc[3]
    less = build(scans, bad={"synth": {gone}})
    expected = whole[~((whole.source == "synth") & (whole.path == gone))].reset_index(drop=True)
    assert len(less) == len(whole) - 1
    pd.testing.assert_frame_equal(less, expected)


def test_header_errors_are_left_out(tiny_tree):
    broken = break_files(tiny_tree / "synthbuster")
    table = build({"synth": scan("synth", "synthbuster", tiny_tree / "synthbuster", max_bad=9)})
    assert len(table) == 18 - len(broken)
    assert not set(table.path) & set(broken)


def test_videos_without_a_split_are_left_out(scans):
    options = {"celeb": {"type": "celebdf", "split": "identity"}}
    table = build({"celeb": scans["celeb"]}, options=options)
    assert 0 < len(table) < len(scans["celeb"])
    assert set(table.split) <= {"train", "valid", "test"}


@pytest.mark.parametrize("strategy", ["paper", "official", "identity"])
def test_frames_of_a_video_are_in_one_split_the_one_of_the_video(tiny_tree, strategy):
    """And in one group: that of its people, else its own."""
    options, root = {"youtube_real": True}, tiny_tree / "celebdf"
    how = {"celeb": {"type": "celebdf", "split": strategy}}
    one = build({"celeb": scan("celeb", "celebdf", root, options=options)}, options=how)
    scans = {"celeb": scan("celeb", "celebdf", root, options=options | {"frames": 4})}
    several = build(scans, options=how)
    assert len(several) == 4 * len(one)
    expected = one.set_index("path").loc[several.path.map(file_of)]
    assert several.split.tolist() == expected.split.tolist()
    nameless = several.path.str.startswith("YouTube")
    assert several.group[~nameless].tolist() == expected.group[~nameless.to_numpy()].tolist()
    assert several.group[nameless].tolist() == several.path[nameless].map(file_of).tolist() != []
    assert [scans["celeb"].path.iloc[row] for row in several.row] == several.path.tolist()


def test_a_limit_counts_videos_and_one_bad_frame_leaves_alone(tiny_tree):
    scans = {"celeb": scan("celeb", "celebdf", tiny_tree / "celebdf", options={"frames": 4})}
    limited = build(scans, options={"celeb": {"type": "celebdf", "limit": {"train": 3}}})
    counts = limited[limited.split == "train"].path.map(file_of).value_counts()
    assert counts.tolist() == [4, 4, 4]
    whole, gone = build(scans), scans["celeb"].path.iloc[5]
    less = build(scans, bad={"celeb": {gone}})
    pd.testing.assert_frame_equal(less, whole[whole.path != gone].reset_index(drop=True))


def test_limit_is_exact_and_stratified(tmp_path):
    samples.write_synthbuster(tmp_path, prompts=20)
    table = {"synth": scan("synth", "synthbuster", tmp_path)}
    options = {"type": "synthbuster", "limit": {"train": 20, "valid": 1000}}
    limited = build(table, options={"synth": options})
    whole = build(table)
    train = limited[limited.split == "train"]
    assert len(train) == 20
    assert set(train.generator.value_counts()) == {2, 3}
    assert set(train.path) <= set(whole[whole.split == "train"].path)
    assert (limited.split == "valid").sum() == (whole.split == "valid").sum() == 18
    assert (limited.split == "test").sum() == 18


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "magic"}, "unknown strategy 'magic'; synthbuster knows stem, random"),
        ({"limit": {"val": 3}}, "expected numbers of images"),
        ({"limit": {"train": -1}}, "none negative"),
        ({"limit": {"train": 0, "valid": 0, "test": 0}}, "no image is left"),
    ],
)
def test_unusable_options(scans, change, message):
    with pytest.raises(DetectorError, match=message):
        build({"synth": scans["synth"]}, options={"synth": {"type": "synthbuster"} | change})


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        (lambda t: t.split == "test", "test: no image"),
        (lambda t: (t.split == "train") & (t.label == REAL), "train: no real image"),
        (lambda t: (t.split == "valid") & (t.label == FAKE), "valid: no fake image"),
    ],
)
def test_a_part_that_no_source_has_is_named(scans, lost, message):
    table = build(scans)
    manifest.require_parts(table)
    table = table[~((table.split == "test") & (table.label == REAL))]
    manifest.require_parts(table)  # a test set of one class is the study's own
    with pytest.raises(DetectorError, match=f"{message}\n.*Add a source"):
        manifest.require_parts(table[~lost(table)])


def test_parquet_roundtrip_and_equal_bytes(scans, tmp_path):
    table = build(scans)
    for name in ("a", "b"):
        parquet.write(build(scans), tmp_path / f"{name}.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    pd.testing.assert_frame_equal(parquet.read(tmp_path / "a.parquet"), table)
    assert sorted(path.name for path in tmp_path.glob("*.parquet*")) == ["a.parquet", "b.parquet"]


# --- generators held out, photographs beside a fake-only source -----------------------------------


def hold_out(scans, *names):
    return manifest.build(scans, {}, OPTIONS, STUDY_FRACTIONS, 0, names)


def test_held_out_generators_are_tested_alone_and_move_nothing_else(scans):
    before, after = build(scans), hold_out(scans, "glide", "stylegan")
    held = after.generator.isin(["glide", "stylegan"])
    assert set(after[held].split) == {"test"}
    assert len(after[held]) == (before[before.split == "test"].generator.isin(["glide", "stylegan"])).sum() > 0
    kept = before[~before.generator.isin(["glide", "stylegan"])]
    pd.testing.assert_frame_equal(after[~held].reset_index(drop=True), kept.reset_index(drop=True))


def test_a_held_out_generator_that_test_lacks_is_told(scans, caplog):
    hold_out(scans, "glide", "stylegan")
    assert "data.hold_out: glide: no image in test" in caplog.text


def test_a_limit_counts_what_is_left_without_held_out_generators(scans):
    options = OPTIONS | {"synth": {"type": "synthbuster", "limit": {"train": 8}}}
    table = manifest.build(scans, {}, options, STUDY_FRACTIONS, 0, ["glide"])
    train = table[(table.source == "synth") & (table.split == "train")]
    assert train.generator.value_counts().tolist() == [1] * 8


def test_an_unknown_generator_is_named_with_the_known_ones(scans):
    with pytest.raises(
        DetectorError, match=r"data\.hold_out: found glyde, expected .*: celeb-df, dalle2, .*stylegan"
    ):
        hold_out(scans, "glide", "glyde")


def test_holding_out_every_generator_is_refused(scans):
    del scans["synth"]
    with pytest.raises(
        DetectorError, match="without celeb-df, stylegan there is no fake image in train and valid"
    ):
        hold_out(scans, "celeb-df", "stylegan")


def test_a_network_without_a_generator_has_the_plain_run_s_other_images_and_its_test_sets(scans, caplog):
    plain = build(scans)
    table = manifest.without(plain, "stylegan")
    lost = (plain.generator == "stylegan") & (plain.split != "test")
    assert lost.any()
    pd.testing.assert_frame_equal(table, plain[~lost].reset_index(drop=True))
    assert caplog.text == ""


def test_a_network_without_the_only_generator_is_refused_and_one_of_which_nothing_is_there_told(scans, caplog):
    plain = build(scans)
    alone = plain[plain.generator.isin(["", "stylegan"])].reset_index(drop=True)
    with pytest.raises(
        DetectorError, match="protocol: without stylegan there is no fake image in train and valid"
    ):
        manifest.without(alone, "stylegan")
    pd.testing.assert_frame_equal(manifest.without(alone, "glide"), alone)
    assert "protocol: glide: found no training or validation image of it" in caplog.text
    assert "protocol: glide: found no test image of it" in caplog.text


def dated(table: pd.DataFrame, day: str, others: str = "2024-05-01") -> pd.Series:
    """Dates of a manifest: `day` for every second fake, `others` for the rest, none for real images."""
    dates = pd.Series(others, index=table.index).mask(table.label == REAL, "")
    return dates.mask((table.label == FAKE) & (table.index % 2 == 0), day)


def test_a_network_up_to_a_day_sees_nothing_of_that_day_or_later_and_is_tested_on_all(scans, caplog):
    plain = build(scans)
    table = manifest.until(plain, dated(plain, "2025-01-01T00:30:00+02:00"), "2025-01-01")
    late = (plain.split != "test") & (plain.label == FAKE) & (plain.index % 2 == 0)
    assert late.any()
    pd.testing.assert_frame_equal(table, plain[~late].reset_index(drop=True))
    without = manifest.until(plain, dated(plain, "", "2024-12-31"), "2025-01-01")
    pd.testing.assert_frame_equal(without, table)
    assert "found no fake test image after it" in caplog.text
    assert "no training or validation image after it" not in caplog.text, "fakes without a date are left out"


def test_dates_that_nobody_knows_or_that_leave_nothing_are_errors(scans):
    plain = build(scans)
    with pytest.raises(
        DetectorError, match="protocol: found no fake with a date, expected sources that know them"
    ):
        manifest.until(plain, dated(plain, "", ""), "2025-01-01")
    with pytest.raises(
        DetectorError, match="up to 2024-05-01 there is no fake image in train and valid; choose a l"
    ):
        manifest.until(plain, dated(plain, "2024-06-01"), "2024-05-01")


def test_windows_of_time_begin_at_their_edge():
    edges = ["2024-01-01", "2025-01-01"]
    assert periods.names(edges) == ["before 2024-01-01", "2024-01-01 to 2025-01-01", "from 2025-01-01"]
    dates = pd.Series(["2023-12-31", "2024-01-01", "2024-12-31T23:59:59", "2025-01-01", ""])
    assert periods.number(dates, edges).tolist() == [0, 1, 1, 2, -1]


@pytest.fixture
def photographs(tmp_path):
    for name in ("a.jpg", "deeper/b.png", "deeper/c.jpg"):
        samples.write_picture(tmp_path / "photos" / name, seed=len(name), size=(24, 20))
    return tmp_path / "photos"


@pytest.mark.parametrize("split", ["stem", "random"])
def test_photographs_join_the_test_set_and_move_nothing_else(split, scans, photographs, tiny_tree):
    options = OPTIONS | {"synth": {"type": "synthbuster", "split": split, "pairs": str(photographs)}}
    paired = scans | {"synth": scan("synth", "synthbuster", tiny_tree / "synthbuster", options=options["synth"])}
    assert paired["synth"].path.is_monotonic_increasing
    before, after = build(scans, options=options), build(paired, options=options)
    joined = after[after.path.str.startswith("@pairs/")]
    assert joined.path.tolist() == ["@pairs/a.jpg", "@pairs/deeper/b.png", "@pairs/deeper/c.jpg"]
    assert set(zip(joined.source, joined.label, joined.generator, joined.split, strict=True)) == {
        ("synth", REAL, "", "test")
    }
    assert joined.width.tolist() == [24] * 3
    rest = after.drop(joined.index).reset_index(drop=True)
    pd.testing.assert_frame_equal(rest.drop(columns="row"), before.drop(columns="row"))


def test_photographs_are_packed_from_where_they_lie(photographs, tiny_tree, tmp_path, monkeypatch):
    """A relative folder, as in the config: workers must find it too."""
    monkeypatch.chdir(tmp_path)
    table = scan("synth", "synthbuster", tiny_tree / "synthbuster", options={"pairs": "photos"})
    files = [tmp_path / name for name in ("images.npy", "images.json", "bad.csv")]
    how = preprocessing.Preprocessing(8, max_pixels=LIMIT)
    root = tiny_tree / "synthbuster"
    packing.pack(table, root, how, *files, tmp_path / "s", workers=2, max_bad=0, pairs="photos", meta={})
    store = open_store(*files[:2])
    for row in np.flatnonzero(table.path.str.startswith("@pairs/")):
        path = photographs / table.path[row].removeprefix("@pairs/")
        assert table.sha256[row] == sha256(path)
        assert np.array_equal(store[row], preprocessing.load(path, how))


def test_photographs_do_not_count_as_part_of_the_data_set(photographs, tiny_tree, monkeypatch):
    options = {"pairs": str(photographs), "expect": "official"}
    monkeypatch.setattr(synthbuster, "OFFICIAL", {})
    with pytest.raises(DetectorError, match="no official counts"):
        scan("synth", "synthbuster", tiny_tree / "synthbuster", options=options)
    count = len(scan("synth", "synthbuster", tiny_tree / "synthbuster"))
    monkeypatch.setattr(synthbuster, "OFFICIAL", {("train", FAKE): count})
    monkeypatch.setattr(synthbuster, "split", lambda records, *_, **__: ["train"] * len(records))
    assert len(scan("synth", "synthbuster", tiny_tree / "synthbuster", options=options)) == count + 3


def test_a_folder_without_photographs_is_named(photographs, tiny_tree):
    root = tiny_tree / "synthbuster"
    (photographs / "notes.pdf").touch()
    with pytest.raises(DetectorError, match=r"notes\.pdf"):
        scan("synth", "synthbuster", root, options={"pairs": str(photographs)})
    shutil.rmtree(photographs)
    missing = kinds.missing_roots({"synth": {"type": "synthbuster", "root": root, "pairs": str(photographs)}})
    assert f"looked in: {photographs} (found no folder; set data.sources.synth.pairs" in missing
    with pytest.raises(DetectorError, match=r"data\.sources\.synth\.pairs: found no folder"):
        scan("synth", "synthbuster", root, options={"pairs": str(photographs)})
    photographs.mkdir()
    with pytest.raises(DetectorError, match=r"data\.sources\.synth\.pairs: found no image below"):
        scan("synth", "synthbuster", root, options={"pairs": str(photographs)})


def test_a_folder_of_one_s_own_called_as_photographs_are_in_the_manifest_is_refused(tmp_path):
    for label in ("real", "fake"):
        samples.write_picture(tmp_path / "@pairs" / label / "a.jpg")
    with pytest.raises(DetectorError, match="expected no path that begins with @pairs/.*rename the folder"):
        scan("mine", "folder", tmp_path)


def test_files_that_cannot_be_packed_are_left_out(scans, tmp_path):
    paths = scans["faces"]["path"].tolist()[:2]
    parquet.write(scans["faces"], tmp_path / "scan.parquet")
    (tmp_path / "bad.csv").write_text("path,error\n" + "".join(f"{path},torn\n" for path in paths))
    arguments = {
        "scans": [("faces", tmp_path / "scan.parquet")],
        "bad": [("faces", tmp_path / "bad.csv")],
        "options": json.dumps({"faces": OPTIONS["faces"]}),
        **{"fractions": STUDY_FRACTIONS, "seed": 0, "hold_out": [], "splits": tmp_path / "splits.parquet"},
    }
    samples.load_script("data/split").main(argparse.Namespace(**arguments))
    left = parquet.read(tmp_path / "splits.parquet")["path"]
    assert not set(paths) & set(left)
    assert len(left) == len(scans["faces"]) - 2


def test_a_video_has_the_date_of_its_frames():
    """Predictions are by video, scans by frame."""
    frames = pd.DataFrame({"path": [of_frame("a.mp4", n) for n in (1, 5)], "date": "2024-05-01"})
    whole = pd.DataFrame({"source": "s", "path": ["a.mp4", "b.mp4"]})
    assert periods.of_images(whole, {"s": frames}).tolist() == ["2024-05-01", periods.UNDATED]
    assert periods.of_images(frames.assign(source="s"), {"s": frames}).tolist() == ["2024-05-01"] * 2
