"""A copy of a root in object storage is kept where it is whole, and no key leads out of it."""

import errno
import os
import shutil

import pytest

from detector.core.errors import DetectorError
from detector.core.files import read_json
from detector.data import remote

ROOT = "s3://bucket/a/b"


def test_names_are_relative_and_sorted_and_what_changes_changes_the_fingerprint():
    found = remote.listed(ROOT, [("a/b/z.png", 3, "t"), ("a/b/c/y.png", 2, "u")])
    assert list(found.items()) == [("c/y.png", [2, "u"]), ("z.png", [3, "t"])]
    others = [{**found, "z.png": [3, "other"]}, {**found, "z.png": [4, "t"]}, {"c/y.png": [2, "u"]}]
    assert len({remote.fingerprint(some) for some in (found, *others)}) == 4
    assert remote.listed("s3://bucket", [("z.png", 3, "t")]) == {"z.png": [3, "t"]}


@pytest.mark.parametrize("key", ["a/b/../c.png", "a/b//c.png", "a/b/./c.png", "a/b/c/..", "a/b//etc/passwd"])
def test_a_key_that_is_no_path_below_the_root_is_named(key):
    with pytest.raises(DetectorError, match="no paths below it") as error:
        remote.listed(ROOT, [(key, 1, ""), ("a/b/fine.png", 1, "")])
    assert key.removeprefix("a/b/") in str(error.value)


def test_nothing_there_is_an_error():
    with pytest.raises(DetectorError, match="s3://bucket/a/b: found nothing there"):
        remote.listed(ROOT, [])


def test_a_whole_copy_is_kept_without_what_was_there_before(tmp_path):
    (tmp_path / "copy/c").mkdir(parents=True)
    (tmp_path / "copy/c/y.png").write_bytes(b"ab")
    (tmp_path / "files").mkdir()
    (tmp_path / "files/old.png").write_bytes(b"of yesterday")
    remote.keep(tmp_path / "copy", {"c/y.png": 2}, tmp_path / "files", tmp_path / "done.json")
    assert [path.name for path in (tmp_path / "files").rglob("*") if path.is_file()] == ["y.png"]
    assert read_json(tmp_path / "done.json") == {"c/y.png": 2}


def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    for folder, name in (("copy", "y.png"), ("copy", "z.png"), ("files", "old.png")):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / name).write_bytes(b"ab")

    def full(source, target):
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    monkeypatch.setattr(os, "link", full)
    monkeypatch.setattr(shutil, "copy2", full)
    with pytest.raises(OSError, match="No space left"):
        remote.keep(tmp_path / "copy", {"y.png": 2, "z.png": 2}, tmp_path / "files", tmp_path / "done.json")
    assert [path.name for path in (tmp_path / "files").iterdir()] == ["old.png"]
    assert not (tmp_path / "done.json").exists()
    monkeypatch.undo()
    remote.keep(tmp_path / "copy", {"y.png": 2, "z.png": 2}, tmp_path / "files", tmp_path / "done.json")
    assert sorted(path.name for path in (tmp_path / "files").iterdir()) == ["y.png", "z.png"]


@pytest.mark.parametrize("expected", [{"y.png": 3}, {}, {"y.png": 2, "z.png": 1}])
def test_a_copy_that_is_not_whole_is_removed_and_named(expected, tmp_path):
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy/y.png").write_bytes(b"ab")
    with pytest.raises(DetectorError, match="run again"):
        remote.keep(tmp_path / "copy", expected, tmp_path / "files", tmp_path / "done.json")
    assert not (tmp_path / "copy").exists()
    assert not (tmp_path / "done.json").exists()
