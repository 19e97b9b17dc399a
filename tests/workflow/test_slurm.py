"""On a real Slurm, profiles/slurm submits each stage with what that stage asks for; and a study in which one job
was told to stop, one was queued again and one lost its node ends with the bytes of an undisturbed local run.

The Slurm is Debian's own, installed and started for this test (slurm_cluster.py). Where that cannot be, the test
is skipped; with DETECTOR_SLURM=required, as in CI, it fails.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from tests.support import slurm_cluster
from tests.support.kills import differences
from tests.support.slurm_cluster import SlurmCluster
from tests.support.workspace import TINY, Workspace

pytestmark = pytest.mark.long  # that each stage asks for its own, test_resources looks at too
EPOCHS = 6
CONFIG = {
    **TINY,
    "data": {**TINY["data"], "use": ["faces140k"]},
    "train": {"epochs": EPOCHS, "patience": EPOCHS},
    "prune": {"methods": {"l1": [0.4]}, "dense_control": False},
    "search": {"trials": 2, "epochs": EPOCHS, "batch_size": 16},
    "finetune": {"epochs": EPOCHS, "patience": EPOCHS, "batch_size": 16},
    "deploy": {"branches": []},
    "runtime": {**TINY["runtime"], "device": "auto"},  # with cpu, no stage asks for a GPU
}
TABLES = [
    f"results/tiny/tables/{name}.csv"
    for name in (
        "audit_verdict",
        "audit_metadata",
        "dataset_composition",
        "baseline_performance",
        "best_hyperparameters",
    )
    + ("final_accuracy", "significance", "metrics", "per_generator", "efficiency", "prior_work")
]
# The plugin waits ten seconds longer after each look at jobs of which none has ended: the test would mostly wait.
# The jobs themselves run an untouched Snakemake.
ASK_EACH_SECOND = """
import sys
from snakemake.cli import main
from snakemake_executor_plugin_slurm import Executor
Executor.next_seconds_between_status_checks = property(lambda self: 1, lambda self, seconds: None)
sys.exit(main())
"""
# What the rules ask for: minutes, MB, CPUs, GPUs.
HEAVY = {
    "scan": (60, 4000, 1, 0),
    "pack": (240, 4000, 1, 0),
    "split": (20, 4000, 1, 0),
    "audit": (60, 4000, 1, 0),
    "audit_verdict": (20, 4000, 1, 0),
    "manifest": (20, 4000, 1, 0),
    "baseline": (1440, 16000, 1, 1),
    "search": (1440, 16000, 1, 1),
    "finetune": (1440, 16000, 1, 1),
    "predict": (120, 8000, 1, 1),
    "latency": (60, 8000, 1, 1),
}
LIGHT = (15, 2000, 1, 0)


class Study:
    """The tiny study on the cluster, while it runs."""

    def __init__(self, workspace: Workspace, cluster: SlurmCluster):
        self.workspace, self.cluster = workspace, cluster
        self.output = workspace.folder / "snakemake.txt"
        self.disturbed: dict[str, str] = {}  # rule → the job that was disturbed
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", ASK_EACH_SECOND, *TABLES]
                + ["--workflow-profile", "profiles/slurm", "--configfile", "configs/tiny.yaml"]
                # this cluster keeps no accounts, which is what sacct would show
                + ["--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "1"],
                cwd=workspace.folder,
                env={**os.environ, "PYTHONPATH": str(workspace.folder / "src")},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def jobs(self, rule: str) -> list[dict[str, str]]:
        return [job for job in self.cluster.jobs() if rule_of(job) == rule]

    def wait_for_epoch(self, rule: str, number: int, seconds: float = 240) -> dict[str, str]:
        """Wait until the job of this rule has logged an epoch; it is in the middle of the next one then."""
        pattern = re.compile(rf"epoch {number}/{EPOCHS}\b")

        def reached():
            assert self.process.poll() is None, f"ended before {rule} was there:\n{self.output.read_text()}"
            logs = (self.workspace.results / "logs").glob(f"{rule}-*.log")
            return any(pattern.search(path.read_text()) for path in logs)

        self.cluster.wait_until(reached, seconds, f"{rule} did not reach epoch {number}")
        (job,) = [job for job in self.jobs(rule) if job["JobState"] == "RUNNING"]
        self.disturbed[rule] = job["JobId"]
        return job

    def log(self, rule: str) -> str:
        (path,) = (self.workspace.results / "logs").glob(f"{rule}-*.log")
        return path.read_text()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(30)
            self.process.kill()
            self.process.wait()


def rule_of(job: dict[str, str]) -> str:
    return re.match(r"rule_(\w+?)(?:_wildcards_.*)?$", job["Comment"])[1]


def asked(job: dict[str, str]) -> tuple[int, int, int, int]:
    """Minutes, MB, CPUs and GPUs that a job was submitted with."""
    days, hours, minutes, _ = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d+):(\d+)", job["TimeLimit"]).groups(default="0")
    memory, unit = re.fullmatch(r"(\d+)([MG])(?:\.00)?", job["MinMemoryNode"]).groups()
    gpus = re.search(r"gpu:(\d+)", job.get("TresPerJob", ""))
    return (
        (int(days) * 24 + int(hours)) * 60 + int(minutes),
        int(memory) * {"M": 1, "G": 1024}[unit],
        int(job["CPUs/Task"]),
        int(gpus[1]) if gpus else 0,
    )


@pytest.fixture(scope="module")
def cluster():
    pytest.importorskip("snakemake_executor_plugin_slurm", reason="needs the extra 'slurm'")
    try:
        with SlurmCluster() as cluster:
            yield cluster
    except slurm_cluster.CannotRun as reason:
        if os.environ.get("DETECTOR_SLURM") == "required":
            raise
        pytest.skip(str(reason))


def make(folder: Path) -> Workspace:
    workspace = Workspace(folder)
    workspace.configure(CONFIG)
    return workspace


@pytest.fixture(scope="module")
def local(cluster, tmp_path_factory):
    """The same study on this machine alone, nothing disturbed: it runs while the cluster's does."""
    workspace = make(tmp_path_factory.mktemp("local"))
    with ThreadPoolExecutor(1) as pool:
        yield workspace, pool.submit(workspace.snakemake, *TABLES)


@pytest.fixture(scope="module")
def study(cluster, local, tmp_path_factory):
    """The study on the cluster, three of its jobs disturbed while they train."""
    study = Study(make(tmp_path_factory.mktemp("cluster")), cluster)
    try:
        baseline = study.wait_for_epoch("baseline", 2)["JobId"]
        slurm_cluster.command("scancel", "--signal=TERM", baseline)

        search = study.wait_for_epoch("search", 2)["JobId"]
        slurm_cluster.command("scontrol", "requeue", search)

        finetune = study.wait_for_epoch("finetune", 2)
        study.lost_node = finetune["NodeList"]
        assert cluster.kill_node(study.lost_node) > 2, "nothing ran on the node"

        study.process.wait(240)
        yield study
    finally:
        study.stop()


def test_the_study_completes_on_the_cluster(study):
    assert study.process.returncode == 0, study.output.read_text()
    assert all((study.workspace.folder / table).is_file() for table in TABLES)
    assert list((study.workspace.results / "state").iterdir()) == [], "resume state was left behind"


def test_each_stage_asks_for_its_own_and_tables_for_little(study):
    rules = {rule_of(job) for job in study.cluster.jobs()}
    assert rules == {*HEAVY, *(Path(table).stem for table in TABLES)}
    again = study.jobs("baseline")[1]["JobId"]  # its second attempt gets half as much memory again
    wrong = {}
    for job in study.cluster.jobs():
        minutes, memory, cpus, gpus = HEAVY.get(rule_of(job), LIGHT)
        memory = memory * 3 // 2 if job["JobId"] == again else memory
        if asked(job) != (minutes, memory, cpus, gpus):
            wrong[f"{rule_of(job)} {job['JobId']}"] = asked(job)
    assert wrong == {}
    assert all(job["Requeue"] == "1" for job in study.cluster.jobs())
    shared = {rule_of(job): job["OverSubscribe"] for job in study.cluster.jobs()}
    assert {rule for rule, value in shared.items() if value == "NO"} == {"latency"}, shared


def test_a_job_told_to_stop_is_submitted_again_and_goes_on(study):
    first, second = study.jobs("baseline")
    assert first["JobId"] == study.disturbed["baseline"]
    assert (first["JobState"], second["JobState"]) == ("FAILED", "COMPLETED")
    assert re.search(r"going on after epoch [1-9]", study.log("baseline"))


def test_a_job_that_is_queued_again_goes_on(study):
    (job,) = study.jobs("search")
    assert (job["JobState"], job["Restarts"]) == ("COMPLETED", "1")
    assert re.search(r"going on after epoch [1-9]", study.log("search"))


def test_a_job_whose_node_goes_down_goes_on_on_the_other(study):
    (job,) = study.jobs("finetune")
    assert (job["JobState"], job["Restarts"]) == ("COMPLETED", "1")
    assert job["NodeList"] != study.lost_node
    assert study.cluster.states()[study.lost_node].startswith("down")
    assert re.search(r"going on after epoch [1-9]", study.log("finetune"))


def test_it_ends_with_the_bytes_of_an_undisturbed_local_run(study, local):
    """All but measured times: weights, predictions, what the search found byte for byte, tables in every digit."""
    if torch.cuda.is_available():
        pytest.skip("results on CUDA agree within rounding only")
    workspace, run = local
    done = run.result()
    assert done.returncode == 0, done.stdout
    assert differences(workspace.results, study.workspace.results, least=15) == []
