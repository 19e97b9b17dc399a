"""SIGTERM and Ctrl-C end a job within seconds with exit codes of their own, and the current step is not lost."""

import os
import re
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from detector.core import locks
from detector.core.job import lock_of
from tests.support import ROOT

# Trains the small network of test_training with slow steps, as a script of the workflow would.
PROGRAM = """
import argparse, pathlib, sys, time
sys.path.insert(0, sys.argv.pop(1))
from tests.training import test_fit as t
from detector.core import job
from detector.models import checkpoints
from detector.training import resume

def main(args):
    train, valid = t.make_batches(61, 0), t.make_batches(40, 1)
    gather = train.gather
    def slowly(*given):
        time.sleep(args.pause)
        print("step", flush=True)
        return gather(*given)
    train.gather = slowly
    state = resume.ResumeState(args.state / "key")
    result = t.fit(t.small_net(), train, valid, t.RECIPE, t.PLAN, state=state)
    checkpoints.save_weights(args.model, result.weights)

parser = argparse.ArgumentParser()
parser.add_argument("--state", type=pathlib.Path)
parser.add_argument("--model")
parser.add_argument("--pause", type=float)
job.run(main, parser)
"""
# Works without a look at signals, in a call that no signal ends and that returns to Python after minutes.
BUSY = """
import argparse, hashlib
from detector.core import job, signals

def main(args):
    with signals.deferred():
        print("step", flush=True)
        hashlib.pbkdf2_hmac("sha256", b"", b"", 2**30)

signals.GRACE = 1.0
job.run(main, argparse.ArgumentParser())
"""


def start(program, *arguments, **environment):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def training(folder, pause, **environment):
    arguments = ("--state", folder / "state", "--model", folder / "model.safetensors", "--pause", pause)
    return start(PROGRAM, str(ROOT), *arguments, **environment)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_a_stopped_training_goes_on_at_its_step(tmp_path, number, code):
    whole = training(tmp_path / "whole", 0)
    stopped = training(tmp_path / "stopped", 0.2)
    for _ in range(11):  # 8 steps are an epoch
        stopped.stdout.readline()
    stopped.send_signal(number)
    begun = time.monotonic()
    _, errors = stopped.communicate()
    assert time.monotonic() - begun < 10
    assert stopped.returncode == code
    assert f"stopped by {number.name}" in errors
    assert "Traceback" not in errors
    assert [p.name[:6] for p in (tmp_path / "stopped/state/key").iterdir()] == ["000001", "000001"]
    resumed = training(tmp_path / "stopped", 0)
    steps, errors = resumed.communicate()
    assert resumed.returncode == 0, errors
    done = int(re.search(r"going on after epoch 1, step (\d+)", errors)[1])
    assert 11 - 8 <= done < 8
    assert steps.count("step") == 3 * 8 - done, "a step was done twice"
    assert whole.wait() == 0
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "stopped")]
    assert weights[0] == weights[1]


def test_a_process_that_does_not_listen_ends_all_the_same():
    process = start(BUSY)
    process.stdout.readline()
    begun = time.monotonic()
    process.terminate()
    _, errors = process.communicate()
    assert process.returncode == 75
    assert 0.9 < time.monotonic() - begun < 5
    assert "the last saved state counts" in errors


def test_a_stop_in_the_middle_of_a_log_line_ends_the_process_too():
    """Whoever was stopped there may hold the locks of the log for ever."""
    program = BUSY.replace(
        "    with signals", "    from tqdm import tqdm; tqdm.get_lock().acquire()\n    with signals"
    )
    assert program != BUSY
    process = start(program)
    process.stdout.readline()
    process.terminate()
    try:
        assert process.wait(timeout=10) == 75
    finally:
        process.kill()
        process.communicate()


def test_a_job_ends_when_its_snakemake_is_gone(tmp_path):
    parent = subprocess.Popen(["sleep", "60"])
    job = training(tmp_path, 0.2, DETECTOR_PARENT=str(parent.pid))
    job.stdout.readline()
    parent.kill()
    parent.wait()
    _, errors = job.communicate(timeout=10)
    assert job.returncode == 75
    assert "is gone" in errors


def test_two_processes_of_one_job_do_not_run_together(tmp_path):
    with locks.held(lock_of(tmp_path / "state")):
        job = training(tmp_path, 0)
        assert f"waiting for another process (pid {os.getpid()} on" in job.stderr.readline()
        assert not (tmp_path / "state").exists()
    steps, errors = job.communicate()
    assert job.returncode == 0, errors
    assert steps.count("step") == 4 * 8
