"""The data side stays flat as a data set grows: ten times the images need ten times the work, and memory that is
bounded by what the tables hold. (`benchmarks/growth.py` measures a million, with the clock.)"""

import sys
import tracemalloc
from collections import Counter
from pathlib import Path

import pytest

from benchmarks import growth
from detector.data import manifest, packing, scanning
from detector.data.fingerprints import fingerprint
from detector.imaging.preprocessing import Preprocessing

SMALL, LARGE = 400, 4_000
BYTES = 1_500  # of memory an image, at most, in any stage: a row of a table is about 180


@pytest.fixture(scope="module", params=growth.KINDS)
def trees(request, tmp_path_factory):
    """(kind, folder of two trees of it, SMALL and LARGE): of hard links to tiny pictures, or of shards of them."""
    top = tmp_path_factory.mktemp("growth")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"DISTINCT": 2, "IN_FOLDER": 50, "IN_SHARD": 100}.items():
            patch.setattr(growth, name, value)
        for count in (SMALL, LARGE):
            growth.make_tree(top / str(count), count, request.param)
    return request.param, top


def stages(kind: str, root: Path, out: Path):
    """(name of the stage, its work): each in turn, on what the ones before gave."""
    options = {"type": kind, "list": growth.LIST}
    limits = {"max_pixels": 10_000}
    how = Preprocessing(4, **limits)
    scans = {}
    files = [out / name for name in ("images.npy", "images.json", "bad.csv")]
    yield "fingerprint", lambda: fingerprint(root, out / "listing")
    yield "scan", lambda: scans.update(grown=scanning.scan_source("grown", kind, root, options, **limits))
    yield (
        "pack",
        lambda: packing.pack(scans["grown"], root, how, *files, out / "s", workers=1, max_bad=0, meta={}),
    )
    yield "manifest", lambda: manifest.build(scans, {}, {"grown": options}, (0.8, 0.1, 0.1), 0)


def measured(trees: tuple[str, Path], count: int, out: Path, measure) -> dict[str, int]:
    kind, top = trees
    out.mkdir()
    return {name: measure(work) for name, work in stages(kind, top / str(count), out)}


def calls(work) -> int:
    """How many functions were called, Python's and C's: work done, without a clock."""
    count = Counter()

    def watch(frame, event, argument):
        count[event] += 1

    sys.setprofile(watch)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count["call"] + count["c_call"]


def peak(work) -> int:
    """The most bytes that Python objects and arrays took meanwhile."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_work_grows_no_faster_than_the_images(trees, tmp_path):
    small = measured(trees, SMALL, tmp_path / "small", calls)
    large = measured(trees, LARGE, tmp_path / "large", calls)
    assert {stage: large[stage] / small[stage] < 1.1 * LARGE / SMALL for stage in small} == dict.fromkeys(
        small, True
    )


def test_memory_is_bounded_an_image(trees, tmp_path):
    small = measured(trees, SMALL, tmp_path / "small", peak)
    # What a thread that another test left behind takes meanwhile is counted too: the lesser of two runs.
    runs = [measured(trees, LARGE, tmp_path / f"large{turn}", peak) for turn in (1, 2)]
    large = {stage: min(run[stage] for run in runs) for stage in small}
    each = {stage: (large[stage] - small[stage]) / (LARGE - SMALL) for stage in small}
    assert {stage: size for stage, size in each.items() if size > BYTES} == {}
    assert each["pack"] < 300  # pixels go to the disk, jobs are made as they are needed


def test_the_benchmark_runs_scripts_that_are_there(tmp_path):
    for command in growth.commands(tmp_path, tmp_path, 1, "list").values():
        assert command[0] == "-c" or Path(command[0]).is_file()
