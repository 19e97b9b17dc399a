"""Whatever bytes a file holds, `headers.read` and `preprocessing.load` give pixels or an exception, in time and in
little memory: 10,400 damaged images and videos of all formats, in watched processes."""

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.support import ROOT, fuzz

CASES, PART = 10_400, 2_600
PEAK_MIB = 400  # Python, Pillow and FFmpeg take about 150 of these


def run(folder: Path, first: int, last: int, before: str = "") -> Counter:
    """What came of the cases, counted. Fails, naming and keeping the file, where one was not survived.

    before: statements for the other process to run first.
    """
    body = "import sys\nfrom pathlib import Path\nfrom tests.support import fuzz\n"
    body += f"{before}\nfuzz.main(Path(sys.argv[1]), {first}, {last})"
    paths = os.pathsep.join([str(ROOT), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", body, str(folder)],
        env={**os.environ, "PYTHONPATH": paths, "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
    )
    *lines, end = [line.partition(" ")[::2] for line in done.stdout.splitlines()]
    if done.returncode or end[0] != "peak":
        kept = folder / f"case-{end[0]}.bin"
        kept.write_bytes(fuzz.case(int(end[0]), folder)[0])
        died = signal.Signals(-done.returncode).name if done.returncode < 0 else done.stderr[-2000:]
        pytest.fail(f"case {end[0]} was not survived: {died}; the file is {kept}")
    assert [int(number) for number, _ in lines] == list(range(first, last)), "a case has no result"
    assert [line for line in lines if line[1].startswith("WRONG")] == []
    assert int(end[1]) < PEAK_MIB, "MiB: a small file took much memory"
    return Counter(result for _, result in lines)


def test_the_seeds_themselves_are_fine(tmp_path):
    """Else all cases could fail for one dull reason."""
    for video, seeds in ((False, fuzz.pictures()), (True, fuzz.videos(tmp_path))):
        for seed in seeds:
            (tmp_path / "seed").write_bytes(seed)
            assert fuzz.outcome(tmp_path / "seed", video) == "pixels"


@pytest.mark.parametrize(
    "first", [0, *(pytest.param(first, marks=pytest.mark.long) for first in range(PART, CASES, PART))]
)
def test_damaged_files(tmp_path, first):
    found = run(tmp_path, first, first + PART)
    # The damage is neither so small that all decodes, nor so large that nothing gets past the first bytes.
    assert found["pixels"] > PART / 10
    assert found.total() - found["pixels"] - found["UnknownFormatError"] > PART / 10


def test_cases_are_the_same_every_time(tmp_path):
    assert [fuzz.case(n, tmp_path) for n in range(40)] == [fuzz.case(n, tmp_path) for n in range(40)]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("lambda *a, **k: __import__('os').abort()", "case 3 was not survived: SIGABRT; the file is .*case-3.bin"),
        ("lambda *a, **k: [0 for _ in iter(int, 1)]", "case 3 was not survived: SIGPROF"),
        ("lambda *a, **k: 'x'", "WRONG"),
    ],
    ids=["crash", "hang", "wrong"],
)
def test_the_test_sees_a_crash_and_a_hang(tmp_path, fault, message):
    fuzz.videos(tmp_path)
    with pytest.raises((pytest.fail.Exception, AssertionError), match=message):
        run(tmp_path, 3, 6, f"fuzz.SECONDS = 0.5; fuzz.preprocessing.load = {fault}")
