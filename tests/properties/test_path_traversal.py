"""No data set leads out of its root: links and listed paths that do are refused by name, links that stay inside,
and a root that is a link itself, are fine."""

from pathlib import Path

import pytest

from detector.core.errors import DetectorError
from detector.data import scanning
from detector.data.sources import celebdf
from tests.support import samples

LIMIT = 1_000_000
# Kind → a folder of it that holds images, and the names of two in it.
KINDS = {
    "faces140k": ("real_vs_fake/real-vs-fake/train/real", "00000.jpg", "00001.jpg"),
    "celebdf": ("Celeb-real", "id0_0000.mp4", "id1_0000.mp4"),
    "synthbuster": ("glide", "r000.png", "r001.png"),
    "cifake": ("train/REAL", "0.jpg", "1.jpg"),
    "folder": ("fake/some", "0.jpg", "1.jpg"),
    "list": ("fake/some", "0.jpg", "1.jpg"),
}
OPTIONS = {"list": {"list": "images.csv"}}


@pytest.fixture(params=KINDS)
def tree(request, tmp_path):
    """(kind, its root, the folder of images, two files in it)."""
    kind = request.param
    root = tmp_path / "data"
    if kind in ("faces140k", "celebdf", "synthbuster"):
        getattr(samples, f"write_{kind}")(root)
        for table in root.glob("*.csv"):
            table.unlink()
    elif kind == "cifake":
        for part in ("train/REAL", "train/FAKE", "test/REAL", "test/FAKE"):
            for number in range(2):
                samples.write_picture(root / part / f"{number}.jpg", seed=number)
    else:
        for part in ("real", "fake/some"):
            for number in range(2):
                samples.write_picture(root / part / f"{number}.jpg", seed=number)
    if kind == "list":
        rows = [f"{part}/{number}.jpg,{part.split('/')[0]}" for part in ("real", "fake/some") for number in (0, 1)]
        (root / "images.csv").write_text("\n".join(["path,label", *rows]) + "\n")
    folder, first, second = KINDS[kind]
    return kind, root, root / folder, root / folder / first, root / folder / second


def scan(kind: str, root: Path):
    return scanning.scan_source("mine", kind, root, OPTIONS.get(kind, {}), max_pixels=LIMIT)


def refused(kind: str, root: Path, link: Path, target: Path) -> None:
    with pytest.raises(DetectorError) as caught:
        scan(kind, root)
    message = str(caught.value)
    assert message.startswith(f"{link}: leads out of the data set, to {target}; everything must lie in {root}")
    assert "Move the real files there, or set the root" in message


def test_a_file_that_is_a_link_to_the_outside_is_refused(tree, tmp_path):
    kind, root, _, image, _ = tree
    secret = tmp_path / "outside" / image.name
    secret.parent.mkdir()
    image.rename(secret)
    image.symlink_to(secret)
    refused(kind, root, image, secret)


def test_a_relative_link_that_climbs_is_refused(tree, tmp_path):
    kind, root, folder, image, _ = tree
    image.rename(tmp_path / image.name)
    depth = len(folder.relative_to(root).parts) + 1
    image.symlink_to(Path(*[".."] * depth, image.name))
    refused(kind, root, image, tmp_path / image.name)


def test_a_folder_that_is_a_link_to_the_outside_is_refused(tree, tmp_path):
    kind, root, folder, _, _ = tree
    folder.rename(tmp_path / "outside")
    folder.symlink_to(tmp_path / "outside")
    refused(kind, root, folder, tmp_path / "outside")


def test_a_link_to_nothing_outside_is_refused_too(tree, tmp_path):
    kind, root, _, image, _ = tree
    image.unlink()
    image.symlink_to(tmp_path / "later")
    refused(kind, root, image, tmp_path / "later")


def test_a_neighbour_whose_name_begins_like_the_root_is_outside(tree, tmp_path):
    kind, root, _, image, _ = tree
    (tmp_path / "data2").mkdir()
    image.rename(tmp_path / "data2/x")
    image.symlink_to(tmp_path / "data2/x")
    refused(kind, root, image, tmp_path / "data2/x")


def test_links_that_stay_inside_are_fine(tree):
    kind, root, folder, image, other = tree
    before = scan(kind, root)
    image.unlink()
    image.symlink_to(other.name)
    (root / ".store").mkdir()
    folder.rename(root / ".store/images")
    folder.symlink_to(root / ".store/images")
    after = scan(kind, root)
    assert after.path.tolist() == before.path.tolist()
    assert (after.error == "").all()


def test_a_root_that_is_a_link_is_fine(tree, tmp_path):
    kind, root, _, _, _ = tree
    (tmp_path / "link").symlink_to(root)
    assert scan(kind, tmp_path / "link").path.tolist() == scan(kind, root).path.tolist()


def test_hard_links_are_ordinary_files(tree):
    kind, root, _, image, other = tree
    image.unlink()
    image.hardlink_to(other)
    assert (scan(kind, root).error == "").all()


@pytest.mark.parametrize("target", ["..", "../..", "../../fake"])
def test_a_circle_of_links_is_refused(tmp_path, target):
    for part in ("real", "fake/some"):
        samples.write_picture(tmp_path / part / "0.jpg")
    (tmp_path / "fake/some/again").symlink_to(target)
    with pytest.raises(DetectorError, match=r"fake/some/again.*leads back to .*, in a circle. Move it away"):
        scan("folder", tmp_path)


@pytest.mark.parametrize(
    "path", ["../../../etc/00000.jpg", "/etc/00000.jpg", "train/../../00000.jpg", "..\\0.jpg"]
)
def test_paths_in_the_csv_of_140k(tmp_path, path):
    samples.write_faces140k(tmp_path)
    table = tmp_path / "train.csv"
    table.write_text(table.read_text().replace("train/fake/00000.jpg", path))
    with pytest.raises(DetectorError, match=r"train\.csv, line 2: .*leads out of the data set, to /.*Restore"):
        scan("faces140k", tmp_path)


@pytest.mark.parametrize("path", ["../id0_0000.mp4", "/etc/id0_0000.mp4", "Celeb-real/../../id0_0000.mp4"])
def test_paths_in_the_list_of_celebdf(tmp_path, path):
    samples.write_celebdf(tmp_path)
    (tmp_path / celebdf.TEST_LIST).write_text(f"1 {path}\n")
    with pytest.raises(DetectorError, match="line 1: .*leads out of the data set, to /.*Restore the list"):
        scan("celebdf", tmp_path)


@pytest.mark.parametrize(("kind", "name"), [("faces140k", "train.csv"), ("celebdf", celebdf.TEST_LIST)])
def test_a_list_that_is_a_link_to_the_outside_is_refused(tmp_path, kind, name):
    """An error about its content would print lines of that file."""
    getattr(samples, f"write_{kind}")(tmp_path / "data")
    (tmp_path / "data" / name).unlink()
    (tmp_path / "data" / name).symlink_to("/etc/passwd")
    refused(kind, tmp_path / "data", tmp_path / "data" / name, Path("/etc/passwd"))
