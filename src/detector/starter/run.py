"""Run of the pipeline for an overlay: Snakemake in a process of its own, which this one stops and waits for."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from detector.core import signals
from detector.core.job import EXPECTED

PATIENCE = 120.0  # seconds for Snakemake to end: its jobs have `signals.GRACE` each to save what they have
EVERY = 20.0  # seconds


def command(overlay: str, cores: int, networks: int, targets: Sequence[str] = ()) -> list[str]:
    """Snakemake's command line. `overlay`: its path from the project's folder, or an absolute one.

    `networks`: how many stages with a network may run at a time; `targets`: the files to make, by default all.
    """
    resources = ["--cores", str(cores), "--resources", f"gpu={networks}"]
    return ["snakemake", *targets, *resources, "--configfile", overlay]


def run(root: Path, snakemake: Sequence[str], expected: Path, look: Callable[[], object]) -> int:
    """Run Snakemake's command line in the project's folder `root`, on the terminal. Returns its exit code.

    `expected`: file for the progress display (`job.EXPECTED`); `look`: called every `EVERY` seconds. A signal to
    this process stops Snakemake and its jobs, once: they are a group of their own, which no Ctrl-C reaches.
    """
    signals.await_others(PATIENCE)
    process = None
    try:
        with signals.deferred():
            process = subprocess.Popen(
                [sys.executable, "-m", *snakemake],
                cwd=root,
                env={**os.environ, EXPECTED: str(expected)},
                process_group=0,
            )
        while True:
            try:
                return process.wait(EVERY)
            except subprocess.TimeoutExpired:
                look()
    except signals.StoppedError:
        if process is not None:
            # All of them, as a terminal does: Snakemake tells its jobs nothing and waits until they are done.
            os.killpg(process.pid, signal.SIGINT)
            process.wait()
        raise
