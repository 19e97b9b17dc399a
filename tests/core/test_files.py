"""A file under its final name is complete, after a power cut too: its contents are synced before it gets the name,
and the name before anything builds on it."""

import ast
import errno
import os
from pathlib import Path

import pytest

import detector
from detector.core import files


@pytest.fixture
def done(monkeypatch):
    """What is asked of the system, in order: ("sync", path) and ("replace", path)."""
    seen = []
    replace, fsync = os.replace, os.fsync

    def note_sync(handle):
        seen.append(("sync", os.readlink(f"/proc/self/fd/{handle}")))
        fsync(handle)

    def note_replace(source, target):
        seen.append(("replace", str(target)))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "replace", note_replace)
    return seen


def test_contents_then_the_name_then_the_folder_reach_the_disk(tmp_path, done):
    with files.replacing(tmp_path / "out/file") as temporary:
        temporary.write_text("x")
    assert done == [
        ("sync", str(temporary)),
        ("replace", str(tmp_path / "out/file")),
        ("sync", str(tmp_path / "out")),
    ]


def test_what_cannot_be_synced_does_not_get_the_name(tmp_path, monkeypatch):
    def broken(handle):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="file"), files.replacing(tmp_path / "file") as temporary:
        temporary.write_text("x")
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_syncing_is_no_error(tmp_path, monkeypatch):
    def unknown(handle):
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", unknown)
    files.write_json(tmp_path / "file", [1])
    assert files.read_json(tmp_path / "file") == [1]


def test_states_of_jobs_that_are_through_go_at_any_depth_and_others_stay(tmp_path):
    through, begun = ("a", "protocols/gan/a", "protocols/glide/a"), ("b", "protocols/gan/b")
    for name in through:
        files.finish_state(tmp_path / name, "key")
    for name in begun:
        (tmp_path / name / "key").mkdir(parents=True)
    files.clean_states(tmp_path)
    assert [(tmp_path / name).exists() for name in (*through, *begun)] == [False] * 3 + [True] * 2
    assert not (tmp_path / "protocols/glide").exists(), "nothing else was there"


def test_no_final_name_is_given_elsewhere():
    """`os.replace` and its like stand in one place; `demo` moves an old folder out of the way, to delete it."""
    library = Path(detector.__file__).parent
    calls = [
        path.name
        for path in sorted([*library.rglob("*.py"), *(library.parents[1] / "workflow/scripts").rglob("*.py")])
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and (
            node.attr in ("renames", "move")
            or (node.attr in ("replace", "rename") and ast.unparse(node.value) == "os")
        )
    ]
    assert calls == ["files.py", "generate.py"]
