"""A full disk, and a folder that cannot be written, leave no incomplete file under a final name. The error is the
system's own and names the file."""

import contextlib
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from detector.core import parquet
from detector.core.errors import DetectorError
from detector.data import packing, scanning
from detector.imaging.preprocessing import Preprocessing
from tests.data import test_packing
from tests.support import ROOT, samples

LIMIT = 1_000_000
HOW = Preprocessing(8, max_pixels=LIMIT)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own with room for 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"only root can mount a small disk: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def root(tmp_path):
    samples.write_synthbuster(tmp_path / "data", test_packing.PROMPTS)
    return tmp_path / "data"


def fill(disk: Path, leave: int = 0) -> None:
    """Take all room but `leave` bytes; the file is `filler`."""
    with open(disk / "filler", "wb", buffering=0) as file:
        with contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        file.truncate(max(file.tell() - leave, 0))


def left(folder: Path) -> list[str]:
    """All files below a folder but the filler."""
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "filler"
    )


def pack(root: Path, out: Path, state: Path, size: int = test_packing.SIZE, **more) -> None:
    files = [out / name for name in test_packing.NAMES]
    options = {"workers": 1, "max_bad": 0, "meta": {}} | more
    packing.pack(test_packing.scan(root), root, Preprocessing(size, max_pixels=LIMIT), *files, state, **options)


def test_a_full_disk_under_a_table(root, small_disk):
    table = test_packing.scan(root)
    fill(small_disk, leave=4096)
    with pytest.raises(OSError) as caught:
        parquet.write(table, small_disk / "data/scan.parquet")
    assert caught.value.errno == errno.ENOSPC
    assert str(small_disk / "data/scan.parquet") in str(caught.value)
    assert left(small_disk) == []
    (small_disk / "filler").unlink()
    parquet.write(table, small_disk / "data/scan.parquet")
    assert left(small_disk) == ["data/scan.parquet"]


def test_a_full_disk_keeps_the_table_that_was_there(root, small_disk):
    table = test_packing.scan(root)
    parquet.write(table, small_disk / "scan.parquet")
    before = (small_disk / "scan.parquet").read_bytes()
    fill(small_disk)
    with pytest.raises(OSError):
        parquet.write(table[:5], small_disk / "scan.parquet")
    assert (small_disk / "scan.parquet").read_bytes() == before
    assert left(small_disk) == ["scan.parquet"]


def test_no_room_for_the_pixels_is_said_before_decoding(root, small_disk, monkeypatch):
    decoded = test_packing.count_decodes(monkeypatch)
    with pytest.raises(
        DetectorError, match=r"work\.npy: no room for .* MiB of pixels: No space left on device\. Free"
    ):
        pack(root, small_disk / "out", small_disk / "state", size=64)
    assert decoded == []
    assert not (small_disk / "out").exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_disk_that_fills_up_while_packing_goes_on_from_there(root, small_disk, tmp_path, monkeypatch, workers):
    """Not the pixels, whose room is claimed at the start, but the journal beside them meets the full disk."""
    monkeypatch.setattr(packing, "CHUNK", 4)
    finish = packing._State.finish

    def finish_and_fill(state, start, crc, bad):
        finish(state, start, crc, [(row, "x" * 2000) for row, _ in bad])
        if not (small_disk / "filler").exists():
            fill(small_disk)

    for generator in ("glide", "firefly"):  # reasons make the journal long enough to need another block
        for path in (root / generator).iterdir():
            content = path.read_bytes()
            path.write_bytes(content[: len(content) // 2])
    monkeypatch.setattr(packing._State, "finish", finish_and_fill)
    with pytest.raises(OSError) as caught:
        pack(root, small_disk / "out", small_disk / "state", workers=workers, max_bad=9)
    assert caught.value.errno == errno.ENOSPC
    assert "state/done.jsonl" in str(caught.value)
    assert not (small_disk / "out").exists() or left(small_disk / "out") == []
    monkeypatch.setattr(packing._State, "finish", finish)
    (small_disk / "filler").unlink()
    pack(root, small_disk / "out", small_disk / "state", max_bad=9)
    assert left(small_disk) == [f"out/{name}" for name in sorted(test_packing.NAMES)]
    pack(root, tmp_path / "whole", tmp_path / "state", max_bad=9)
    assert (small_disk / "out/pack.npy").read_bytes() == (tmp_path / "whole/pack.npy").read_bytes()


def test_a_full_disk_under_the_index(root, small_disk, monkeypatch):
    """Packed, and then there is no room for the two small files: the pixels get no name either."""
    table = test_packing.scan(root)
    monkeypatch.setattr(scanning, "check_bad", lambda *_: fill(small_disk))
    files = [small_disk / "out" / name for name in test_packing.NAMES]
    with pytest.raises(OSError) as caught:
        packing.pack(table, root, HOW, *files, small_disk / "state", workers=1, max_bad=0, meta={})
    assert caught.value.errno == errno.ENOSPC
    assert str(small_disk / "out") in str(caught.value)
    assert left(small_disk) == ["state/done.jsonl", "state/work.npy"]


def test_a_limit_on_the_size_of_files(root, tmp_path):
    """The limit that a shell or a cluster sets (`ulimit -f`) instead of a full disk."""
    body = """
import resource, sys
from pathlib import Path
from tests.properties import test_full_disk
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
test_full_disk.pack(*map(Path, sys.argv[1:]))
"""
    done = subprocess.run(
        [sys.executable, "-c", body, root, tmp_path / "out", tmp_path / "state"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "File too large" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("stage", ["scan", "manifest", "pack"])
def test_a_folder_that_cannot_be_written(root, tmp_path, small_disk, stage):
    table = test_packing.scan(root)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    work = {
        "scan": lambda: parquet.write(table, small_disk / "data/scan.parquet"),
        "manifest": lambda: parquet.write(table, small_disk / "manifest.parquet"),
        "pack": lambda: pack(root, small_disk / "out", small_disk / "state"),
    }[stage]
    with pytest.raises(OSError) as caught:
        work()
    assert caught.value.errno == errno.EROFS
    assert str(small_disk) in str(caught.value)
    assert left(small_disk) == []
