"""Kill the pipeline with SIGKILL at random moments and go on; the end must be that of a run that nobody disturbed.

    python -m tests.support.kills --kills 50       # half an hour on two cores; prints a Markdown table

A round is one run of the tiny study from nothing, killed again and again until it gets through. Every start after
a kill is the same plain `snakemake` command. Checked in each round: the results are byte for byte those of an
undisturbed run but for measured times, no finished epoch was trained again, no trial is missing or double, no
process outlives a killed Snakemake for long, no half-written file is left.
"""

import argparse
import collections
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from tests.support.workspace import TINY, Workspace

STAGES = ("scan", "pack", "baseline", "search", "finetune", "predict", "export")
VICTIMS = ("job", "snakemake", "everything")
ORPHAN_LIMIT = 60.0  # seconds in which the jobs of a killed Snakemake must be gone, imports included
MEASURED = [
    *("seconds", "images_per_second", "latency_ms_median", "latency_ms_p90"),
    *("speedup_vs_eager_fp32", "speedup_vs_same_runtime_fp32_dense"),
]
# Files that hold times: of trials, of passes, in a chart and on a card, the checksum of that card, and of a file.
TIMED = r"images\.checked\.json|journal\.log|(deployment_)?latency\.csv|deployment_.*\.svg|card\.md|SHA256SUMS"
# Long enough to be hit in the middle.
STUDY = {
    **TINY,
    "train": {"epochs": 4},
    "search": {"trials": 3, "epochs": 2, "batch_size": 16},
    "finetune": {"epochs": 3, "batch_size": 16},
}


def differences(first: Path, second: Path, least: int = 40) -> list[str]:
    """Files of two results folders that differ in more than measured times; raises where few are there."""
    names = {path.relative_to(root) for root in (first, second) for path in root.rglob("*") if path.is_file()}
    compared, wrong = 0, []
    for name in sorted(names):
        if name.parts[0] in ("logs", "benchmarks") or re.fullmatch(TIMED, name.name):
            continue
        compared += 1
        paths = first / name, second / name
        if not all(path.exists() for path in paths):
            wrong.append(f"{name} is missing in one")
        elif name.suffix == ".csv":
            tables = [pd.read_csv(path).drop(columns=MEASURED, errors="ignore") for path in paths]
            if not tables[0].equals(tables[1]):
                wrong.append(str(name))
        elif paths[0].read_bytes() != paths[1].read_bytes():
            wrong.append(str(name))
    assert compared > least, f"only {compared} files to compare"
    return wrong


def processes(session: int) -> dict[int, str]:
    """Command lines of the living processes of a session."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            if int(fields[3]) == session and fields[0] != "Z":
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


def job_of(session: int, stage: str) -> tuple[int, str] | None:
    """A running job of `stage`, or of a later one if that is through: its process, and its stage."""
    running = processes(session).items()
    for name in STAGES[STAGES.index(stage) :]:
        for pid, line in running:
            if re.match(rf"python workflow/scripts/\w+/{name}\.py ", line):
                return pid, name
    return None


class Round:
    """One run of the study that is killed on its way."""

    def __init__(self, folder: Path, config: dict = STUDY):
        self.workspace = Workspace(folder)
        self.workspace.configure(config)
        self.config = config
        self.output = ""
        self.killed: list[tuple[str, str]] = []
        self.longest_orphan = 0.0

    def attempt(self, stage: str, victim: str, delay: float) -> bool:
        """Start Snakemake; kill `victim` when `stage` has run for `delay` seconds. True if it got through."""
        log = self.workspace.folder / "output.txt"
        with open(log, "wb") as file:
            snakemake = subprocess.Popen(
                self.workspace.command(),
                cwd=self.workspace.folder,
                env=self.workspace.environment(),
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        session = snakemake.pid
        while snakemake.poll() is None and stage != "start" and job_of(session, stage) is None:
            time.sleep(0.05)
        until = time.monotonic() + delay
        while snakemake.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        if snakemake.poll() is None:
            job = job_of(session, STAGES[0])
            if victim == "everything":
                os.killpg(session, signal.SIGKILL)
            elif victim == "job" and job is not None:
                os.kill(job[0], signal.SIGKILL)
            else:
                victim = "snakemake"
                os.kill(session, signal.SIGKILL)
            self.killed.append((job[1] if job is not None else "between jobs", victim))
        code = snakemake.wait()
        if victim != "job":
            self._await_orphans(session)
        self.add(log.read_text(errors="replace"))
        return code == 0

    def add(self, output: str) -> None:
        """Note what an attempt printed, without the logs of failed jobs: Snakemake shows them a second time."""
        self.output += re.sub(r"Logfile [^\n]*:\n=+\n.*?\n=+\n", "", output, flags=re.DOTALL)

    def _await_orphans(self, session: int) -> None:
        begun = time.monotonic()
        while left := processes(session):
            waited = time.monotonic() - begun
            assert waited < ORPHAN_LIMIT, f"still there {waited:.0f} s after their Snakemake was killed: {left}"
            time.sleep(0.1)
        self.longest_orphan = max(self.longest_orphan, time.monotonic() - begun)

    def check(self, reference: Path) -> None:
        """Raises `AssertionError` where this round did not end as it should."""
        results = self.workspace.results
        assert differences(reference, results) == []
        epochs = collections.Counter(re.findall(r"INFO (.*: epoch \d+)/", self.output))
        repeated = {line: count for line, count in epochs.items() if count > 1}
        assert not repeated, f"trained again: {repeated}"
        assert len(epochs) == sum(len(pd.read_csv(p)) for p in results.rglob("history.csv")) + sum(
            pd.read_csv(p)["epochs"].sum() for p in results.rglob("trials.csv")
        ), "an epoch was not seen"
        for trials in results.rglob("trials.csv"):
            assert pd.read_csv(trials)["trial"].tolist() == list(range(self.config["search"]["trials"]))
        assert not list(results.rglob(".*.tmp")), "a half-written file is left"
        assert list((results / "state").iterdir()) == [], "resume state is left"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where to work; default: a temporary folder")
    args = parser.parse_args()
    rng = random.Random(args.seed)
    folder = args.folder or Path(tempfile.mkdtemp(prefix="kills-"))
    reference = Workspace(folder / "reference")
    reference.configure(STUDY)
    done = reference.snakemake()
    assert done.returncode == 0, done.stdout
    killed: list[tuple[str, str]] = []
    rounds, orphan = 0, 0.0
    while len(killed) < args.kills:
        rounds += 1
        now = Round(folder / f"round{rounds}")
        # In the order of the graph, for what is through does not come again.
        plan = [("start", "snakemake"), *((stage, rng.choice(VICTIMS)) for stage in STAGES for _ in range(2))]
        through = False
        for stage, victim in plan:
            if through or len(killed) + len(now.killed) >= args.kills:
                break
            through = now.attempt(stage, victim, rng.uniform(0, 6))
            if now.killed:
                print(f"round {rounds}: {now.killed[-1]}", file=sys.stderr, flush=True)
        if not through:
            done = now.workspace.snakemake()
            assert done.returncode == 0, done.stdout
            now.add(done.stdout)
        now.check(reference.results)
        killed += now.killed
        orphan = max(orphan, now.longest_orphan)
        shutil.rmtree(now.workspace.folder)
        print(f"round {rounds}: as if nothing had happened; {len(killed)} kills", file=sys.stderr, flush=True)
    if args.folder is None:
        shutil.rmtree(folder)
    table = collections.Counter(killed)
    print(f"| stage | {' | '.join(VICTIMS)} |\n| --- |{' --- |' * len(VICTIMS)}")
    for stage in dict.fromkeys(stage for stage, _ in killed):
        print(f"| {stage} | {' | '.join(str(table[stage, victim]) for victim in VICTIMS)} |")
    print(
        f"\n{len(killed)} kills in {rounds} rounds (seed {args.seed}); every round ended as the undisturbed run "
        f"did; a killed Snakemake's jobs were gone after at most {orphan:.1f} s."
    )


if __name__ == "__main__":
    main()
