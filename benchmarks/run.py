"""Run every benchmark and write docs/performance.md and docs/scale.md: what `make bench` does."""

import argparse
import datetime
import os
import platform
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import torch

from benchmarks import common
from detector.core.machine import cores, cpu_flags, cpu_name

PAGES = {
    "performance": (
        ("first_run",),
        ("feeding",),
        ("step", "--arch", "resnet18", "--size", "224"),
        ("step", "--arch", "resnet50", "--size", "224", "--repeats", "3", "--turns", "1"),
        ("step", "--arch", "resnet18", "--size", "64", "--steps", "5"),
        ("step", "--arch", "resnet18", "--size", "32", "--batch", "64", "--files", "256", "--steps", "5"),
        ("masks", "--arch", "resnet50"),
        ("end_to_end",),
        ("pruning_search",),
        ("predicting",),
    ),
    "scale": (("dag",), ("growth", "--full")),
}
INTRODUCTIONS = {
    "performance": (
        "# Performance\n\n"
        "Written by `make bench` ({minutes:.0f} minutes for this page). The two sides of each figure took turns "
        "in one run; a ratio is that of the medians, with the least and largest of a round. The peer is "
        "[benchmarks/naive.py](../benchmarks/naive.py): the same study with ImageFolder, a DataLoader, PIL, fp32 "
        "in PyTorch's default layout, `torch.nn.utils.prune` and optimizers as they come.\n\n"
        "Where a target is missed: those for a step and a whole run at 224 px were set for a CPU with bf16 "
        "units (AMX). Without them nearly all of a step is fp32 convolution, which both sides leave to the "
        "same library. Float batches on a CPU miss 40 × because normalising writes four times the bytes; it "
        "is a small part of a percent of a training step. In these short end-to-end runs a third of our time "
        "is not training but mostly starts of processes: every stage with a network imports PyTorch and "
        "torchvision, some 4 to 5 s, a naive script once. The largest single part that could go is "
        "`torch._dynamo`, 1.5 s, which torchvision and every optimizer load whether it is used or not; there "
        "is no public way to leave it out. None of that grows with the data.\n\n"
    ),
    "scale": (
        "# Scale\n\n"
        "Written by `make bench` ({minutes:.0f} minutes for this page): how the data side grows up to a million "
        "images, and how long Snakemake thinks about hundreds of branches.\n\n"
    ),
}
SHOWN_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")
PACKAGES = ("torch", "torchvision", "numpy", "pillow", "optuna")


def machine() -> str:
    """Processor, cores, flags and versions, as Markdown."""
    model, flags = cpu_name() or "unknown processor", cpu_flags()
    has = ", ".join(flag for flag in SHOWN_FLAGS if flag in flags) or "none"
    lacks = ", ".join(flag for flag in SHOWN_FLAGS if flag not in flags) or "none"
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"- {datetime.date.today().isoformat()}, {platform.system()} {platform.machine()}, {model}, "
        f"{cores()} cores; GPU: {gpu}\n"
        f"- flags there: {has}; not there: {lacks}\n"
        f"- Python {platform.python_version()}, {versions}"
    )


def write(page: str, folder: Path) -> None:
    """Run the benchmarks of a page and write it. A missed target is in the text; any other failure stops it."""
    started = time.perf_counter()
    library = os.pathsep.join([str(common.ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    sections = []
    for name, *options in PAGES[page]:
        print(f"{time.perf_counter() - started:5.0f} s  {name} {' '.join(options)}", flush=True)
        done = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{name}", *options],
            cwd=common.ROOT,
            env={**os.environ, "PYTHONPATH": library},
            stdout=subprocess.PIPE,
            text=True,
        )
        if not done.stdout.startswith("## "):
            sys.exit(f"benchmarks.{name} failed with {done.returncode}; its error is above")
        command = " ".join(["python -m", f"benchmarks.{name}", *options])
        sections.append(f"{done.stdout.strip()}\n\n`{command}`")
    minutes = (time.perf_counter() - started) / 60
    out = folder / f"{page}.md"
    head = INTRODUCTIONS[page].format(minutes=minutes)
    out.write_text(head + machine() + "\n\n" + "\n\n".join(sections) + "\n")
    print(f"{out} after {minutes:.1f} minutes")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", nargs="+", choices=list(PAGES), default=list(PAGES), help="which to write")
    parser.add_argument("--folder", type=Path, default=common.ROOT / "docs", help="where to")
    arguments = parser.parse_args()
    for page in arguments.pages:
        write(page, arguments.folder)
