"""A copy of the project that a test may edit, run and break, with tiny data in the official layouts."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from tests.support import ROOT, samples, warm

PARTS = ("Snakefile", "config.yaml", "configs", "profiles", "src", "workflow")
TINY = {
    "results": "results/tiny",
    "data": {
        "use": ["faces140k", "synthbuster"],
        "sources": {
            "faces140k": {"root": "data/faces140k", "expect": "any"},
            "synthbuster": {"root": "data/synthbuster", "expect": "any"},
        },
    },
    "images": {"size": 16},
    "architectures": ["resnet18"],
    "train": {"epochs": 2},
    "prune": {"methods": {"l1": [0.4]}},
    "search": {"trials": 2, "epochs": 1, "batch_size": 16},
    "finetune": {"epochs": 2, "batch_size": 16},
    "latency": {"warmup": 1, "rounds": 3},
    "deploy": {"branches": ["l1-40"], "calibration_images": 16},
    "robustness": {"use": ["jpeg-50", "forwarded"], "branches": ["l1-40"]},
    "runtime": {"threads": 1, "workers": 1, "device": "cpu"},
}


class Workspace:
    """A copy of the project in `folder`, with data/ and the config overlay configs/tiny.yaml."""

    def __init__(self, folder: Path):
        self.folder = folder
        for part in PARTS:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
            else:
                folder.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, folder / part)
        samples.write_faces140k(folder / "data/faces140k", each=5)
        samples.write_synthbuster(folder / "data/synthbuster", prompts=5)
        self.configure(TINY)

    @classmethod
    def copy_of(cls, other: "Workspace", folder: Path) -> "Workspace":
        """What `other` is now, times and Snakemake's notes included."""
        subprocess.run(["cp", "-a", str(other.folder), str(folder)], check=True)
        copy = cls.__new__(cls)
        copy.folder = folder
        return copy

    @property
    def results(self) -> Path:
        return self.folder / "results/tiny"

    def configure(self, config: dict) -> None:
        (self.folder / "configs/tiny.yaml").write_text(yaml.safe_dump(config))

    def command(
        self, *arguments: str, config: str = "configs/tiny.yaml", python: str = sys.executable
    ) -> list[str]:
        """Snakemake's command line, for two jobs at a time that are heard."""
        overlay = ["--configfile", config] if config else []
        return [
            *(python, "-m", "snakemake", *arguments, "--cores", "2", "--resources", "gpu=2"),
            "--logger-detector-full",
            *overlay,
        ]

    def environment(self) -> dict[str, str]:
        """The environment for it: the copy's own library, not the installed one."""
        return {**os.environ, "PYTHONPATH": str(self.folder / "src")}

    def snakemake(
        self, *arguments: str, config: str = "configs/tiny.yaml", cold: bool = False
    ) -> subprocess.CompletedProcess:
        """Run Snakemake here; output of both streams is in `.stdout`. `cold`: each process imports by itself."""
        return subprocess.run(
            self.command(*arguments, config=config, python=sys.executable if cold else warm.python()),
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def stale(self, config: str = "configs/tiny.yaml") -> dict[str, int]:
        """How many jobs of which rule Snakemake would run now, without `all`."""
        done = self.snakemake("--dry-run", config=config)
        assert done.returncode == 0, done.stdout
        table = re.search(r"^job +count\n-.*\n((?:\w+ +\d+\n)+?)total ", done.stdout, re.MULTILINE)
        if table is None:
            assert "Nothing to be done" in done.stdout, done.stdout
            return {}
        rows = (line.split() for line in table[1].splitlines())
        return {rule: int(count) for rule, count in rows if rule != "all"}
