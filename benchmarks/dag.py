"""Planning time of Snakemake: the dry-run of a large study, and a run with nothing to do.

    python -m benchmarks.dag            both measurements, some minutes (the second runs the tiny study once)
    python -m benchmarks.dag --profile  the dry-run once more under cProfile

The large study is 20 seeds x 30 pruned branches and the dense control, one architecture: 620 branches, about 2,000
jobs, with all their tables and figures. Nothing of it runs. The run with nothing to do is the tiny study of the
tests, finished. Each is measured REPEATS times; the table has the median, by the clock and of CPU time, and beside
them what Python and Snakemake need to start, which no rule can change. Exits with 1 beyond
LIMITS, in CPU seconds: Snakemake thinks in one thread, and the clock depends on what else the machine does.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support.workspace import TINY, Workspace

SEEDS = 20
SPARSITIES = {"l1": [n / 100 for n in range(5, 80, 5)], "random": [n / 100 for n in range(5, 80, 5)]}
REPEATS = 3
LIMITS = {"dry-run": 20.0, "no-op": 5.0}  # CPU seconds


def timed(workspace: Workspace, *command: str) -> tuple[float, float, str]:
    """(seconds by the clock, CPU seconds, what it printed). Raises SystemExit where the command fails."""
    with tempfile.TemporaryFile("w+") as printed:
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=workspace.folder,
            env={**os.environ, "PYTHONPATH": str(workspace.folder / "src")},
            stdout=printed,
            stderr=subprocess.STDOUT,
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        printed.seek(0)
        text = printed.read()
    if process.returncode:
        sys.exit(f"{' '.join(command)}\n{text}")
    return wall, usage.ru_utime + usage.ru_stime, text


def snakemake(*options: str) -> list[str]:
    return ["-m", "snakemake", "--cores", "2", "--configfile", "configs/tiny.yaml", *options]


def report(what: str, workspace: Workspace, command: list[str]) -> float:
    """One row of the table; the median of CPU seconds."""
    runs = [timed(workspace, *command)[:2] for _ in range(REPEATS)]
    wall, cpu = (statistics.median(values) for values in zip(*runs, strict=True))
    print(f"| {what} | {wall:.1f} | {cpu:.1f} |", flush=True)
    return cpu


def main(args: argparse.Namespace) -> int:
    seconds = {}
    with tempfile.TemporaryDirectory(dir=args.folder, prefix="dag-") as name:
        workspace = Workspace(Path(name))
        print(
            f"## Planning\n\n{SEEDS} seeds of 30 pruned branches and the dense control are 620 branches, some "
            f"2,000 jobs. Medians of {REPEATS}. Targets: {LIMITS['dry-run']:.0f} s and {LIMITS['no-op']:.0f} s.\n"
        )
        print("| what | s | CPU s |\n| --- | --- | --- |", flush=True)
        report("start of Snakemake", workspace, ["-m", "snakemake", "--version"])
        large = {**TINY, "seeds": list(range(SEEDS)), "prune": {"methods": SPARSITIES}}
        workspace.configure(large)
        plan = snakemake("--dry-run", "--quiet", "rules")
        seconds["dry-run"] = report("dry-run, 620 branches", workspace, plan)
        if args.profile:
            text = timed(workspace, "-m", "cProfile", "-s", args.profile, *plan)[2]
            print(text[text.index(" function calls") - 20 :][:12000])
        if not args.plan_only:
            workspace.configure(TINY)
            timed(workspace, *snakemake("--resources", "gpu=1"))
            seconds["no-op"] = report("nothing to do, tiny study", workspace, snakemake())
    slow = {what: s for what, s in seconds.items() if s > LIMITS[what]}
    for what, measured in slow.items():
        print(f"{what}: {measured:.1f} s, of CPU, at most {LIMITS[what]:.0f} allowed")
    return 1 if slow else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", nargs="?", const="tottime", help="cProfile of the dry-run, sorted by this")
    parser.add_argument("--plan-only", action="store_true", help="no run, only the dry-run")
    parser.add_argument("--folder", help="where the workspace is made (default: the system's)")
    sys.exit(main(parser.parse_args()))
