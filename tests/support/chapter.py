"""The commands of docs/use.md, run on a finished study."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from tests.support import ROOT, warm

PAGE = (ROOT / "docs/use.md").read_text()


def blocks() -> list[tuple[str, str]]:
    """(language, content) of each block of code."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def commands() -> list[str]:
    """The lines of the blocks of commands, in order."""
    lines = [line for language, block in blocks() if not language for line in block.splitlines()]
    return [
        line
        for line in lines
        if re.match(r"(detector|snakemake|find) ", line) and line not in [*training(), *adapting()]
    ]


def training() -> list[str]:
    """The lines that train from two folders: they need folders, not a finished study."""
    lines = [line for language, block in blocks() if not language for line in block.splitlines()]
    return [line for line in lines if line.startswith("detector train ")]


def adapting() -> list[str]:
    """The lines that adapt a bundle: they need new images."""
    lines = [line for language, block in blocks() if not language for line in block.splitlines()]
    return [line for line in lines if line.startswith("detector adapt ")]


def overlay() -> str:
    """The page's configs/mine.yaml."""
    return next(block for language, block in blocks() if language == "yaml")


def run(folder: Path, config: str, results: str, pictures: list[Path], work: Path) -> dict[str, tuple[int, str]]:
    """Exit code and output of each command, run in `folder`, where the study of `config` is finished in `results`.

    `pictures`: two of its images, which are the page's. `work`: a new folder, for what the commands write.
    """
    for picture, name in zip(pictures, ("a.png", "b.png"), strict=True):
        (work / "photos").mkdir(parents=True, exist_ok=True)
        shutil.copy(picture, work / "photos" / name)
    tools = work / "bin"
    tools.mkdir()
    for name, module in (("detector", "detector.cli.main"), ("snakemake", "snakemake")):
        (tools / name).write_text(f'#!/bin/sh\nexec "{warm.python()}" -m {module} "$@"\n')
        (tools / name).chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(folder / "src"),
    }
    done = {}
    (network,) = (path.name for path in (folder / results / "runs").iterdir())
    for command in commands():
        own = command.replace("configs/mine.yaml", config).replace("results/mine", results)
        own = own.replace("runs/resnet18/", f"runs/{network}/")
        for name in ("photos", "maps", "answers.csv"):
            own = re.sub(rf"(?<![\w/]){re.escape(name)}(?![\w])", str(work / name), own)
        found = subprocess.run(
            ["bash", "-c", own],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        done[command] = (found.returncode, found.stdout)
    return done
