"""Progress of an unfinished run, from the files that exist and the last lines of its jobs' logs."""

import re
from collections.abc import Iterator
from pathlib import Path

from detector.core import locks
from detector.core.files import DONE, read_json
from detector.experiment.variants import BASELINE

TOLD = re.compile(r"^\d\d:\d\d:\d\d INFO (.*(?:epoch|trial) \d+/\d+.*|.*\d+ of \d+ files.*)$", re.MULTILINE)
JOBS = re.compile(r"(pack|baseline|search|finetune)-[\w-]+")  # that keep a state
HPO = "hpo"  # folder of a search, in that of its branch or, where all branches share it, in that of its run
TAIL = 1 << 16  # bytes of a log that are looked at


def text(results: Path) -> str:
    """Progress of the run below `results`, for a terminal; "" where none was started."""
    parts = [*_data(results), *_variants(results)]
    jobs = [f"  {line}" for line in _jobs(results)]
    if not parts and not jobs:
        return ""
    lines = ["not finished yet", *(f"  {line}" for line in parts)]
    lines += ["under way", *jobs] if jobs else ["no packing, training or search is under way"]
    return "\n".join(
        [*lines, "what is left, and why: snakemake -n, with the --configfile that it was started with"]
    )


def _data(results: Path) -> Iterator[str]:
    for scan in sorted(results.glob("data/*/scan.parquet")):
        said = "scanned"
        if (scan.parent / "images.npy").is_file():
            count, size, *_ = read_json(scan.parent / "images.json")["shape"]
            said += f", packed ({count:,} images of {size} px)"
        yield f"{scan.parent.name}: {said}"
    done = [name for name, file in (("split", "splits"), ("audited", "manifest")) if _there(results, file)]
    if done:
        yield f"all sources: {', '.join(done)}"


def _there(results: Path, name: str) -> bool:
    return (results / f"data/{name}.parquet").is_file()


def _variants(results: Path) -> Iterator[str]:
    found = [path for path in results.glob("runs/*/seed*/*") if path.is_dir()]
    first = (BASELINE, HPO)
    for folder in sorted(found, key=lambda path: (path.parts[-3:-1], path.name not in first, path.name)):
        done = []
        best = folder / "best.json" if folder.name == HPO else folder / HPO / "best.json"
        if best.is_file():
            done.append(f"searched ({read_json(best)['trials']} trials)")
        if (folder / "meta.json").is_file():
            meta = read_json(folder / "meta.json")
            how = f"trained ({meta['epochs']} epochs" if "epochs" in meta else "fitted (a system"
            done.append(f"{how}, validation accuracy {meta['valid_accuracy']:.4f})")
        for name, pattern in (("tested", "predictions/*.parquet"), ("exported", "export.json")):
            done += [name] * any(folder.glob(pattern))
        done += ["bundled"] * (folder / "bundle/SHA256SUMS").is_file()
        if done:
            arch, seed, branch = folder.parts[-3:]
            of = "all branches" if branch == HPO else branch
            yield f"{arch} {seed.replace('seed', 'seed ')} {of}: {', '.join(done)}"


def _jobs(results: Path) -> Iterator[str]:
    """Jobs that keep a state and are not through: what each last said, and whether it is at work."""
    state = results / "state"
    left = {path.name for path in state.glob("*") if path.is_dir() and not any(path.glob(f"*/{DONE}"))}
    left |= {path.name.split(".")[0] for path in state.glob("*.lock")}
    for name in sorted(filter(JOBS.fullmatch, left)):
        works = any(locks.is_held(lock) for lock in state.glob(f"{name}.*lock"))
        yield f"{'at work' if works else 'stopped'}: {last(results, name)}"


def last(results: Path, job: str) -> str:
    """Last progress line of a job and of each of its workers; the job's name where there is none."""
    logs = [*results.glob(f"logs/{job}.log"), *sorted(results.glob(f"logs/{job}-worker*.log"))]
    return "; ".join(line for log in logs if (line := _last(log))) or job


def _last(log: Path) -> str:
    """The last line that says how far the job was."""
    with open(log, "rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL))
        found = TOLD.findall(file.read().decode(errors="replace"))
    return found[-1] if found else ""
