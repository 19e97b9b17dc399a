"""Each source lists exactly the files of its layout with label, generator, group and split, and says by name
what is missing, unknown or contradictory."""

import errno
import inspect
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from detector.cli import predict
from detector.core.errors import DetectorError
from detector.core.labels import FAKE, REAL
from detector.data import sources as data_sources
from detector.data import walk
from detector.data.fingerprints import fingerprint
from detector.data.kinds import generators, kinds, lists_of, missing_roots, module
from detector.data.records import Record
from detector.data.sources import celebdf, cifake, faces140k, synthbuster
from detector.data.sources import folder as folder_module
from detector.data.sources import list as list_module
from detector.data.splits import STUDY_FRACTIONS
from tests.support import samples

OWN = ("folder", "list", "parquet", "tar")  # kinds of one's own data


def touch(root: Path, *names: str) -> None:
    """Empty files: the source modules never open an image."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def split_of(source, records, strategy=None, seed=0):
    names = source.split(records, strategy or source.SPLITS[0], STUDY_FRACTIONS, seed)
    return {record.path: name for record, name in zip(records, names, strict=True)}


def test_modules_import_the_standard_library_only():
    names = ", ".join(f"detector.data.sources.{kind}" for kind in kinds())
    code = f"import sys, {names}; print(*(sys.modules.keys() & {{'numpy', 'pandas', 'PIL', 'av', 'torch'}}))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""


@pytest.mark.parametrize("kind", kinds())
def test_every_module_keeps_the_contract(kind):
    source = module(kind)
    assert source.TITLE
    assert source.LAYOUT
    assert source.OBTAIN
    assert source.SPLITS
    assert "http" in source.TERMS or kind in (*OWN, "run"), "cards say where the terms are"
    assert set(source.SHARED) <= set(source.SPLITS)
    assert all(source.SHARED.values())
    assert all(split in ("train", "valid", "test") for split, _ in source.OFFICIAL)


def test_a_new_kind_is_a_new_file_and_nothing_else(tmp_path, monkeypatch):
    """Scans of other kinds depend on `detector.data.kinds` itself: an entry there would make them run again."""
    (tmp_path / "mine.py").write_text("from detector.data.sources.folder import *\nTITLE = 'mine'\n")
    (tmp_path / "half.py").write_text("from detector.data.sources.folder import *\ndel TERMS, split\n")
    monkeypatch.setattr(data_sources, "__path__", [*data_sources.__path__, str(tmp_path)])
    assert set(kinds()) == {"celebdf", "cifake", "faces140k", "synthbuster", "run", *OWN, "mine", "half"}
    assert module("mine").TITLE == "mine"
    with pytest.raises(DetectorError, match="unknown kind of source 'other'; expected one of celebdf, .*mine"):
        module("other")
    with pytest.raises(
        DetectorError, match=r"half\.py: a kind of source has to define T.*; found no TERMS, split"
    ):
        module("half")


# --- what lies beside images ----------------------------------------------------------------------

CLUTTER = [
    *("@eaDir/a.png/SYNOPHOTO_THUMB_M.jpg", "__MACOSX/a.png", ".thumbnails/a.png", "@Recycle/old.png"),
    *("Thumbs.db", "._a.png"),
]


def test_clutter_is_nowhere_an_image(tmp_path):
    """Thumbnails of a network disk are no images of a data set: not to be trained on, nor to be judged."""
    touch(tmp_path, *(f"{folder}/{name}" for folder in ("real", "fake/dalle") for name in ("a.png", *CLUTTER)))
    touch(tmp_path, *CLUTTER)
    paths = ["fake/dalle/a.png", "real/a.png"]
    assert [record.path for record in folder_module.scan(tmp_path, {})] == paths
    assert list(predict.images_of([str(tmp_path)])) == [str(tmp_path / path) for path in paths]


def test_folders_deeper_than_pythons_calls(tmp_path):
    touch(tmp_path, "real/a.png", "fake/b.png", f"real/{'d/' * 250}c.png")
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 150)
    try:
        assert len(folder_module.scan(tmp_path, {})) == 3
        assert len(list(predict.images_of([str(tmp_path)]))) == 3
        assert fingerprint(tmp_path, tmp_path / "listing")
    finally:
        sys.setrecursionlimit(before)


@pytest.mark.parametrize("path", [b"real/caf\xe9.png", b"real/caf\xe9/a.png"])
def test_a_name_that_is_no_text_is_an_error_that_names_it(tmp_path, path):
    touch(tmp_path, "real/a.png", "fake/b.png")
    touch(tmp_path, os.fsdecode(path))
    with pytest.raises(DetectorError, match=r"real: the name of caf\\xe9.* is not UTF-8.*Rename it"):
        folder_module.scan(tmp_path, {})


def test_a_folder_that_cannot_be_listed_is_an_error_that_names_it(tmp_path, monkeypatch):
    touch(tmp_path, "real/a.png", "fake/b.png")

    def scandir(path):
        if Path(path).name == "fake":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return listed(path)

    listed = os.scandir
    monkeypatch.setattr(walk.os, "scandir", scandir)
    with pytest.raises(DetectorError, match=r"fake: cannot be listed: Permission denied"):
        folder_module.scan(tmp_path, {})


# --- 140k -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("root", ["", "real_vs_fake", "real_vs_fake/real-vs-fake"])
def test_faces140k_from_each_root(tiny_tree, root):
    records = faces140k.scan(tiny_tree / "faces140k" / root, {})
    assert len(records) == 12
    assert records == sorted(records)
    for record in records:
        assert (tiny_tree / "faces140k" / root / record.path).is_file()
        assert f"{record.official}/{'real' if record.label == REAL else 'fake'}/" in record.path
        assert record.generator == ("" if record.label == REAL else "stylegan")
    assert set(split_of(faces140k, records).values()) == {"train", "valid", "test"}


def test_faces140k_csv_against_folders(tmp_path):
    root = tmp_path
    samples.write_faces140k(root, each=3)
    base = root / "real_vs_fake/real-vs-fake"
    touch(base, "train/real/new.jpg")
    (base / "train/fake/00000.jpg").unlink()
    (base / "train/fake/00001.jpg").rename(base / "train/real/moved.jpg")
    text = (root / "train.csv").read_text().replace("train/fake/00001.jpg", "train/fake/moved.jpg")
    (root / "train.csv").write_text(text)
    touch(base, "valid/real/odd.jpg")
    (root / "test.csv").write_text((root / "test.csv").read_text() + "9,n/a,odd,1,real,test/real/odd.jpg\n")
    with pytest.raises(DetectorError) as caught:
        faces140k.scan(root, {})
    message = str(caught.value)
    assert "label differs: 1\n  train.csv: train/fake/moved.jpg, on disk train/real/moved.jpg" in message
    assert "split differs: 1\n  test.csv: test/real/odd.jpg, on disk valid/real/odd.jpg" in message
    assert "missing on disk: 1\n  train.csv: train/fake/00000.jpg" in message
    assert "not in the CSV: 1\n  train/real/new.jpg" in message


def test_faces140k_without_csv_trusts_the_folders(tiny_tree):
    root = tiny_tree / "faces140k"
    for name in ("train", "valid", "test"):
        (root / f"{name}.csv").unlink()
    touch(root / "real_vs_fake/real-vs-fake", "train/real/new.jpg")
    assert len(faces140k.scan(root, {})) == 13


@pytest.mark.parametrize(("kind", "table"), [("faces140k", "train.csv"), ("celebdf", celebdf.TEST_LIST)])
def test_a_name_in_a_list_that_is_no_text_is_a_difference_like_others(tiny_tree, kind, table):
    path = tiny_tree / kind / table
    line = {
        "faces140k": b"9,n/a,caf\xe9,1,real,train/real/caf\xe9.jpg\n",
        "celebdf": b"1 Celeb-real/caf\xe9.mp4\n",
    }
    path.write_bytes(path.read_bytes() + line[kind])
    with pytest.raises(DetectorError, match="real/caf\udce9"):
        module(kind).scan(tiny_tree / kind, {})


def test_faces140k_csv_with_another_header(tiny_tree):
    (tiny_tree / "faces140k/train.csv").write_text("id,path\n1,train/real/00000.jpg\n")
    with pytest.raises(DetectorError, match="no column label"):
        faces140k.scan(tiny_tree / "faces140k", {})


def test_faces140k_missing_parts(tiny_tree):
    base = tiny_tree / "faces140k/real_vs_fake/real-vs-fake"
    for path in (base / "test/fake").iterdir():
        path.unlink()
    with pytest.raises(DetectorError, match=r"test/fake: found no \.jpeg/\.jpg file"):
        faces140k.scan(tiny_tree / "faces140k", {})
    (base / "test/fake").rmdir()
    with pytest.raises(DetectorError, match="test/fake: no such folder"):
        faces140k.scan(tiny_tree / "faces140k", {})
    (base / "valid").rename(base / "v")
    with pytest.raises(DetectorError, match=r"missing folder\(s\) valid"):
        faces140k.scan(tiny_tree / "faces140k", {})


# --- Celeb-DF -------------------------------------------------------------------------------------


def test_celebdf_names_say_who_is_in_a_video(tiny_tree):
    records = {r.path: r for r in celebdf.scan(tiny_tree / "celebdf", {"youtube_real": True, "frame": 0.25})}
    real, fake = records["Celeb-real/id1_0000.mp4"], records["Celeb-synthesis/id1_id0_0000.mp4"]
    assert (real.label, real.group, real.generator) == (REAL, "id1", "")
    assert (fake.label, fake.group, fake.generator) == (FAKE, "id1|id0", "celeb-df")
    assert records["YouTube-real/00001.mp4"].group == ""
    assert {record.frame for record in records.values()} == {0.25}
    assert len(records) == 11


def test_celebdf_leaves_youtube_out_unless_asked(tiny_tree):
    records = celebdf.scan(tiny_tree / "celebdf", {})
    assert len(records) == 9
    assert not any(record.path.startswith("YouTube") for record in records)


def test_celebdf_youtube_does_not_move_the_others(tmp_path):
    touch(tmp_path, *(f"Celeb-real/id{i}_0000.mp4" for i in range(40)))
    touch(tmp_path, *(f"Celeb-synthesis/id{i}_id0_0000.mp4" for i in range(1, 40)))
    touch(tmp_path, *(f"YouTube-real/{i:05d}.mp4" for i in range(10)))
    without = split_of(celebdf, celebdf.scan(tmp_path, {}))
    with_youtube = split_of(celebdf, celebdf.scan(tmp_path, {"youtube_real": True}))
    assert without.items() < with_youtube.items()


def test_celebdf_official_split_is_the_list(tiny_tree):
    records = celebdf.scan(tiny_tree / "celebdf", {"split": "official", "youtube_real": True})
    names = split_of(celebdf, records, "official")
    assert {path for path, name in names.items() if name == "test"} == {
        "Celeb-real/id0_0000.mp4",
        "Celeb-synthesis/id0_id1_0000.mp4",
        "YouTube-real/00000.mp4",
    }
    assert Counter(names.values())["train"] > Counter(names.values())["valid"] > 0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 Celeb-real/id9_0000.mp4", "id9_0000.mp4 is not on disk"),
        ("0 Celeb-real/id1_0000.mp4", "has label 0, its folder says 1"),
        ("Celeb-real/id1_0000.mp4", "is not '1 FOLDER/NAME'"),
    ],
)
def test_celebdf_list_that_does_not_fit(tiny_tree, line, message):
    root = tiny_tree / "celebdf"
    (root / celebdf.TEST_LIST).write_text(line + "\n")
    with pytest.raises(DetectorError, match=message):
        celebdf.scan(root, {})


def test_celebdf_official_split_without_the_list(tiny_tree):
    root = tiny_tree / "celebdf"
    (root / celebdf.TEST_LIST).unlink()
    with pytest.raises(DetectorError, match=celebdf.TEST_LIST):
        split_of(celebdf, celebdf.scan(root, {}), "official")


def test_celebdf_identity_split_shares_nobody(tmp_path):
    people = range(20)
    touch(tmp_path, *(f"Celeb-real/id{i}_0000.mp4" for i in people))
    touch(tmp_path, *(f"Celeb-synthesis/id{a}_id{b}_0000.mp4" for a in people for b in people if a != b))
    records = celebdf.scan(tmp_path, {})
    names = split_of(celebdf, records, "identity")
    seen = {name: set() for name in ("train", "valid", "test")}
    for record in records:
        if names[record.path]:
            seen[names[record.path]] |= set(record.group.split("|"))
    assert [len(seen[name]) for name in ("train", "valid", "test")] == [16, 2, 2]
    assert not seen["train"] & seen["valid"]
    assert not (seen["train"] | seen["valid"]) & seen["test"]
    # Kept: 16·15 swaps within train, 2 within valid, 2 within test, and each of the 20 real videos.
    assert sum(name != "" for name in names.values()) == 240 + 2 + 2 + 20


@pytest.mark.parametrize(
    "name", ["Celeb-real/0000.mp4", "Celeb-synthesis/id1_0000.mp4", "Celeb-real/id1_0000.avi"]
)
def test_celebdf_odd_names(tiny_tree, name):
    touch(tiny_tree / "celebdf", name)
    with pytest.raises(DetectorError, match=Path(name).name):
        celebdf.scan(tiny_tree / "celebdf", {})


def test_celebdf_frame_outside_the_video(tiny_tree):
    with pytest.raises(DetectorError, match=r"frame is 1\.5"):
        celebdf.scan(tiny_tree / "celebdf", {"frame": 1.5})


# --- SynthBuster ----------------------------------------------------------------------------------


def test_synthbuster_groups_by_stem(tmp_path):
    samples.write_synthbuster(tmp_path / "synthbuster", prompts=10)
    records = synthbuster.scan(tmp_path, {})
    assert len(records) == 90
    assert {record.label for record in records} == {FAKE}
    by_stem: dict[str, set[str]] = {}
    for record, name in zip(records, split_of(synthbuster, records).values(), strict=True):
        assert record.path == f"synthbuster/{record.generator}/{record.group}.png"
        by_stem.setdefault(record.group, set()).add(name)
    assert all(len(names) == 1 for names in by_stem.values())


@pytest.mark.parametrize("strategy", synthbuster.SPLITS)
def test_synthbuster_both_strategies_take_the_same_share_of_each_generator(tmp_path, strategy):
    for generator in synthbuster.GENERATORS:
        touch(tmp_path, *(f"{generator}/r{i}.png" for i in range(20)))
    records = synthbuster.scan(tmp_path, {})
    names = split_of(synthbuster, records, strategy)
    counts = Counter((record.generator, names[record.path]) for record in records)
    assert set(counts.values()) == {16, 2}
    assert len(counts) == 27


def test_synthbuster_missing_and_unknown_generators(tiny_tree):
    root = tiny_tree / "synthbuster"
    (root / "glide").rename(root / "glide2")
    with pytest.raises(DetectorError, match=r"missing folder\(s\) glide;"):
        synthbuster.scan(root, {})
    samples.write_picture(root / "glide" / "r000.png")
    with pytest.raises(DetectorError, match=r"unknown folder\(s\) glide2;"):
        synthbuster.scan(root, {})


# --- CIFAKE ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "DATASET/"])
def test_cifake_cuts_validation_from_train(tmp_path, prefix):
    for own in ("train", "test"):
        for name in ("REAL", "FAKE"):
            touch(tmp_path, *(f"{prefix}{own}/{name}/{i:04d}.jpg" for i in range(90)))
    records = cifake.scan(tmp_path, {})
    names = split_of(cifake, records)
    counts = Counter((names[record.path], record.label) for record in records)
    assert counts == {
        (split, label): n for split, n in (("train", 80), ("valid", 10), ("test", 90)) for label in (0, 1)
    }
    assert all((names[r.path] == "test") == (r.official == "test") for r in records)


def test_cifake_missing_class(tmp_path):
    touch(tmp_path, "train/REAL/1.jpg", "train/FAKE/1.jpg", "test/REAL/1.jpg")
    with pytest.raises(DetectorError, match="test/FAKE: no such folder"):
        cifake.scan(tmp_path, {})


# --- the user's own folder ------------------------------------------------------------------------


def test_folder_generators_and_clutter(tmp_path):
    touch(tmp_path, "real/a.JPG", "real/deep/er/b.webp", "fake/c.png", "fake/dalle/x/d.png", "fake/dalle/e.gif")
    touch(tmp_path, "readme.txt", "real/.hidden.bin", ".git/config", "fake/Thumbs.db", "fake/dalle/prompts.csv")
    records = folder_module.scan(tmp_path, {})
    assert [(r.path, r.label, r.generator) for r in records] == [
        ("fake/c.png", FAKE, "unknown"),
        ("fake/dalle/e.gif", FAKE, "dalle"),
        ("fake/dalle/x/d.png", FAKE, "dalle"),
        ("real/a.JPG", REAL, ""),
        ("real/deep/er/b.webp", REAL, ""),
    ]


@pytest.mark.parametrize("only", ["real", "fake"])
def test_folder_with_one_class(tmp_path, only):
    touch(tmp_path, f"{only}/a.png")
    assert len(folder_module.scan(tmp_path, {})) == 1


@pytest.mark.parametrize("label", ["real", "fake"])
def test_folder_of_one_class_need_not_say_which(tmp_path, label):
    """Its folders are generators, whatever else they would mean; those called like the class say nothing new."""
    touch(tmp_path, "a.png", "dalle/b.png", "dalle/old/c.png", f"1_{label}/d.png")
    found = {record.path: record for record in folder_module.scan(tmp_path, {"label": label, "groups": "(.)[.]"})}
    assert {record.label for record in found.values()} == {int(label == "real")}
    made = {path: record.generator for path, record in found.items()}
    expected = {
        "a.png": "unknown",
        "dalle/b.png": "dalle",
        "dalle/old/c.png": "dalle",
        f"1_{label}/d.png": "unknown",
    }
    assert made == {path: expected[path] if label == "fake" else "" for path in expected}


def test_folder_of_one_class_refuses_the_other_and_nothing(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DetectorError, match=f"{tmp_path}: found no images; expected layout"):
        folder_module.scan(tmp_path, {"label": "fake"})
    touch(tmp_path, "dalle/a.png", "dalle/0_real/b.png")
    with pytest.raises(DetectorError, match="dalle/0_real: found a folder called like real images"):
        folder_module.scan(tmp_path, {"label": "fake"})


def test_folder_uses_split_folders(tmp_path):
    touch(tmp_path, "train/real/a.png", "val/real/b.png", "test/fake/c.png")
    names = split_of(folder_module, folder_module.scan(tmp_path, {}))
    assert names == {"train/real/a.png": "train", "val/real/b.png": "valid", "test/fake/c.png": "test"}


# Layouts that people have → what they mean: path → (label, generator, split).
LAYOUTS = {
    "splits in the classes": (
        {
            "real/train/a.png": (REAL, "", "train"),
            "real/test/x/b.png": (REAL, "", "test"),
            "fake/train/c.png": (FAKE, "unknown", "train"),
            "fake/test/dalle/d.png": (FAKE, "dalle", "test"),
        },
        "fake/ = fake, real/ = real; test/ = test, train/ = train; 2 generators: dalle, unknown",
    ),
    "splits in generators": (
        {
            "real/train/a.png": (REAL, "", "train"),
            "fake/dalle/train/b.png": (FAKE, "dalle", "train"),
            "fake/sdxl/val/c.png": (FAKE, "sdxl", "valid"),
        },
        "fake/ = fake, real/ = real; train/ = train, val/ = valid; 2 generators: dalle, sdxl",
    ),
    "CIFAKE": (
        {"train/REAL/a.jpg": (REAL, "", "train"), "test/FAKE/b.jpg": (FAKE, "unknown", "test")},
        "FAKE/ = fake, REAL/ = real; test/ = test, train/ = train; 1 generator: unknown",
    ),
    "CNNDetection": (
        {
            "train/progan/airplane/0_real/a.png": (REAL, "", "train"),
            "train/progan/train/1_fake/b.png": (FAKE, "progan", "train"),
            "test/biggan/0_real/c.png": (REAL, "", "test"),
            "test/biggan/1_fake/d.png": (FAKE, "biggan", "test"),
        },
        "0_real/ = real, 1_fake/ = fake; test/ = test, train/ = train; 2 generators: biggan, progan",
    ),
    "GenImage": (
        {
            "Midjourney/imagenet_midjourney/train/ai/a.png": (FAKE, "Midjourney", "train"),
            "Midjourney/imagenet_midjourney/val/nature/b.JPEG": (REAL, "", "valid"),
        },
        "ai/ = fake, nature/ = real; train/ = train, val/ = valid; 1 generator: Midjourney",
    ),
    "numbers": (
        {"0_real/a.png": (REAL, "", ""), "1_fake/b.png": (FAKE, "unknown", "")},
        "0_real/ = real, 1_fake/ = fake; no folders of splits; 1 generator: unknown",
    ),
    "the first class counts": (
        {"real/nature/a.png": (REAL, "", ""), "fake/ai/b.png": (FAKE, "ai", "")},
        "fake/ = fake, real/ = real; no folders of splits; 1 generator: ai",
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_folder_takes_layouts_that_people_have_and_says_so(tmp_path, caplog, layout):
    files, said = LAYOUTS[layout]
    touch(tmp_path, *files)
    with caplog.at_level("INFO"):
        records = folder_module.scan(tmp_path, {})
    assert {record.path: (record.label, record.generator, record.official) for record in records} == files
    assert caplog.messages == [f"{tmp_path}: {said}"]


def test_folder_keeps_the_splits_in_its_classes(tmp_path):
    """30 images to train on and 10 to test with, of each class: none of the latter is trained on."""
    for name, count in (("train", 30), ("test", 10)):
        touch(tmp_path, *(f"{kind}/{name}/{i}.png" for kind in ("real", "fake") for i in range(count)))
    names = split_of(folder_module, folder_module.scan(tmp_path, {}))
    assert {path for path, name in names.items() if name == "test"} == {p for p in names if "/test/" in p}


def test_folder_cuts_a_missing_validation_from_train(tmp_path):
    touch(tmp_path, *(f"train/real/{i}.png" for i in range(90)), *(f"test/real/{i}.png" for i in range(7)))
    names = split_of(folder_module, folder_module.scan(tmp_path, {}))
    assert Counter(names.values()) == {"train": 80, "valid": 10, "test": 7}


def test_folder_stratified_ignores_split_folders(tmp_path):
    touch(tmp_path, *(f"train/real/{i}.png" for i in range(50)), *(f"test/real/{i}.png" for i in range(50)))
    names = split_of(folder_module, folder_module.scan(tmp_path, {}), "stratified")
    assert Counter(names.values()) == {"train": 80, "valid": 10, "test": 10}
    assert len({name for path, name in names.items() if path.startswith("test/")}) > 1


def test_folder_without_splits_is_cut_by_class_and_generator(tmp_path):
    touch(tmp_path, *(f"fake/{g}/{i}.png" for g in ("a", "b") for i in range(10)))
    records = folder_module.scan(tmp_path, {})
    names = split_of(folder_module, records)
    counts = Counter((record.generator, names[record.path]) for record in records)
    assert counts == {(g, s): n for g in "ab" for s, n in (("train", 8), ("valid", 1), ("test", 1))}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["real/a.png", "other/b.png"], "cannot place other/"),
        (["real/a.png", "b.png"], r"cannot place b\.png"),
        (["train/real/a.png", "train/cats/b.png"], "cannot place train/cats/;"),
        (["train/real/a.png", "train/b.png"], r"cannot place train/b\.png;"),
        (["real/a.png", "other/deep/b.png", "other/deep/er/c.png"], "cannot place other/;"),
        (["real/a.png", "none/"], "cannot place none/;"),
        # What could mean two things.
        (
            ["real/a.png", "train/real/b.png"],
            "train/real/ and real/ disagree: the first .* of a split",
        ),
        (
            ["real/train/a.png", "real/b.png"],
            "real/train/ and real/ disagree: the first .* of a split",
        ),
        (["real/train/a.png", "real/test/b.png", "fake/c.png"], "real/test/ and fake/ disagree: .* of a split"),
        (["real/a.png", "fake/dalle/test/b.png"], "fake/dalle/test/ and real/ disagree: .* of a split"),
        (["real/a.png", "fake/b.png", "old/real/c.png"], "old/real/ and fake/ disagree: .* a generator's folder"),
        (["real/a.png", "fake/b.png", "0_real/c.png"], "0_real/ and real/ are of one class by two names"),
        (["real/a.png", "fake/b.png", "ai/c.png"], "ai/ and fake/ are of one class by two names"),
        (["real/a.png", "real/b.pdf"], r"real: found 1 file.*\n  b\.pdf"),
        (["real/a.png", "fake/notes.txt"], "fake: no images in it"),
        (["notes.txt"], "found no images"),
    ],
)
def test_folder_names_what_it_cannot_place(tmp_path, names, message):
    touch(tmp_path, *(name for name in names if not name.endswith("/")))
    for name in names:
        if name.endswith("/"):
            (tmp_path / name).mkdir()
    with pytest.raises(DetectorError, match=message):
        folder_module.scan(tmp_path, {})


GROUPED = ["real/p1/a.png", "real/b.png", "fake/g/c.png", "fake/g/p1/d.png", "fake/e.png", "fake/g/p2/f_3.png"]


@pytest.mark.parametrize("split", ["", "train/"])
def test_folder_takes_the_folder_of_an_image_for_its_group(tmp_path, split):
    """But for one that says the class, the split or the generator: images in it have no more in common."""
    touch(tmp_path, *(f"{split}{name}" for name in GROUPED))
    records = folder_module.scan(tmp_path, {"groups": "parent"})
    assert {record.path.removeprefix(split): record.group for record in records} == dict.fromkeys(GROUPED, "") | {
        "real/p1/a.png": "p1",
        "fake/g/p1/d.png": "p1",
        "fake/g/p2/f_3.png": "p2",
    }
    plain = folder_module.scan(tmp_path, {})
    assert [replace(record, group="") for record in records] == plain


def test_folder_finds_groups_by_a_regular_expression_and_says_how_many(tmp_path, caplog):
    touch(tmp_path, "real/id1_0.png", "fake/x/id1_1.png", "fake/id2_7.png", "real/other.png")
    with caplog.at_level("INFO"):
        records = folder_module.scan(tmp_path, {"groups": "/(id[0-9]+)_"})
    assert [record.group for record in records] == ["id2", "id1", "id1", ""]
    assert f"{tmp_path}: 2 groups, 1 images in none" in caplog.messages
    names = split_of(folder_module, records)
    assert names["real/id1_0.png"] == names["fake/x/id1_1.png"]


@pytest.mark.parametrize("rule", ["person_([0-9]+)", "parent"])
def test_folder_with_a_rule_that_gives_no_group(tmp_path, rule):
    touch(tmp_path, "real/a.png", "fake/b.png")
    with pytest.raises(DetectorError, match=r"gives none of 2 images a group, expected it to fit paths such as"):
        folder_module.scan(tmp_path, {"groups": rule})


# --- a list of your own ---------------------------------------------------------------------------


def listed(root: Path, *rows: str, columns: str = "path,label") -> list:
    (root / "mine.csv").write_text("\n".join([columns, *rows]) + "\n")
    return list_module.scan(root, {"list": "mine.csv"})


def test_list_takes_the_images_that_it_names(tmp_path):
    touch(tmp_path, "a.png", "b/c.JPG", "not listed.png", "notes.pdf")
    columns = "path,label,generator,group,split,date"
    assert listed(tmp_path, "b/c.JPG,fake,glide,p1,val,2026-01-31", "a.png,real,,p1,test,", columns=columns) == [
        Record("a.png", REAL, "", "p1", "test"),
        Record("b/c.JPG", FAKE, "glide", "p1", "valid", date="2026-01-31"),
    ]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["a.png,real", "gone.png,fake"], r"mine.csv: found no file for 1 of 2 rows.*\n  gone.png"),
        (["a.png,1"], "mine.csv, line 2: found label '1', expected real or fake"),
        (["../a.png,real"], r"mine.csv, line 2: \.\./a.png leads out of the data set"),
        (["a.png,real", "./a.png,fake"], "mine.csv, line 3: a.png is in the list twice"),
        ([".hidden/a.png,real"], r"mine.csv, line 2: \.hidden/a.png: \.hidden is hidden, or what file browsers"),
        (["x/@eaDir/a.png,real"], "mine.csv, line 2: x/@eaDir/a.png: @eaDir is hidden, or"),
        (["a.pdf,real"], r"mine.csv, line 2: found a.pdf, expected a path that ends in .*\.jpg"),
    ],
)
def test_list_names_the_row_that_is_wrong(tmp_path, rows, message):
    touch(tmp_path, "a.png", ".hidden/a.png", "x/@eaDir/a.png", "a.pdf")
    with pytest.raises(DetectorError, match=f"(?s){message}"):
        listed(tmp_path, *rows)


def test_list_with_a_split_for_some_images_alone(tmp_path):
    touch(tmp_path, "a.png", "b.png")
    with pytest.raises(DetectorError, match="found a split for b.png and none for a.png"):
        listed(tmp_path, "a.png,real,", "b.png,fake,test", columns="path,label,split")


def test_list_that_is_a_link_to_the_outside(tmp_path):
    touch(tmp_path, "data/a.png")
    (tmp_path / "mine.csv").write_text("path,label\na.png,real\n")
    (tmp_path / "data/mine.csv").symlink_to(tmp_path / "mine.csv")
    with pytest.raises(DetectorError, match="mine.csv: leads out of the data set"):
        list_module.scan(tmp_path / "data", {"list": "mine.csv"})


def test_a_list_is_no_note_beside_images(tmp_path):
    """What it says decides on labels, so a change of it makes a scan stale."""
    touch(tmp_path, "a.png")
    lists = lists_of({"type": "list", "list": "mine.csv"})
    found = []
    for label in ("real", "fake"):
        (tmp_path / "mine.csv").write_text(f"path,label\na.png,{label}\n")
        found.append(fingerprint(tmp_path, tmp_path / ".listing", lists))
    assert found[0] != found[1]


def test_a_list_that_is_not_there_is_missed_before_anything_starts(tmp_path):
    source = {"type": "list", "root": tmp_path, "list": "mine.csv"}
    said = "mine.csv (found: no such file; set data.sources.some.list in the config)\n  expected layout:\n    LIST"
    assert said in missing_roots({"some": source})
    (tmp_path / "mine.csv").touch()
    assert missing_roots({"some": source}) == ""


def test_the_generators_of_a_source_are_those_of_its_scan(tiny_tree):
    options = {name: {"type": name, "root": tiny_tree / name} for name in ("faces140k", "synthbuster")}
    assert generators(options["faces140k"]) == ["stylegan"]
    assert generators(options["synthbuster"]) == sorted(synthbuster.GENERATORS)
