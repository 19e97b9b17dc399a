"""Measurements on a GPU, for the day one is at hand: parts of at most five minutes, and one table.

    python -m benchmarks.gpu --out gpu --cifake cifake.tar.xz        at most 12 minutes in all
    python -m benchmarks.gpu --out gpu --parts step masked           these alone
    python -m benchmarks.gpu --out gpu-dry --dry                     each part at a tiny size on a CPU

Each part is a process of its own and leaves `OUT/PART.json`. One that is done is not run again, one that failed or
was killed is; what was noted on another machine is never written over. What a part lacks (CUDA, CIFAKE, a
compiler, time) is said, in the table too, and the others go on. `OUT/gpu.md` is written after each part. CIFAKE is
carried in as its archive or the unpacked folder, all other images are made here. A dry run shows that the script
works: it writes `OUT/dry-run.md`, without any figure.

Exits with 1 where a part failed, or where none is done.
"""

import argparse
import datetime
import importlib.util
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks import common
from benchmarks import gpu_parts as parts
from benchmarks.gpu_parts import Row, Setting
from detector.core import provenance
from detector.core.errors import DetectorError
from detector.core.files import read_json, write_json, write_text
from detector.models import gpus

LIMIT = 300  # seconds of a part
MINUTES = 12  # of all parts together
CARRIED = 60 * 10**6  # bytes of the archive that is carried in
DONE, SKIPPED, FAILED = "done", "skipped", "failed"
NOT_MEASURED = "ran"  # in place of each figure of a dry run


@dataclass(frozen=True)
class Part:
    """A part: what is measured, the seconds that it must have left to begin, and what else it needs."""

    measure: Callable[[Setting], Iterator[Row]]
    least: int
    needs: tuple[str, ...] = ()


PARTS = {
    "step": Part(parts.step, 90),
    "masked": Part(parts.masked, 30),
    "evaluation": Part(parts.evaluation, 30),
    "memory": Part(parts.memory, 30),
    "resume": Part(parts.resume, 40),
    "sharing": Part(parts.sharing, 40),
    "worker": Part(parts.worker, 40),
    "precision": Part(parts.precision, 60, ("cifake", "bf16")),
    "compiled": Part(parts.compiled, 90, ("compiler",)),
    "baseline": Part(parts.baseline, 90, ("cifake",)),
}


def lacks(part: Part, setting: Setting, left: float) -> str | None:
    """What a part cannot be run without, in words; None where it has all."""
    if not setting.dry and not torch.cuda.is_available():
        return "no CUDA device"
    if left < part.least:
        return f"{left:.0f} s are left, it needs {part.least}; raise --minutes"
    if "cifake" in part.needs and not setting.dry:
        if setting.cifake is None:
            return "no CIFAKE; give its archive or folder to --cifake"
        if not setting.cifake.exists():
            return f"no CIFAKE: {setting.cifake} is not there"
        if setting.cifake.is_file() and setting.cifake.stat().st_size > CARRIED:
            return f"{setting.cifake} has more than {CARRIED // 10**6} MB"
    if "bf16" in part.needs and not setting.dry and not torch.cuda.is_bf16_supported(including_emulation=False):
        return f"{torch.cuda.get_device_name()} has no bf16"
    if "compiler" in part.needs:
        if shutil.which("g++") is None and shutil.which("clang++") is None:
            return "no C++ compiler"
        if not setting.dry and importlib.util.find_spec("triton") is None:
            return "no Triton, by which torch.compile makes code for a GPU"
    return None


def where(setting: Setting) -> str:
    """GPU and versions, which parts of one table share; of a dry run no machine at all."""
    if setting.dry or not torch.cuda.is_available():
        return "dry run" if setting.dry else "no CUDA device"
    from benchmarks import run

    about = torch.cuda.get_device_properties(0)
    machine = run.machine().split(", ", 1)[1]  # without the day
    return f"- {about.name}, {about.total_memory / 2**30:.0f} GiB; CUDA {torch.version.cuda}\n- {machine}"


def measure(name: str, setting: Setting) -> None:
    """Run a part in this process, and note what it found. Of a dry run no figure is kept."""
    started = time.perf_counter()
    rows = [list(row) for row in PARTS[name].measure(setting)]
    if setting.dry:
        rows = [[what, NOT_MEASURED, ""] for what, *_ in rows]
    note(name, setting, DONE, rows=rows, seconds=time.perf_counter() - started)


def note(
    name: str,
    setting: Setting,
    status: str,
    why: str = "",
    *,
    rows: Sequence[Sequence[str]] | None = None,
    seconds: float = 0.0,
) -> None:
    """Write PART.json; `seconds` are added to those that the part took before."""
    before = noted(name, setting)
    origin = provenance.record()
    facts = {
        "status": status,
        "why": why,
        "where": where(setting),
        "day": datetime.date.today().isoformat(),
        "commit": (origin["git_commit"][:7] or "no checkout") + (" and changes" if origin["dirty"] else ""),
        "rows": [] if rows is None else rows,
        "seconds": seconds + (before["seconds"] if before else 0.0),
    }
    write_json(setting.out / f"{name}.json", facts)


def noted(name: str, setting: Setting) -> dict[str, Any] | None:
    """What PART.json says; None where there is none.

    Raises `DetectorError` for one of another machine, or of another kind of run: nothing of it is written over.
    """
    path = setting.out / f"{name}.json"
    if not path.exists():
        return None
    found, here = read_json(path), where(setting)
    if found["where"] != here:
        raise DetectorError(
            f"{path}: found what was noted on\n{found['where']}\nwhile this is\n{here}\ngive another --out"
        )
    return found


def apart(name: str, setting: Setting, limit: float) -> None:
    """Run a part in a process of its own, for `limit` seconds at most; its output is PART.log."""
    command = [sys.executable, "-m", "benchmarks.gpu", "--only", name]
    command += ["--out", str(setting.out), "--work", str(setting.work), *(["--dry"] if setting.dry else [])]
    command += ["--cifake", str(setting.cifake)] if setting.cifake else []
    library = os.pathsep.join([str(common.ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    environment, started = {**os.environ, "PYTHONPATH": library}, time.perf_counter()
    if torch.cuda.is_available():
        environment[gpus.VISIBLE] = gpus.visible([0])  # all that is compared is on one device
    path = setting.out / f"{name}.log"
    with open(path, "w") as log:
        process = subprocess.Popen(
            command, cwd=common.ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            code = process.wait(limit)
            why = f"ended with {code}; {path.name} says why" if code else ""
        except subprocess.TimeoutExpired:
            why = f"stopped after {limit:.0f} s"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # with the processes that it started
                process.wait()
    if why:
        note(name, setting, FAILED, why, seconds=time.perf_counter() - started)


def table(setting: Setting) -> str:
    """The page of what is noted."""
    rows, commits, days = [], set(), set()
    for name in PARTS:
        found = noted(name, setting)
        if found is None:
            continue
        commits.add(found["commit"])
        days.add(found["day"])
        if found["status"] != DONE:
            rows.append((name, f"**{found['status']}**: {found['why']}", "", ""))
        rows += [(name, *row) for row in found["rows"]]
    shown = common.table(("part", "what", "median (least–most)", "target"), rows)
    if setting.dry:
        head = "# Dry run of benchmarks.gpu: nothing was measured\n\nEach part ran on a CPU at a tiny size."
    else:
        when = f"- {', '.join(sorted(days))}, at {', '.join(sorted(commits))}; `python -m benchmarks.gpu`"
        head = f"# On a GPU\n\n{where(setting)}\n{when}"
    return f"{head}\n\n{shown}\n"


def main(args: argparse.Namespace, start: Callable[[str, Setting, float], None] = apart) -> int:
    work = args.work or args.out / "work"
    setting = Setting(args.dry, args.out.resolve(), work.resolve(), args.cifake and args.cifake.resolve())
    setting.out.mkdir(parents=True, exist_ok=True)
    setting.work.mkdir(parents=True, exist_ok=True)
    if args.only:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
        measure(args.only, setting)
        return 0
    page, results = setting.out / ("dry-run.md" if args.dry else "gpu.md"), []
    spent = sum(found["seconds"] for name in PARTS if (found := noted(name, setting)))
    for name in args.parts:
        found = noted(name, setting)
        left = 60 * args.minutes - spent
        if found and found["status"] == DONE:
            said = "done before"
        elif why := lacks(PARTS[name], setting, left):
            note(name, setting, SKIPPED, why)
            said = f"skipped: {why}"
        else:
            began = time.perf_counter()
            note(name, setting, FAILED, "was killed before its end")  # unless something else is noted
            start(name, setting, min(LIMIT, left))
            spent += time.perf_counter() - began
            ended = noted(name, setting) or {"status": FAILED, "why": ""}
            said = f"{ended['status']} {ended['why']}".strip()
        results.append(said)
        print(f"{spent:5.0f} s  {name}: {said}", flush=True)
        write_text(page, table(setting))
    print(page)
    failed, done = (any(said.startswith(status) for said in results) for status in (FAILED, DONE))
    return int(failed or not done)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the table and of what each part found")
    parser.add_argument("--work", type=Path, help="folder of large files (default: OUT/work)")
    parser.add_argument("--cifake", type=Path, help="CIFAKE's archive, or the folder unpacked from it")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS), help="these alone")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="of all parts, what was spent before too")
    parser.add_argument("--dry", action="store_true", help="each part at a tiny size on a CPU; measures nothing")
    parser.add_argument("--only", choices=list(PARTS), help=argparse.SUPPRESS)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # the part under way ends too
    try:
        sys.exit(main(parser.parse_args()))
    except DetectorError as error:
        sys.exit(str(error))
