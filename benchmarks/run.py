"""Run every benchmark and write their part of docs/performance.md and docs/scale.md: what `make bench` does."""

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
# What lies between these two lines of a page is written anew; all else of it is written by hand, and stays.
BEGIN, END = "<!-- written by `make bench` -->", "<!-- end of what `make bench` writes -->"
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
    """Run the benchmarks of a page and write it, what is written by hand as it is in docs.

    A missed target is in the text; any other failure stops it.
    """
    started = time.perf_counter()
    library = os.pathsep.join([str(common.ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    text = (common.ROOT / f"docs/{page}.md").read_text()
    replaced(text, "")  # before hours are spent
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
    measured = "\n\n".join([f"{machine()}\n- all of this in {minutes:.0f} minutes", *sections])
    out.write_text(replaced(text, measured))
    print(f"{out} after {minutes:.1f} minutes")


def replaced(text: str, measured: str) -> str:
    """A page with another measured part. Exits where the page has no place for it."""
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        sys.exit(f"found no {END if begin else BEGIN} in the page, expected it around what is measured")
    return f"{head}{BEGIN}\n\n{measured}\n\n{END}{tail}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", nargs="+", choices=list(PAGES), default=list(PAGES), help="which to write")
    parser.add_argument("--folder", type=Path, default=common.ROOT / "docs", help="where to")
    arguments = parser.parse_args()
    for page in arguments.pages:
        write(page, arguments.folder)
