"""The data side stays flat as a data set grows: ten times the images need ten times the work, and memory that is
bounded by what the tables hold. (`benchmarks/growth.py` measures a million, with the clock.)"""

import os
import sys
import tracemalloc
from collections import Counter
from pathlib import Path

import pytest

from detector.data import manifest, packing, scanning
from detector.data.fingerprints import fingerprint
from detector.imaging.preprocessing import Preprocessing
from tests.support import samples

SMALL, LARGE = 400, 4_000
BYTES = 1_500  # of memory an image, at most, in any stage: a row of a table is about 180


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    """Two trees of the kind `folder`, SMALL and LARGE, of hard links to one tiny picture."""
    top = tmp_path_factory.mktemp("growth")
    samples.write_picture(top / "model.png", size=(4, 4))
    for count in (SMALL, LARGE):
        for number in range(count):
            folder = top / str(count) / ("real" if number % 2 else f"fake/g{number // 2 % 3}")
            if number < 6:
                folder.mkdir(parents=True, exist_ok=True)
            os.link(top / "model.png", folder / f"{number:06d}.png")
    return top


def stages(root: Path, out: Path):
    """(name of the stage, its work): each in turn, on what the ones before gave."""
    options = {"grown": {"type": "folder"}}
    limits = {"max_pixels": 10_000}
    how = Preprocessing(4, **limits)
    scans = {}
    files = [out / name for name in ("images.npy", "images.json", "bad.csv")]
    yield "fingerprint", lambda: fingerprint(root, out / "listing")
    yield "scan", lambda: scans.update(grown=scanning.scan_source("grown", "folder", root, {}, **limits))
    yield (
        "pack",
        lambda: packing.pack(scans["grown"], root, how, *files, out / "s", workers=1, max_bad=0, meta={}),
    )
    yield "manifest", lambda: manifest.build(scans, {}, options, (0.8, 0.1, 0.1), 0)


def measured(root: Path, out: Path, measure) -> dict[str, int]:
    out.mkdir()
    return {name: measure(work) for name, work in stages(root, out)}


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
    small = measured(trees / str(SMALL), tmp_path / "small", calls)
    large = measured(trees / str(LARGE), tmp_path / "large", calls)
    assert {stage: large[stage] / small[stage] < 1.1 * LARGE / SMALL for stage in small} == dict.fromkeys(
        small, True
    )


def test_memory_is_bounded_an_image(trees, tmp_path):
    small = measured(trees / str(SMALL), tmp_path / "small", peak)
    # What a thread that another test left behind takes meanwhile is counted too: the lesser of two runs.
    runs = [measured(trees / str(LARGE), tmp_path / f"large{turn}", peak) for turn in (1, 2)]
    large = {stage: min(run[stage] for run in runs) for stage in small}
    each = {stage: (large[stage] - small[stage]) / (LARGE - SMALL) for stage in small}
    assert {stage: size for stage, size in each.items() if size > BYTES} == {}
    assert each["pack"] < 300  # pixels go to the disk, jobs are made as they are needed
