"""A fingerprint depends on the contents of the files that a scan looks at, and reads no file that was not written
to."""

import os
import shutil
import threading
import time
from pathlib import Path

import pytest

from detector.core import files
from detector.data.fingerprints import fingerprint
from tests.support import samples


@pytest.fixture
def root(tmp_path):
    for number in range(4):
        for name in (f"real/{number}.png", f"fake/glide/{number}.png"):
            samples.write_picture(tmp_path / "data" / name, seed=number)
    for path in (tmp_path / "data").rglob("*.png"):
        os.utime(path, (1e9, 1e9))
    return tmp_path / "data"


@pytest.fixture
def read(monkeypatch):
    """The files that were read."""
    seen = []
    content = files.sha256
    monkeypatch.setattr(files, "sha256", lambda path: seen.append(Path(path).name) or content(path))
    return seen


@pytest.fixture
def settled(monkeypatch):
    """As if all files had been there for a while: what is new may be written once more within the same moment."""
    monkeypatch.setattr("detector.data.fingerprints.RECENT", -(10**18))


def test_times_do_not_count_and_only_what_changed_is_read(root, tmp_path, read, settled):
    listing = tmp_path / "noted/listing"
    before = fingerprint(root, listing)
    assert len(read) == 8
    assert fingerprint(root, listing) == before
    assert len(read) == 8
    (root / "real/2.png").touch()
    assert fingerprint(root, listing) == before
    assert read[8:] == ["2.png"]
    assert fingerprint(root, listing) == before
    assert len(read) == 9


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "real/new.png").write_bytes(b""),
        lambda root: (root / "real/0.png").unlink(),
        lambda root: (root / "real/0.png").rename(root / "real/9.png"),
        lambda root: (root / "real/0.png").write_bytes((root / "real/1.png").read_bytes()),
        lambda root: (root / "fake/glide").rename(root / "fake/dalle"),
        lambda root: (root / "real/notes.docx").touch(),
        lambda root: (root / "real/link.png").symlink_to("0.png"),
    ],
)
def test_what_a_scan_would_see_counts(root, tmp_path, settled, change):
    before = fingerprint(root, tmp_path / "listing", ())
    change(root)
    assert fingerprint(root, tmp_path / "listing", ()) != before
    assert fingerprint(root, tmp_path / "none", ()) == fingerprint(root, tmp_path / "listing", ())


def test_a_change_that_keeps_size_and_time_of_modification_is_seen(root, tmp_path, settled):
    path = root / "real/0.png"
    before = fingerprint(root, tmp_path / "listing")
    stat, content = path.stat(), bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert fingerprint(root, tmp_path / "listing") != before


def test_a_file_that_has_just_been_written_is_not_trusted_yet(root, tmp_path, read):
    fingerprint(root, tmp_path / "listing")
    fingerprint(root, tmp_path / "listing")
    assert len(read) == 16


@pytest.mark.parametrize(
    "name", [".DS_Store", "real/Thumbs.db", "real/@eaDir/0.png", ".hidden/x.png", "fake/a.txt"]
)
def test_what_a_scan_ignores_does_not_count(root, tmp_path, name):
    before = fingerprint(root, tmp_path / "listing", ("train.csv",))
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_text("x")
    assert fingerprint(root, tmp_path / "listing", ("train.csv",)) == before


def test_a_list_that_the_scan_reads_counts(root, tmp_path):
    before = fingerprint(root, tmp_path / "listing", ("train.csv",))
    (root / "train.csv").write_text("x")
    assert fingerprint(root, tmp_path / "listing", ("train.csv",)) != before


def test_a_copy_elsewhere_with_other_times_has_the_same(root, tmp_path):
    shutil.copytree(root, tmp_path / "copy", copy_function=shutil.copyfile)
    assert fingerprint(tmp_path / "copy", tmp_path / "a") == fingerprint(root, tmp_path / "b")


@pytest.mark.parametrize("damage", ["", "real/\t{", '"real/"\tnothing\n', "\0"])
def test_a_listing_that_is_damaged_or_cannot_be_written_changes_nothing(root, tmp_path, damage):
    before = fingerprint(root, tmp_path / "listing")
    (tmp_path / "listing").write_text(damage)
    assert fingerprint(root, tmp_path / "listing") == before
    (tmp_path / "file").touch()
    assert fingerprint(root, tmp_path / "file/listing") == before


def test_several_at_once_agree(root, tmp_path, settled):
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(fingerprint(root, tmp_path / "listing"))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_what_is_no_file_or_cannot_be_read_ends_nothing(root, tmp_path, monkeypatch):
    os.mkfifo(root / "real/pipe.png")
    (root / "real/nothing.png").symlink_to("gone")
    (root / "circle").symlink_to(root)
    begun = time.perf_counter()
    before = fingerprint(root, tmp_path / "listing")
    assert time.perf_counter() - begun < 30
    content = files.sha256

    def refused(path):
        if path.endswith("real/0.png"):
            raise PermissionError(13, "Permission denied", path)
        return content(path)

    monkeypatch.setattr(files, "sha256", refused)
    assert fingerprint(root, tmp_path / "other") != before


def test_a_long_look_is_told(root, tmp_path, monkeypatch):
    monkeypatch.setattr("detector.data.fingerprints.MANY", 4)
    told = []
    fingerprint(root, tmp_path / "listing", tell=told.append)
    assert [line.split(": ")[1][:15] for line in told] == ["reading 4 files"] * 2


def test_it_does_not_walk_through_links(tmp_path):
    """Asked at every start, before anything is refused: a link to / must not become a walk through the machine."""
    samples.write_picture(tmp_path / "data/real/0.jpg")
    before = fingerprint(tmp_path / "data", tmp_path / "listing")
    (tmp_path / "data/real/all").symlink_to("/")
    (tmp_path / "data/real/nothing").symlink_to("gone")
    linked = fingerprint(tmp_path / "data", tmp_path / "listing")
    assert linked != before
    (tmp_path / "data/real/all").unlink()
    (tmp_path / "data/real/all").symlink_to("/usr")
    assert fingerprint(tmp_path / "data", tmp_path / "listing") != linked
    assert "usr/" not in (tmp_path / "listing").read_text()


def test_that_of_a_linked_root_is_that_of_the_root(root, tmp_path):
    (tmp_path / "link").symlink_to(root)
    assert fingerprint(tmp_path / "link", tmp_path / "a") == fingerprint(root, tmp_path / "b")
