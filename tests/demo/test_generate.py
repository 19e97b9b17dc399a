"""The demo's data have the official layouts, depend on a seed alone, and neither file format nor scene tells the
class.

One small demo is made in the test process and one, with the same seed, by two worker processes: the bytes must
not depend on who made them.
"""

import csv
import hashlib
import io
import json
from collections import Counter
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from detector.core.errors import DetectorError
from detector.core.labels import FAKE, REAL, SPLIT_NAMES
from detector.data.sources import celebdf, faces140k, synthbuster
from detector.demo import decoders, generate, scenes

SCALE = 0.02  # the smallest counts there are


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "data"
    generate.make_demo(folder, scale=SCALE, threads=1)
    return folder


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def pictures(root: Path, pattern: str) -> dict[Path, np.ndarray]:
    return {path: np.asarray(Image.open(path)) for path in sorted(root.glob(pattern))}


def test_each_source_reads_its_layout(root):
    for kind in (faces140k, celebdf, synthbuster):
        name = kind.__name__.rpartition(".")[2]
        for strategy in kind.SPLITS:
            options = {"split": strategy, "youtube_real": True}
            records = kind.scan(root / name, options if kind is celebdf else {})
            splits = kind.split(records, strategy, (0.8, 0.1, 0.1), 0)
            labels = {REAL, FAKE} if kind is not synthbuster else {FAKE}
            found = Counter((split, r.label) for split, r in zip(splits, records, strict=True) if split)
            if strategy != "identity":  # which may leave a split of six people without a swap
                assert set(found) == {(split, label) for split in SPLIT_NAMES for label in labels}


def test_the_text_files_are_the_official_ones(root):
    for split in SPLIT_NAMES:
        with open(root / f"faces140k/{split}.csv", newline="") as lines:
            rows = list(csv.DictReader(lines))
        assert list(rows[0]) == ["", "original_path", "id", "label", "label_str", "path"]
        for row in rows:
            assert row["path"] == f"{split}/{row['label_str']}/{row['id']}.jpg"
            assert row["label"] == {"real": "1", "fake": "0"}[row["label_str"]]
    lines = (root / "celebdf/List_of_testing_videos.txt").read_text().splitlines()
    assert {line.split("/")[0] for line in lines} == {"1 Celeb-real", "0 Celeb-synthesis", "1 YouTube-real"}


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(root, tmp_path):
    generate.make_demo(tmp_path / "same", scale=SCALE, threads=2)
    same = hashes(tmp_path / "same")
    assert same == hashes(root)
    generate.make_demo(tmp_path / "same", scale=SCALE, threads=1, seed=1)  # replaces it
    media = {
        digest for path, digest in hashes(tmp_path / "same").items() if "." + path[-3:] in (".jpg", ".png", ".mp4")
    }
    assert len(media) == sum(json.loads((root / generate.STAMP).read_text())["counts"].values())
    assert not media & set(same.values())


def test_no_scene_is_in_two_splits_or_classes():
    """Scenes are named in the plan, and the name alone decides what is drawn."""
    items, _ = generate._plan(0, 1.0)
    folders: dict[str, set[str]] = {}
    for item in items:
        folders.setdefault(item.scene, set()).add(item.path.rpartition("/")[0])
    shared = [where for where in folders.values() if len(where) > 1]
    assert all(where == {f"synthbuster/{name}" for name in synthbuster.GENERATORS} for where in shared)
    assert len(shared) == generate.PROMPTS[0]
    assert len(folders) == len(items) - 8 * generate.PROMPTS[0]


def test_pictures_of_different_splits_are_of_different_scenes(root):
    """Thumbnails, in which neither noise nor decoders show, correlate between the images of one prompt only."""

    def correlations(found: dict[Path, np.ndarray]) -> np.ndarray:
        thumbs = [array.reshape(8, 6, 8, 6, 3).mean((1, 3)).ravel() for array in found.values()]
        return np.corrcoef(thumbs)

    faces = correlations(pictures(root, "faces140k/**/*.jpg"))
    assert faces[~np.eye(len(faces), dtype=bool)].max() < 0.97
    prompt = correlations(pictures(root, f"synthbuster/*/{next(root.glob('synthbuster/glide/*')).name}"))
    assert prompt.min() > 0.97


def jpeg_settings(image: Image.Image) -> tuple:
    """Quantisation tables and chroma subsampling."""
    return tuple(map(tuple, image.quantization.values())), tuple(image.layer)


def test_files_of_both_classes_are_encoded_alike(root):
    """Size, mode, chroma subsampling and the choice of JPEG qualities; every setting of the video encoder."""
    allowed = set()
    for quality in generate.QUALITIES:
        Image.new("RGB", (48, 48)).save(file := io.BytesIO(), "JPEG", quality=quality)
        allowed.add(jpeg_settings(Image.open(file)))
    for label in ("real", "fake"):
        found = set()
        for path in root.glob(f"faces140k/**/{label}/*.jpg"):
            with Image.open(path) as image:
                assert (image.size, image.mode, image.format) == ((48, 48), "RGB", "JPEG")
                found.add(jpeg_settings(image))
        assert found <= allowed
        assert len(found) > 1  # one quality each would not do: it could be another for each class
    videos: dict[str, set] = {"Celeb-real": set(), "Celeb-synthesis": set(), "YouTube-real": set()}
    for path in root.glob("celebdf/*/*.mp4"):
        with av.open(str(path)) as video:
            stream, codec = video.streams.video[0], video.streams.video[0].codec_context
            settings = (codec.name, codec.profile, codec.pix_fmt, codec.width, codec.height)
            videos[path.parent.name].add((*settings, stream.frames, stream.average_rate))
    assert videos["Celeb-real"] == videos["Celeb-synthesis"] == videos["YouTube-real"]
    assert len(videos["Celeb-real"]) == 1


def test_decoding_leaves_colours_and_contrast_but_not_the_picture():
    torch.manual_seed(0)
    model = decoders.Autoencoder("transposed4")
    scene = scenes.scene(np.random.default_rng(0), 64)
    fake = decoders.decoded(model, scene)
    np.testing.assert_allclose(fake.mean((0, 1, 2)), scene.mean((0, 1, 2)), atol=1e-4)
    # not exact: rings of the half spectrum that a real picture has count its edge columns once, others twice
    np.testing.assert_allclose(fake.std((0, 1, 2)), scene.std((0, 1, 2)), rtol=0.05)
    assert np.abs(fake - scene).mean() > 0.01


def test_a_demo_that_is_there_is_left_alone(root):
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    generate.make_demo(root, scale=SCALE, threads=1)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_a_damaged_demo_is_made_again(root, tmp_path):
    before = hashes(root)
    next(root.glob("faces140k/**/*.jpg")).unlink()
    generate.make_demo(root, scale=SCALE, threads=1)
    assert hashes(root) == before


def test_a_folder_of_others_is_never_overwritten(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/mine.jpg").write_bytes(b"precious")
    with pytest.raises(DetectorError, match="photos"):
        generate.make_demo(tmp_path / "photos", scale=SCALE)
    (tmp_path / "photos" / generate.STAMP).write_text("[]")  # a stamp that is none
    with pytest.raises(DetectorError, match="photos"):
        generate.make_demo(tmp_path / "photos", scale=SCALE)
    assert (tmp_path / "photos/mine.jpg").read_bytes() == b"precious"


def test_a_demo_with_a_foreign_file_is_never_replaced(root):
    notes = root / "notes.txt"
    notes.write_text("mine")
    try:
        with pytest.raises(DetectorError, match="more files"):
            generate.make_demo(root, scale=SCALE, seed=1)
        assert notes.read_text() == "mine"
    finally:
        notes.unlink()


def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("disk full")

    monkeypatch.setattr(generate, "_save", fail)
    with pytest.raises(RuntimeError, match="disk full"):
        generate.make_demo(tmp_path / "data", scale=SCALE, threads=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", [{"scale": 0}, {"size": 63}, {"size": 16}])
def test_settings_out_of_range_are_refused(tmp_path, wrong):
    with pytest.raises(DetectorError, match="demo"):
        generate.make_demo(tmp_path / "data", **wrong)
