"""A stop ends the workers of a pool at once, however long their work would take, and nothing is left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = """
import argparse, os, time
from detector.core import job, pool

def work(number):
    open(f"at-{os.getpid()}", "w").close()
    time.sleep(60)

def main(args):
    for _ in pool.run(work, ((number,) for number in range(8)), 2):
        pass

if __name__ == "__main__":
    job.run(main, argparse.ArgumentParser())
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
def test_a_stop_does_not_wait_for_what_workers_are_at(tmp_path, number, code):
    (tmp_path / "script.py").write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, "script.py"], cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    end = time.monotonic() + 60
    while len(workers := list(tmp_path.glob("at-*"))) < 2 and time.monotonic() < end:
        time.sleep(0.05)
    assert len(workers) == 2
    os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(
        number
    )  # as a terminal does
    errors = process.communicate(timeout=30)[1]
    assert process.returncode == code
    assert "what was finished is kept" in errors, "not after the seconds that a stop may take"
    assert "leaked" not in errors
    assert not [path for path in workers if Path(f"/proc/{path.name[3:]}").exists()]
