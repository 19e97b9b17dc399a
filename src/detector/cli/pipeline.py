"""Run of the pipeline by a command: says its command line, what is at work, and after a failure how to go on."""

import logging
import shlex
from collections.abc import Sequence
from pathlib import Path

from detector.cli import status
from detector.core import job
from detector.starter import run as pipeline

log = logging.getLogger(__name__)
DONE, FAILED = 0, 1
NOTHING_STARTED = "\nNothing was started, nothing written. Without --plan the same command starts it."


def run(root: Path, snakemake: Sequence[str], expected: Path, out: Path) -> int:
    """Run Snakemake's command line in the project's folder `root`, and say what is at work, each thing once.

    `expected`: file for the progress display; `out`: the results. Returns `DONE`, or `FAILED` after a stage that
    failed.
    """
    job.say(f"\nRunning {shlex.join(snakemake)}\n")
    said: set[str] = set()

    def look() -> None:
        for line in status.at_work(out):
            if line not in said:
                job.say(f"{'':>21}{line}")
            said.add(line)

    if pipeline.run(root, snakemake, expected.absolute(), look):
        log.error("a stage failed, as said above; what was finished is kept, the same command goes on from there")
        return FAILED
    return DONE
