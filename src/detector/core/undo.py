"""Undo of a failed run: what it replaces is kept until it succeeds, and put back if it does not.

Snakemake deletes the outputs of a job before it starts it, and notes a failed job's settings as if it were done.
So a run first keeps, of each job that it is going to start, the files that are there and Snakemake's notes about
them. Files are kept as hard links, which take no room for as long as the original is there.

* `replaced.*/`, one a run: when it ends, a job whose outputs are not whole gets back what it had, notes and times
  included; for Snakemake nothing has happened. After a kill the next start does that.
* `before/`: what all runs since the last one that succeeded have replaced, the oldest of each job. Its notes say
  what those results were made from (`of`). Where that comes back, such as an image that was damaged for a while,
  the two states of the results change places; stages may have got through with what was there meanwhile.

Nothing here knows Snakemake but by the paths that it is given.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from detector.core import files, locks

NOTES = "jobs.json"  # written last: a folder without it is of no use
WAIT = 60.0  # seconds for jobs that a killed Snakemake left behind


class Output(NamedTuple):
    """Output of a job: the file, Snakemake's metadata about it, and the mark that it is incomplete."""

    path: str
    record: str
    marker: str


class Undo:
    """Kept files of one results folder, whose folder of states is `state`.

    `label`: the file that records what the results were made from when a run last succeeded.
    """

    def __init__(self, state: Path | str, label: Path | str) -> None:
        self._state, self._label = Path(state), Path(label)
        self._before, self._swapping = self._state / "before", self._state / "before.new"
        self.lock = self._state / "run.lock"
        self._run: Path | None = None
        self._presence: locks.Presence | None = None

    def begin(self, jobs: Iterable[Sequence[Output]], key: str) -> None:
        """Keep the existing outputs of these jobs. `key`: a hash of everything that decides results."""
        if _notes(self._before).get("swapped"):  # of a state that was given up for the one that now changes
            _drop(self._before)
        self._state.mkdir(parents=True, exist_ok=True)
        self._presence = locks.Presence(self.lock)
        self._run = Path(tempfile.mkdtemp(prefix="replaced.", dir=self._state))
        of = self._label.read_text() if self._label.exists() else ""
        _keep(self._run, jobs, {"of": of, "now": key, "swapped": False})

    def end(self, *, succeeded: bool) -> None:
        """Put back what jobs of this run have lost or, if it succeeded, drop everything kept."""
        if self._run is None or self._presence is None:
            return
        if succeeded:
            files.write_text(self._label, _notes(self._run)["now"])
            _drop(self._before)
            _drop(self._run)
        else:
            self._close(self._run)
        self._run = None
        self._presence.leave()

    def recover(self, key: str) -> bool:
        """Finish the undo of a killed run; then restore the kept state if it is that of `key`.

        Call only where no other run is at work on these results. Returns whether a state was restored. Raises
        `DetectorError` where jobs of a dead run are still at work after WAIT seconds.
        """
        left = sorted(self._state.glob("replaced.*"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        notes = _notes(self._before)
        fits = notes.get("of") == key != notes.get("now")
        if not (left or fits or self._swapping.exists()):
            return False
        with locks.held(self.lock, WAIT):
            for run in left:  # the latest first: what an earlier one kept is what counts
                self._close(run)
            if not _notes(self._swapping):
                _drop(self._swapping)
                notes = _notes(self._before)
                fits = notes.get("of") == key != notes.get("now")
                if not fits:
                    return False
                other = {"of": notes["now"], "now": notes["of"], "swapped": not notes["swapped"]}
                _keep(self._swapping, ([_output(o) for o in job] for job in notes["jobs"].values()), other)
            for name, outputs in _notes(self._before).get("jobs", {}).items():
                _put_back(self._before, name, outputs)
            _drop(self._before)
            files.publish(self._swapping, self._before)
        return True

    def _close(self, run: Path) -> None:
        """The end of a run that failed: jobs that are not whole get back what they had, `before` gets the rest."""
        notes = _notes(run)
        for name, outputs in notes.get("jobs", {}).items():
            if not all(os.path.exists(o["path"]) and not os.path.exists(o["marker"]) for o in outputs):
                _put_back(run, name, outputs)
        if notes and notes["of"]:
            known = _notes(self._before)
            new = {name: outputs for name, outputs in notes["jobs"].items() if name not in known.get("jobs", {})}
            self._before.mkdir(exist_ok=True)
            for name, outputs in new.items():
                for number, output in enumerate(outputs):
                    if output["had"]:
                        _copy(run / f"{name}.{number}", self._before / f"{name}.{number}")
            merged = {**notes, **known, "now": notes["now"], "jobs": {**known.get("jobs", {}), **new}}
            files.write_json(self._before / NOTES, merged)
        _drop(run)


def _keep(folder: Path, jobs: Iterable[Sequence[Output]], notes: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    kept: dict[str, list[dict[str, object]]] = {}
    for job in jobs:
        name = hashlib.sha256("\0".join(output.path for output in job).encode()).hexdigest()[:16]
        kept[name] = []
        for number, output in enumerate(job):
            had = os.path.isfile(output.path)
            if had:
                _copy(output.path, folder / f"{name}.{number}")
            record = Path(output.record)
            text = record.read_text() if record.exists() else None
            kept[name].append({**output._asdict(), "had": had, "text": text})
    files.write_json(folder / NOTES, {**notes, "jobs": kept})


def _put_back(folder: Path, name: str, outputs: Sequence[Mapping[str, Any]]) -> None:
    """Can be killed and done again: a job counts as not whole until its last step."""
    for output in outputs:  # first, as a file under a failed job's note would count as made from what failed
        record = Path(output["record"])
        if output["text"] is None:
            record.unlink(missing_ok=True)
        else:  # in place: names of notes may be as long as names can be
            record.parent.mkdir(parents=True, exist_ok=True)
            record.write_text(output["text"])
            files.sync(record)
    for number, output in enumerate(outputs):
        if output["had"]:
            with files.replacing(output["path"]) as temporary:
                _copy(folder / f"{name}.{number}", temporary)
        else:
            Path(output["path"]).unlink(missing_ok=True)
    for output in outputs:
        Path(output["marker"]).unlink(missing_ok=True)


def _copy(source: Path | str, target: Path) -> None:
    """A link, or where there can be none a copy with the same time of modification. A `target` of a kill goes."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _notes(folder: Path) -> dict[str, Any]:
    return files.read_json(folder / NOTES) if (folder / NOTES).exists() else {}


def _output(note: Mapping[str, Any]) -> Output:
    return Output(note["path"], note["record"], note["marker"])


def _drop(folder: Path) -> None:
    (folder / NOTES).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
