"""First run: seconds of `make demo` after the install, in a fresh copy on an otherwise idle machine."""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from benchmarks import common

TARGET = 300  # seconds, on two cores
PARTS = ("Makefile", "Snakefile", "config.yaml", "configs", "profiles", "src", "workflow")
# A line of the log about a stage that is done: time of the run, number, rule and what it was about, its own time.
DONE = re.compile(r"^ +[\d:]+ +\d+ of \d+ +(\w+)\b.*? {2,}(?:(\d+):(\d\d)|([\d.]+) s)$", re.MULTILINE)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in PARTS:
            source = common.ROOT / part
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, folder / part)
        # What Make would have installed is here already.
        (folder / ".venv").symlink_to(sys.prefix)
        command = ["make", "demo", "--assume-old", ".venv/installed", "CORES=2"]
        begun = time.perf_counter()
        done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        wall = time.perf_counter() - begun
        if done.returncode:
            sys.exit(f"make demo failed:\n{done.stdout[-3000:]}")
    print(section(done.stdout, wall))


def section(log: str, wall: float) -> str:
    """The page's section, from what `make demo` printed and the seconds that it took."""
    seconds, jobs = defaultdict(float), defaultdict(int)
    for rule, minutes, rest, short in DONE.findall(log):
        seconds[rule] += float(short) if short else 60 * int(minutes) + int(rest)
        jobs[rule] += 1
    if not jobs:
        raise ValueError("no line of the log tells of a stage")
    total, largest = sum(seconds.values()), sorted(seconds, key=seconds.get, reverse=True)[:10]
    rows = [(rule, jobs[rule], seconds[rule]) for rule in largest]
    rest = sum(jobs.values()) - sum(count for _, count, _ in rows)
    rows.append(("all others", rest, total - sum(spent for *_, spent in rows)))
    lines = [f"| {rule} | {count} | {spent:.0f} |" for rule, count, spent in rows]
    return "\n".join(
        [
            "## First run",
            "",
            f"`make demo` after the install took {wall:.0f} s on 2 cores (target ≤ {TARGET} s: "
            f"{common.verdict(wall <= TARGET)}). Its {sum(jobs.values())} stages, two at a time, were at work for "
            f"{total:.0f} s. The rest is making the images, planning, the report, and one core that waits for the "
            "baseline.",
            "",
            "| stages | jobs | seconds of jobs |",
            "| --- | --- | --- |",
            *lines,
        ]
    )


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    main()
