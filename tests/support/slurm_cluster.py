"""A real Slurm on this one machine: munge, slurmctld and two slurmd with two (made-up) GPUs each, from Debian.

    python -m tests.support.slurm_cluster --demo        the demo on it, with profiles/slurm
    python -m tests.support.slurm_cluster -- COMMAND    any command, with the cluster up around it

It installs Debian's packages if they are missing, so it wants root on a Debian or Ubuntu that nobody minds, such
as a container. A Slurm that is there already is never touched: then it refuses.
"""

import argparse
import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support import ROOT

PACKAGES = ["slurmctld", "slurmd", "slurm-client", "munge"]
PROGRAMS = ["slurmctld", "slurmd", "sbatch", "munged"]
# Debian's own folder and no other: Snakemake's Slurm plugin drops SLURM_CONF from the environment of its jobs.
CONFIG = Path("/etc/slurm")
OURS = "# written by tests/support/slurm_cluster.py of the project `detector`; removed when its cluster stops\n"
NODES = ("node1", "node2")
CONTROLLER_PORT = 26817  # not Slurm's usual ports

# config_overrides: the nodes are said to have more memory than the machine, for stages ask for what the study
# needs.
# cred_expire: Slurm starts a job that it queued again only when the credential of the first start has run out.
# MinJobAge: finished jobs stay visible; the test reads them, and without accounting there is no other record.
SLURM_CONF = """{ours}ClusterName=detector
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire={cred_expire}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=1,sched_interval=2,bf_interval=2
SlurmdParameters=config_overrides
SlurmctldTimeout=300
SlurmdTimeout=300
MinJobAge=86400
KillWait=10
ReturnToService=2
GresTypes=gpu
{nodes}
PartitionName=main Nodes={names} Default=YES MaxTime=INFINITE State=UP
"""
NODE = "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={cpus} RealMemory=64000 Gres=gpu:2"
GRES_CONF = "{ours}NodeName={names} Name=gpu File=/dev/null,/dev/zero\n"


class CannotRun(Exception):
    """Why there can be no cluster on this machine."""


class SlurmCluster:
    """`with SlurmCluster() as cluster:` — two idle nodes inside, nothing left of them outside."""

    def __init__(self, cpus: int = 2, cred_expire: int = 10):
        self.cpus, self.cred_expire = cpus, cred_expire
        self.folder: Path | None = None
        self._processes: dict[str, subprocess.Popen] = {}
        self._lock = None

    def __enter__(self) -> "SlurmCluster":
        check()
        self._lock = open(Path(tempfile.gettempdir()) / "detector-slurm.lock", "w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)  # there is one /etc/slurm: another cluster of ours goes first
        try:
            check()
            install()
            self.folder = Path(tempfile.mkdtemp(prefix="detector-slurm-"))
            self.folder.chmod(0o755)
            self._write_config()
            self._start_munge()
            self._start("slurmctld", ["slurmctld", "-D", "-c"])
            for node in NODES:
                self.start_node(node)
            self.wait_until(lambda: set(self.states().values()) == {"idle"}, 60, "the nodes did not become idle")
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, *error) -> None:
        if self._answers():
            ids = command("squeue", "--noheader", "--format=%A").split()
            if ids:
                subprocess.run(["scancel", "--signal=KILL", "--full", *ids], capture_output=True)
                subprocess.run(["scancel", *ids], capture_output=True)
            for node in NODES:
                kill_tree(self.step_daemons(node))
        for process in reversed(self._processes.values()):
            stop(process)
        for name in ("slurm.conf", "gres.conf"):
            if is_ours(CONFIG / name):
                (CONFIG / name).unlink()
        if self.folder is not None:
            if error and error[0] is not None:
                sys.stderr.write(self.logs())
            shutil.rmtree(self.folder, ignore_errors=True)
        if self._lock is not None:
            self._lock.close()

    def start_node(self, node: str) -> None:
        self._start(node, ["slurmd", "-D", "-N", node])

    def kill_node(self, node: str) -> int:
        """What pulling a node's plug does: its daemon and all that runs there are gone at once, without a word.

        The controller learns of it as from an administrator; by itself it would notice after SlurmdTimeout.
        Returns how many processes of jobs were killed.
        """
        process = self._processes.pop(node)
        process.kill()
        process.wait()
        killed = kill_tree(self.step_daemons(node))
        command("scontrol", "update", f"nodename={node}", "state=down", "reason=unplugged")
        return killed

    def step_daemons(self, node: str) -> list[int]:
        """The slurmstepd of this node. They outlive slurmd, and name a job but no node; their environment does."""
        found = []
        for pid, line in processes():
            if re.match(r"slurmstepd\b", Path(line.split(" ")[0]).name):
                children = [child for child, _ in processes() if parent(child) == pid]
                names = {variable(child, "SLURMD_NODENAME") for child in children}
                if node in names:
                    found.append(pid)
        return found

    def states(self) -> dict[str, str]:
        """node → idle, mixed, down …"""
        lines = command("sinfo", "--noheader", "--Node", "--format=%N %T").splitlines()
        return dict(line.split() for line in lines)

    def jobs(self) -> list[dict[str, str]]:
        """All jobs since the cluster started, in order, as `scontrol show job` describes them."""
        lines = command("scontrol", "--oneliner", "show", "job").splitlines()
        jobs = [dict(re.findall(r"(\w[\w:/]*)=(\S*)", line)) for line in lines if line.startswith("JobId=")]
        return sorted(jobs, key=lambda job: int(job["JobId"]))

    def logs(self, lines: int = 30) -> str:
        """The ends of the daemons' logs, for a person who asks why."""
        parts = []
        for path in sorted(self.folder.glob("*.log")):
            tail = path.read_text(errors="replace").splitlines()[-lines:]
            parts.append("\n".join([f"--- {path.name}", *tail, ""]))
        return "\n".join(parts)

    def wait_until(self, reached, seconds: float, otherwise: str) -> None:
        end = time.monotonic() + seconds
        while not reached():
            if time.monotonic() > end:
                raise TimeoutError(f"{otherwise} within {seconds:.0f} s\n{self.logs()}")
            time.sleep(0.2)

    def _write_config(self) -> None:
        host = socket.gethostname().split(".")[0]
        names = ",".join(NODES)
        nodes = [
            NODE.format(name=name, host=host, port=CONTROLLER_PORT + 1 + number, cpus=self.cpus)
            for number, name in enumerate(NODES)
        ]
        text = SLURM_CONF.format(
            **{"ours": OURS, "host": host, "port": CONTROLLER_PORT, "folder": self.folder},
            **{"cred_expire": self.cred_expire, "nodes": "\n".join(nodes), "names": names},
        )
        CONFIG.mkdir(exist_ok=True)
        (CONFIG / "slurm.conf").write_text(text)
        (CONFIG / "gres.conf").write_text(GRES_CONF.format(ours=OURS, names=names))

    def _start_munge(self) -> None:
        """A munged of our own, with its own key and socket: one that runs here already is left alone."""
        folder = self.folder / "munge"
        folder.mkdir(mode=0o755)
        key = folder / "key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        self._start(
            "munged",
            ["munged", "--foreground", "--force", f"--socket={folder}/socket", f"--key-file={key}"]
            + [f"--pid-file={folder}/pid", f"--log-file={folder}/log", f"--seed-file={folder}/seed"],
        )
        self.wait_until((folder / "socket").exists, 20, "munged made no socket")

    def _start(self, name: str, arguments: list[str]) -> None:
        """A daemon in the foreground. It ends with this process, also when this one is killed."""
        with open(self.folder / f"{name}.out.log", "ab") as output:
            self._processes[name] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "PATH": f"/usr/sbin:/sbin:{os.environ.get('PATH', '')}"},
            )

    def _answers(self) -> bool:
        return "slurmctld" in self._processes and command("scontrol", "ping", check=False).find("is UP") >= 0


def check() -> None:
    """Raise CannotRun where a cluster of ours would not start, or would get into another's way."""
    if os.geteuid() != 0:
        raise CannotRun("a Slurm cluster of our own needs root")
    if sys.platform != "linux" or shutil.which("setpriv") is None:
        raise CannotRun("a Slurm cluster of our own needs Linux with setpriv (util-linux)")
    if missing() and shutil.which("apt-get") is None:
        raise CannotRun(
            f"Slurm is not installed ({', '.join(missing())}) and there is no apt-get to install it with"
        )
    for name in ("slurm.conf", "gres.conf"):
        if (CONFIG / name).exists() and not is_ours(CONFIG / name):
            raise CannotRun(f"{CONFIG / name} belongs to a Slurm that is here already; it is left alone")


def missing() -> list[str]:
    path = f"/usr/sbin:/sbin:{os.environ.get('PATH', '')}"
    return [name for name in PROGRAMS if shutil.which(name, path=path) is None]


def install() -> None:
    """Debian's packages, if they are not there. They are left installed, and none of their services is started."""
    if not missing():
        return
    policy = Path("/usr/sbin/policy-rc.d")  # Debian asks it whether a new package may start its service
    ours = not policy.exists()
    if ours:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for arguments in (["update"], ["install", "--yes", "--no-install-recommends", *PACKAGES]):
            done = subprocess.run(["apt-get", "-qq", *arguments], env=environment, capture_output=True, text=True)
            if done.returncode != 0:
                raise CannotRun(f"`apt-get {' '.join(arguments)}` failed: {done.stderr.strip()[-600:]}")
    finally:
        if ours:
            policy.unlink()


def is_ours(path: Path) -> bool:
    return path.is_file() and path.read_text(errors="replace").startswith(OURS)


def command(*arguments: str, check: bool = True) -> str:
    done = subprocess.run(arguments, capture_output=True, text=True)
    if check and done.returncode != 0:
        raise RuntimeError(f"`{' '.join(arguments)}` failed: {done.stderr.strip()}")
    return done.stdout


def processes() -> list[tuple[int, str]]:
    """(pid, command line) of all processes."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
        except OSError:
            continue  # it has ended
        found.append((int(folder.name), line.decode(errors="replace")))
    return found


def parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    except OSError:
        return 0


def variable(pid: int, name: str) -> str:
    """A variable of the environment that a process was started with."""
    try:
        entries = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return ""
    pairs = (entry.partition("=") for entry in entries)
    return next((value for key, _, value in pairs if key == name), "")


def kill_tree(roots: list[int]) -> int:
    """SIGKILL to these processes and all below them, from the top, so that none sees another end. How many."""
    waiting, tree = list(roots), []
    while waiting:
        pid = waiting.pop(0)
        tree.append(pid)
        waiting += [child for child, _ in processes() if parent(child) == pid]
    for pid in tree:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    return len(tree)


def stop(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def demo(cluster: SlurmCluster) -> int:
    """Make the demo's data, run the demo on the cluster, print its summary; then what each stage had asked for."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment["PYTHONPATH"] = str(ROOT / "src")
    run = [sys.executable, "-m", "snakemake", "--workflow-profile", "profiles/slurm"]
    for arguments in (
        [sys.executable, "-m", "detector.cli.main", "demo-data", "data/demo"],
        # this cluster keeps no accounts, which is what sacct would show
        [*run, "--configfile", "configs/demo.yaml", "--slurm-status-command", "squeue", "--quiet", "rules"],
        [sys.executable, "-m", "detector.cli.main", "summary", "results/demo"],
    ):
        done = subprocess.run(arguments, cwd=ROOT, env=environment)
        if done.returncode != 0:
            return done.returncode
    for job in cluster.jobs():
        words = ("Comment", "JobState", "RunTime", "TimeLimit", "NumCPUs", "MinMemoryNode", "TresPerJob")
        print("  ".join(job.get(word, "-") for word in words))
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", action="store_true", help="the demo on the cluster")
    parser.add_argument("--cpus", type=int, default=2, help="CPUs that each node is said to have")
    parser.add_argument("command", nargs="*", help="what to run while the cluster is up")
    options = parser.parse_args()
    if not options.demo and not options.command:
        parser.error("--demo, or a command")
    try:
        with SlurmCluster(cpus=options.cpus) as cluster:
            print(f"Slurm is up: {cluster.states()}; logs are in {cluster.folder}", flush=True)
            return demo(cluster) if options.demo else subprocess.run(options.command).returncode
    except CannotRun as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
