"""A killed packing resumes without repeating work, packing is deterministic, and damage is detected."""

import csv
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from detector.core import pool
from detector.core.errors import DetectorError
from detector.data import packing, scanning
from detector.data import store as packed
from detector.data.store import _note, open_seen, open_store, verify
from detector.imaging import preprocessing
from tests.support import ROOT, samples

LIMIT, SIZE, PROMPTS = 1_000_000, 8, 3  # 27 images
HOW = preprocessing.Preprocessing(SIZE, max_pixels=LIMIT)
NAMES = ("pack.npy", "pack.json", "bad.csv")


@pytest.fixture
def root(tmp_path):
    samples.write_synthbuster(tmp_path / "data", PROMPTS)
    return tmp_path / "data"


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(packing, "CHUNK", 4)


def scan(root: Path):
    return scanning.scan_source("synth", "synthbuster", root, {}, max_pixels=LIMIT, max_bad=9)


def pack(root: Path, out: Path, workers: int = 1, max_bad: int = 0, size: int = SIZE, **more) -> None:
    out.mkdir(exist_ok=True)
    files = [out / name for name in NAMES]
    options = {"workers": workers, "max_bad": max_bad, "meta": {"who": "test"}} | more
    packing.pack(
        scan(root), root, preprocessing.Preprocessing(size, max_pixels=LIMIT), *files, out / "state", **options
    )


def contents(out: Path) -> list[bytes]:
    return [(out / name).read_bytes() for name in NAMES]


def count_decodes(monkeypatch) -> list[str]:
    """Paths in the order in which they are decoded from now on, in this process."""
    decoded, load = [], preprocessing.load

    def counting(path, *args, **kwargs):
        decoded.append(f"{path.parent.name}/{path.name}")
        return load(path, *args, **kwargs)

    monkeypatch.setattr(packing, "load", counting)
    return decoded


def damage(root: Path) -> None:
    """One file that is no image, and one whose header is fine and whose pixels are cut off."""
    (root / "dalle2/r000.png").write_text("no image")
    path = root / "glide/r001.png"
    samples.write_picture(path, size=(64, 64))
    path.write_bytes(path.read_bytes()[:5000])


def test_the_store_holds_what_load_gives_in_the_order_of_the_scan(root, tmp_path):
    pack(root, tmp_path / "out")
    store = open_store(tmp_path / "out/pack.npy", tmp_path / "out/pack.json")
    assert (store.shape, store.dtype) == ((27, SIZE, SIZE, 3), np.uint8)
    assert not store.flags.writeable
    for row, path in enumerate(scan(root).path):
        assert np.array_equal(store[row], preprocessing.load(root / path, HOW))
    index = json.loads((tmp_path / "out/pack.json").read_text())
    assert (index["format"], index["version"], index["layout"]) == ("detector-pack", 1, "NHWC")
    assert (index["source"], index["bad"], index["meta"]) == ("synth", 0, {"who": "test"})
    assert index["scan_sha256"] == packing.scan_hash(scan(root))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(NAMES)


def test_videos_are_packed_at_their_position(tmp_path):
    samples.write_celebdf(tmp_path / "data")
    table = scanning.scan_source("celeb", "celebdf", tmp_path / "data", {"frame": 1.0}, max_pixels=LIMIT)
    files = [tmp_path / name for name in NAMES]
    packing.pack(table, tmp_path / "data", HOW, *files, tmp_path / "s", workers=1, max_bad=0, meta={})
    store = open_store(files[0], files[1])
    assert abs(int(np.median(store)) - 32) <= 3  # the last of 5 frames has grey value 4 · 8


def test_several_frames_of_a_video_are_packed_a_row_each(tmp_path):
    """Of 5 frames three are those of the numbers 0, 2 and 4, with the grey values 0, 16 and 32."""
    samples.write_celebdf(tmp_path / "data")
    table = scanning.scan_source("celeb", "celebdf", tmp_path / "data", {"frames": 3}, max_pixels=LIMIT)
    files = [tmp_path / name for name in NAMES]
    packing.pack(table, tmp_path / "data", HOW, *files, tmp_path / "s", workers=1, max_bad=0, meta={})
    grey = np.median(open_store(files[0], files[1]), axis=(1, 2, 3)).reshape(-1, 3)
    assert len(grey) == 9
    assert (abs(grey - [0, 16, 32]) <= 3).all()


def test_workers_make_the_same_bytes(root, tmp_path):
    pack(root, tmp_path / "one", workers=1)
    pack(root, tmp_path / "two", workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def run_script(body: str, *args: object) -> subprocess.Popen:
    """Python in another process; it can import the tests' modules."""
    paths = os.pathsep.join([str(ROOT), *sys.path])
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(body), *map(str, args)],
        env=os.environ | {"PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        text=True,
    )


def pack_and_die(root: Path, out: Path, after: int) -> None:
    """Pack in another process that kills itself (-9) when it comes to decode image number `after`."""
    body = """
        import os, signal, sys
        from pathlib import Path
        from tests.data import test_packing
        from detector.data import packing
        packing.CHUNK = 4
        load, count = packing.load, 0
        def dying(*args, **kwargs):
            global count
            if count == int(sys.argv[3]):
                os.kill(os.getpid(), signal.SIGKILL)
            count += 1
            return load(*args, **kwargs)
        packing.load = dying
        test_packing.pack(Path(sys.argv[1]), Path(sys.argv[2]))
    """
    process = run_script(body, root, out, after)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert not any((out / name).exists() for name in NAMES)


def test_resumes_after_kill_without_doing_finished_chunks_again(root, tmp_path, monkeypatch):
    pack(root, tmp_path / "whole")
    pack_and_die(root, tmp_path / "out", after=14)  # three chunks of four, and two images of the next
    decoded = count_decodes(monkeypatch)
    pack(root, tmp_path / "out")
    assert decoded == list(scan(root).path[12:])
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert not (tmp_path / "out/state").exists()


@pytest.mark.parametrize("torn", [b'{"start": 12, "crc', b'{"start": 12, "crc32": 5, "bad": []}'])
def test_a_torn_last_line_does_not_count(root, tmp_path, monkeypatch, torn):
    pack(root, tmp_path / "whole")
    pack_and_die(root, tmp_path / "out", after=13)
    with open(tmp_path / "out/state/done.jsonl", "ab") as journal:
        journal.write(torn)
    decoded = count_decodes(monkeypatch)
    pack(root, tmp_path / "out")
    assert decoded == list(scan(root).path[12:])
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_a_mended_decoder_decodes_all_again_and_judges_bad_files_anew(root, tmp_path, monkeypatch):
    """Else one store would hold pixels of two decoders, under checksums that hold."""
    load = preprocessing.load

    def faulty(path, *args, **kwargs):
        if path.name == "r000.png":
            raise ValueError("not understood")
        return load(path, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(packing, "load", faulty)
        with pytest.raises(DetectorError, match="not understood"):
            pack(root, tmp_path / "out", key="faulty decoder")
    decoded = count_decodes(monkeypatch)
    pack(root, tmp_path / "out", key="mended decoder")
    assert len(decoded) == 27
    assert (tmp_path / "out" / NAMES[2]).read_text() == "path,error\n"
    pack(root, tmp_path / "whole")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_state_of_other_data_or_settings_is_thrown_away(root, tmp_path, monkeypatch):
    pack_and_die(root, tmp_path / "out", after=13)
    samples.write_picture(root / "dalle2/r000.png", seed=99)
    decoded = count_decodes(monkeypatch)
    pack(root, tmp_path / "out")
    assert len(decoded) == 27
    pack_and_die(root, tmp_path / "other", after=13)
    decoded.clear()
    pack(root, tmp_path / "other", size=16)
    assert len(decoded) == 27


def test_scan_hash_follows_what_decides_on_pixels(root):
    table = scan(root)
    hashes = {packing.scan_hash(table)}
    for column, value in (("path", "x"), ("sha256", "x"), ("frame", 0.5), ("error", "x")):
        changed = table.copy()
        changed.loc[2, column] = value
        hashes.add(packing.scan_hash(changed))
    hashes.add(packing.scan_hash(table[::-1]))
    assert len(hashes) == 6
    assert packing.scan_hash(scan(root)) == packing.scan_hash(table)
    assert packing.scan_hash(table.assign(width=1)) == packing.scan_hash(table)


def test_bad_files_are_listed_and_black(root, tmp_path):
    damage(root)
    pack(root, tmp_path / "out", max_bad=2, workers=2)
    with open(tmp_path / "out/bad.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == ["dalle2/r000.png", "glide/r001.png"]
    assert "no image that can be read" in rows[0]["error"]
    assert "truncated" in rows[1]["error"]
    assert str(root) not in (tmp_path / "out/bad.csv").read_text()
    store = open_store(tmp_path / "out/pack.npy", tmp_path / "out/pack.json")
    paths = list(scan(root).path)
    assert [path for path, image in zip(paths, store, strict=True) if not image.any()] == [r["path"] for r in rows]
    assert json.loads((tmp_path / "out/pack.json").read_text())["bad"] == 2


def test_too_many_bad_files_leave_nothing_under_a_final_name(root, tmp_path, monkeypatch):
    damage(root)
    with pytest.raises(DetectorError, match=r"2 bad file\(s\) found, at most 1[\s\S]*glide/r001.png: OSError"):
        pack(root, tmp_path / "out", max_bad=1)
    assert not any((tmp_path / "out" / name).exists() for name in NAMES)
    # Having accepted them, nobody waits a second time for what was decoded.
    decoded = count_decodes(monkeypatch)
    pack(root, tmp_path / "out", max_bad=2)
    assert decoded == []


def test_a_file_is_bad_for_all_architectures_or_for_none(root, tmp_path):
    """A step of preprocessing may leave out what is left out without it, and nothing else."""
    damage(root)
    with pytest.raises(
        DetectorError, match=r"found 1 image\(s\) .* the first of them glide/r001.png: .*truncated"
    ):
        pack(root, tmp_path / "out", max_bad=2, accepted={"dalle2/r000.png"})
    assert not any((tmp_path / "out" / name).exists() for name in NAMES)
    pack(root, tmp_path / "out", max_bad=2, accepted={"dalle2/r000.png", "glide/r001.png"})
    pack(root, tmp_path / "any", max_bad=2)
    assert all((tmp_path / "out" / name).read_bytes() == (tmp_path / "any" / name).read_bytes() for name in NAMES)


def test_an_empty_scan_is_refused(root, tmp_path):
    files = [tmp_path / name for name in NAMES]
    with pytest.raises(DetectorError, match="without rows"):
        packing.pack(scan(root)[:0], root, HOW, *files, tmp_path / "s", workers=1, max_bad=0, meta={})


# --- damage ---------------------------------------------------------------------------------------


def test_verify_finds_one_flipped_bit(root, tmp_path):
    pack(root, tmp_path / "out")
    npy, index = tmp_path / "out/pack.npy", tmp_path / "out/pack.json"
    verify(npy, index)
    content = bytearray(npy.read_bytes())
    content[-1] ^= 1
    npy.write_bytes(content)
    with pytest.raises(DetectorError, match=r"pack\.npy: corrupted: 1 of 7 chunks.*rows 24 to 26.*Delete"):
        verify(npy, index)


def test_a_store_is_read_once_and_again_when_its_file_changed(root, tmp_path, monkeypatch):
    """Also where the change put size and time of modification back, as a careful copy does."""
    pack(root, tmp_path / "out")
    npy, index = tmp_path / "out/pack.npy", tmp_path / "out/pack.json"
    read = []  # rows
    crc32 = packing.zlib.crc32
    monkeypatch.setattr(packing.zlib, "crc32", lambda rows: read.append(len(rows)) or crc32(rows))
    monkeypatch.setattr(packed, "SETTLED", 1e9)
    verify(npy, index)
    verify(npy, index)
    assert sum(read) == 2 * 27, "just written: another write might bear the same time"
    monkeypatch.setattr(packed, "SETTLED", 0.0)
    verify(npy, index)
    verify(npy, index)
    assert sum(read) == 3 * 27
    before, content = npy.stat(), bytearray(npy.read_bytes())
    content[-1] ^= 1
    time.sleep(0.02)  # more than the step of a file system's clock
    npy.write_bytes(content)
    os.utime(npy, ns=(before.st_atime_ns, before.st_mtime_ns))
    for _ in range(2):
        with pytest.raises(DetectorError, match="corrupted"):
            verify(npy, index)
    content[-1] ^= 1
    npy.write_bytes(content)
    verify(npy, index)
    facts = json.loads(index.read_text())
    facts["crc32"][0] ^= 1
    index.write_text(json.dumps(facts))
    with pytest.raises(DetectorError, match="corrupted"):
        verify(npy, index)


def test_a_folder_that_takes_no_note_costs_only_the_time(root, tmp_path, monkeypatch):
    pack(root, tmp_path / "out")
    monkeypatch.setattr(packed, "SETTLED", 0.0)
    npy, index = tmp_path / "out/pack.npy", tmp_path / "out/pack.json"
    _note(index).mkdir()  # stands for a folder that cannot be written to, which root does not know
    verify(npy, index)
    verify(npy, index)


def test_a_store_that_is_not_what_its_index_says(root, tmp_path):
    pack(root, tmp_path / "out")
    npy, index = tmp_path / "out/pack.npy", tmp_path / "out/pack.json"
    npy.write_bytes(npy.read_bytes()[:-10])
    with pytest.raises(DetectorError, match="no readable array"):
        open_store(npy, index)
    np.save(npy, np.zeros((3, SIZE, SIZE, 3), np.uint8))
    with pytest.raises(DetectorError, match=r"found uint8 \(3, 8, 8, 3\), expected uint8 \(27, 8, 8, 3\)"):
        open_store(npy, index)
    index.write_text('{"format": "detector-pack", "version": 2}')
    with pytest.raises(DetectorError, match="version 2, expected detector-pack version 1"):
        verify(npy, index)
    index.write_text("{")
    with pytest.raises(DetectorError, match="no index of a packed store"):
        verify(npy, index)


# --- worker processes -----------------------------------------------------------------------------


def test_a_killed_worker_is_an_error_that_says_so():
    with pytest.raises(DetectorError, match="worker process was killed"):
        list(pool.run(os._exit, [(9,), (9,)], workers=2))


def die_at(names: list[str]) -> None:
    for name in names:
        pool.at(name)
        if name == "fake/bad.png":
            os.kill(os.getpid(), signal.SIGSEGV)


def test_the_error_names_the_file_that_killed_a_worker():
    with pytest.raises(
        DetectorError, match=r"that file crashes its\s+decoder: take it out\.[\s\S]*\n  fake/bad.png"
    ):
        list(pool.run(die_at, [(["fake/good.png", "fake/bad.png"],), (["real/1.png"],)], workers=2))


def test_jobs_are_taken_a_few_at_a_time():
    taken = []
    jobs = ((taken.append(n) or 0,) for n in range(1000))
    for count, _ in enumerate(pool.run(abs, jobs, workers=2)):
        assert len(taken) <= count + 1 + pool.AHEAD * 2
    assert len(taken) == 1000


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_workers_end_when_their_parent_is_killed():
    body = """
        import os, time
        from detector.core import pool
        jobs = [(0,)] * 2 + [(60,)] * 2
        for done, _ in pool.run(time.sleep, jobs, workers=2):
            tasks = open(f"/proc/self/task/{os.getpid()}/children").read()
            print(tasks, flush=True)
    """
    process = run_script(body)
    workers = process.stdout.readline().split()
    process.kill()
    process.wait()
    assert len(workers) >= 2
    deadline = time.monotonic() + 20
    while any(
        Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes() for pid in workers
    ):
        assert time.monotonic() < deadline, "workers outlived their parent"
        time.sleep(0.1)


def test_of_larger_images_a_network_sees_the_middle_and_all_is_packed(root, tmp_path):
    plain, larger = (preprocessing.Preprocessing(9, max_pixels=LIMIT, centre=centre) for centre in (None, 4))
    stores = {}
    for name, how in (("plain", plain), ("larger", larger)):
        out = [tmp_path / name / file for file in ("images.npy", "images.json", "bad.csv")]
        out[0].parent.mkdir()
        packing.pack(scan(root), root, how, *out, tmp_path / "state", workers=1, max_bad=0, meta={})
        verify(*out[:2])
        stores[name] = out[0].read_bytes(), open_store(*out[:2]), open_seen(out[0].parent)
    assert stores["plain"][0] == stores["larger"][0], "another centre has the same pixels"
    assert np.array_equal(stores["plain"][2], stores["plain"][1])
    assert np.array_equal(stores["larger"][2], stores["larger"][1][:, 2:6, 2:6])
