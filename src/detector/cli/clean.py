"""`detector clean`: lists the files of a results folder that can be made again, and deletes them on request."""

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from detector.cli import status
from detector.core import locks
from detector.core.errors import DetectorError
from detector.core.files import DONE, read_json

PRESENCE = Path(".snakemake/detector.lock")  # held by each snakemake that is at work in its folder
FORMAT = "detector-pack"
LAST = ("final_accuracy", "efficiency")  # tables; without them a run has not looked at all pixels yet
PIXELS = """\
Without the packed pixels a finished run is as finished as before. But as soon as anything is to be made that looks
at pixels (a new branch, seed or score), snakemake packs them again and TRAINS ALL AGAIN that they trained."""


@dataclass(frozen=True)
class Item:
    """Something to delete: a folder or a file, its size on the disk in bytes, and what is lost with it."""

    path: Path
    bytes: int
    lost: str


def deletable(results: Path, pixels: bool = False) -> list[Item]:
    """Items that can be deleted below `results`: the states of jobs and, with `pixels`, the packed images.

    Links are kept. Raises `DetectorError` where no run was started there, where a job or a snakemake is at work,
    and for the pixels of an unfinished run, which would start over.
    """
    if not status.text(results):
        raise DetectorError(f"{results}: found no results in it, expected those of a run, so nothing is deleted")
    check_idle(results)
    lacking = [path for name in LAST if not (path := results / f"tables/{name}.csv").is_file()]
    if pixels and lacking:
        raise DetectorError(
            f"--pixels: found no {lacking[0]}, so this run is not finished and would begin again; finish it first"
        )
    return [*_states(results), *(_pixels(results) if pixels else ())]


def check_idle(results: Path) -> None:
    """Raise `DetectorError` where a job of these results, or a snakemake of this folder, is at work."""
    for lock in (PRESENCE, *status.state_locks(results)):
        if locks.is_held(lock):
            raise DetectorError(f"{lock}: held by a process that is at work on a run; wait for it, or stop it")


def _states(results: Path) -> Iterator[Item]:
    if (results / "state").is_symlink():
        return
    for path in status.states(results):
        if not path.is_symlink():
            said = status.last(results, path.relative_to(results / "state").as_posix())
            lost = "nothing, its job is through" if any(path.glob(f"*/{DONE}")) else f"half-done work: {said}"
            yield Item(path, _size(path), lost)


def _pixels(results: Path) -> Iterator[Item]:
    # Of sources, and of sources as networks with a step of preprocessing of their own see them.
    for path in sorted([*results.glob("data/*/images.npy"), *results.glob("data/*/*/images.npy")]):
        index = path.with_name("images.json")
        if path.is_symlink() or not index.is_file() or read_json(index).get("format") != FORMAT:
            continue
        yield Item(path, _size(path), "pixels, see above")


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [Path(top) / name for top, _, names in os.walk(path) for name in names]
    return sum(512 * file.lstat().st_blocks for file in files)


def text(items: Sequence[Item], pixels: bool = False) -> str:
    """List of what would be deleted, with sizes and consequences."""
    if not items:
        return "nothing to clean"
    lines = [f"{item.bytes / 1e6:10,.1f} MB  {item.path}  ({item.lost})" for item in items]
    lines.append(f"{sum(item.bytes for item in items) / 1e6:10,.1f} MB in all")
    if pixels:
        lines.insert(0, PIXELS)
    return "\n".join(lines)


def delete(items: Sequence[Item]) -> None:
    """Delete the items. Raises `OSError` where one cannot be deleted."""
    for item in items:
        if item.path.is_dir():
            shutil.rmtree(item.path)
        else:
            item.path.unlink()
