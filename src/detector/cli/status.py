"""Progress of an unfinished run, from the files that exist and the last lines of its jobs' logs."""

import re
from collections.abc import Iterator
from pathlib import Path

from detector.core import locks
from detector.core.files import DONE, read_json
from detector.experiment.variants import BASELINE

TOLD = re.compile(r"^\d\d:\d\d:\d\d INFO (.*(?:epoch|trial) \d+/\d+.*|.*\d+ of \d+ files.*)$", re.MULTILINE)
# That keep a state; names of architectures and sources have more than letters: resnet18@mine+ela.
JOBS = re.compile(r"(pack|baseline|search|finetune)-.+")
LOCK = re.compile(r"(\.\d+)?\.lock$")
HPO = "hpo"  # folder of a search, in that of its branch or, where all branches share it, in that of its run
TAIL = 1 << 16  # bytes of a log that are looked at
# Below results, its logs and its states: of the plain run, and of the networks of a protocol.
PLACES = ("", "protocols/*/")


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
        own = sorted(results.glob(f"data/*/{scan.parent.name}/images.npy"))
        said += "".join(f", packed again with {path.parts[-3]}" for path in own)
        yield f"{scan.parent.name}: {said}"
    done = [name for name, file in (("split", "splits"), ("audited", "manifest")) if _there(results, file)]
    if done:
        yield f"all sources: {', '.join(done)}"


def _there(results: Path, name: str) -> bool:
    return (results / f"data/{name}.parquet").is_file()


def _variants(results: Path) -> Iterator[str]:
    found = [path for place in PLACES for path in results.glob(f"{place}runs/*/seed*/*") if path.is_dir()]
    first = (BASELINE, HPO)

    def order(path: Path) -> tuple:
        return _place(results, path), path.parts[-3:-1], path.name not in first, path.name

    for folder in sorted(found, key=order):
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
            where = f"{place}: " if (place := _place(results, folder)) else ""
            yield f"{where}{arch} {seed.replace('seed', 'seed ')} {of}: {', '.join(done)}"


def _place(results: Path, variant: Path) -> str:
    """Where in the results the runs lie that a variant is of: "" for the plain run, or protocols/NAME."""
    return "/".join(variant.relative_to(results).parts[:-4])


def states(results: Path) -> list[Path]:
    """Folders of the jobs that keep a state, and links called like one."""
    found = [path for place in PLACES for path in results.glob(f"state/{place}*")]
    return sorted(path for path in found if path.is_dir() and JOBS.fullmatch(path.name))


def state_locks(results: Path) -> list[Path]:
    """Locks of jobs that are at work, or were killed."""
    return sorted(path for place in PLACES for path in results.glob(f"state/{place}*.lock"))


def at_work(results: Path) -> list[str]:
    """Last progress line of each job that is at work, of those that have said how far they are."""
    found = ((job.as_posix(), last(results, job.as_posix())) for job, works in _unfinished(results) if works)
    return [line for name, line in found if line != name]


def _jobs(results: Path) -> Iterator[str]:
    """Jobs that keep a state and are not through: what each last said, and whether it is at work."""
    for job, works in _unfinished(results):
        where = f"{job.parent}: " if job.parent.name else ""
        yield f"{'at work' if works else 'stopped'}: {where}{last(results, job.as_posix())}"


def _unfinished(results: Path) -> Iterator[tuple[Path, bool]]:
    """Jobs that keep a state and are not through, by their place below state/, and whether each is at work."""
    state = results / "state"
    left = {path.relative_to(state) for path in states(results) if not any(path.glob(f"*/{DONE}"))}
    # A lock is called like its job, with the number of a further worker behind.
    left |= {path.relative_to(state).with_name(LOCK.sub("", path.name)) for path in state_locks(results)}
    for job in sorted(left):
        if not JOBS.fullmatch(job.name):
            continue
        yield job, any(locks.is_held(lock) for lock in state.glob(f"{job.as_posix()}.*lock"))


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
