"""Jobs on one machine have GPUs of their own: four jobs on four, two teams on two pairs; GPUs are free when their
job ends, however it ends; a single GPU is shared.

There is no GPU here: processes are real, and how many devices CUDA would show to each is said by the test."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from detector.core.errors import DetectorError
from detector.models import devices
from detector.models import gpus as gpus_module
from detector.training import distributed
from tests.support import ROOT

JOB = """
import json, pathlib, sys, time, types
folder, uuids, count, alone, said = sys.argv[1], sys.argv[2].split(","), int(sys.argv[3]), sys.argv[4], sys.argv[5]
cuda = types.SimpleNamespace(
    device_count=lambda: len(uuids), get_device_properties=lambda index: types.SimpleNamespace(uuid=uuids[index])
)
sys.modules["torch"] = types.SimpleNamespace(cuda=cuda)
from detector.models import gpus
gpus.FOLDER = pathlib.Path(folder)
print("ready", flush=True)
has = [uuids[index] for index in gpus.take(count, alone == "alone")]
pathlib.Path(said + ".part").write_text(json.dumps(has))
pathlib.Path(said + ".part").rename(said)
time.sleep(600)
"""
FOUR = ("a", "b", "c", "d")


class Job:
    """A process that takes GPUs and keeps them until it is killed."""

    def __init__(self, folder: Path, uuids=FOUR, count: int = 1, alone: bool = False):
        folder.mkdir(exist_ok=True)
        self._said = folder / f"said-{time.monotonic_ns()}"
        arguments = [folder, ",".join(uuids), str(count), "alone" if alone else "", self._said]
        self.process = subprocess.Popen([sys.executable, "-c", JOB, *arguments], stdout=subprocess.PIPE)
        assert self.process.stdout.readline() == b"ready\n"

    @property
    def gpus(self) -> list[str]:
        """What it has; waits until it has them."""
        deadline = time.monotonic() + 60
        while not self._said.exists():
            assert time.monotonic() < deadline, "it got none"
            assert self.process.poll() is None
            time.sleep(0.02)
        return json.loads(self._said.read_text())

    def waits(self) -> bool:
        """Whether it has nothing a while later."""
        time.sleep(0.7)
        return not self._said.exists()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def job(tmp_path):
    started = []

    def start(*given, **more) -> Job:
        started.append(Job(tmp_path / "gpus", *given, **more))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.end()


def test_four_jobs_sit_on_four_gpus_and_a_fifth_gets_that_of_a_killed_one(job):
    jobs = [job() for _ in range(4)]  # at the same time: none is asked before all have begun
    assert sorted(name for each in jobs for name in each.gpus) == ["a", "b", "c", "d"]
    fifth = job()
    assert fifth.waits()
    jobs[2].end()
    assert fifth.gpus == jobs[2].gpus


def test_two_teams_of_two_sit_on_disjoint_pairs(job):
    teams = [job(count=2) for _ in range(2)]
    assert sorted(name for team in teams for name in team.gpus) == ["a", "b", "c", "d"]


def test_a_team_takes_all_that_it_needs_or_none(job):
    assert job().gpus == ["a"]
    team = job(count=4)
    assert team.waits()
    assert job(count=3).gpus == ["b", "c", "d"], "who waits holds nothing"
    assert team.waits()


def test_what_a_cluster_gave_to_each_is_told_apart_by_identity_not_by_number(job):
    """Each sees its own devices alone, from number 0 on."""
    assert job(["a"]).gpus == ["a"]
    assert job(["b"]).gpus == ["b"]
    assert job(["c", "d"], count=2).gpus == ["c", "d"]
    assert job(["a", "e"]).gpus == ["e"], "a is another job's, whatever number it has here"


def test_one_gpu_is_shared_as_it_was_unless_a_job_is_to_be_alone(job):
    first, second = job(["a"]), job(["a"])
    assert first.gpus == second.gpus == ["a"]
    timed = job(["a"], alone=True)
    assert timed.waits()
    first.end()
    second.end()
    assert timed.gpus == ["a"]
    later = job(["a"])
    assert later.waits()
    timed.end()
    assert later.gpus == ["a"]


@pytest.fixture
def four(monkeypatch, tmp_path):
    """This process, as if it saw four CUDA devices."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "Some GPU")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=FOUR[index]))
    monkeypatch.setattr(gpus_module, "FOLDER", tmp_path / "gpus")
    monkeypatch.setattr(gpus_module, "_taken", {})
    chosen = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    allowed = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    yield chosen
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = allowed
    for handle in gpus_module._taken.values():
        os.close(handle)


def test_the_plan_puts_a_job_on_a_free_gpu_and_keeps_to_it(four, job):
    assert job().gpus == ["a"]
    for _ in range(2):
        devices.plan("auto", "auto", torch.get_num_threads(), 224)
    assert four == [1, 1]
    assert job(count=2).gpus == ["c", "d"]


def test_a_plan_for_the_cpu_takes_no_gpu(four, job):
    devices.plan("cpu", "fp32", torch.get_num_threads(), 8)
    assert four == []
    assert job(count=4).gpus == [*FOUR]


def test_the_processes_of_a_team_see_the_gpus_that_their_launcher_took(four, job, monkeypatch):
    """Beside another job, and where a cluster has said already which there are."""
    assert job().gpus == ["a"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-17,5, 6,7")
    seen = []

    class Torchrun:
        pid = 2**22 + 1  # no process has it

        def __init__(self, command, env, **_):
            seen.append((command, env))

        def wait(self):
            return 0

    monkeypatch.setattr(distributed, "subprocess", SimpleNamespace(Popen=Torchrun))
    assert distributed.launch(2, ["train.py"])
    ((command, environment),) = seen
    assert command[command.index("--nproc-per-node") + 1] == "2"
    assert environment["CUDA_VISIBLE_DEVICES"] == "5,6"
    assert job().gpus == ["d"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert gpus_module.visible([1, 3]) == "1,3"
    monkeypatch.setenv("RANK", "1")  # in one of the processes: its launcher holds the locks
    devices.plan("auto", "auto", torch.get_num_threads(), 224)
    assert four == []


def test_more_gpus_than_there_are(four):
    with pytest.raises(DetectorError, match=r"train\.gpus: found 5, but torch sees 4 CUDA devices"):
        distributed.launch(5, ["train.py"])


def test_each_rule_that_asks_for_a_gpu_takes_it_by_the_plan_or_the_launcher():
    rules = "".join(path.read_text() for path in sorted((ROOT / "workflow/rules").glob("*.smk")))
    asking = {}
    for text in re.split(r"^rule ", rules, flags=re.MULTILINE)[1:]:
        if re.search(r"^\s+gpu=", text, re.MULTILINE):
            asking[text.split(":")[0]] = re.search(r'script="(.+?)"', text)[1]
    assert {"baseline", "search", "finetune", "predict", "latency", "probe"} <= set(asking)
    for rule, script in asking.items():
        text = (ROOT / script).read_text()
        assert re.search(r"stage\.prepare\(|devices\.plan\(", text), rule
    assert "alone=True" in (ROOT / asking["latency"]).read_text(), "times are not measured beside another job"
