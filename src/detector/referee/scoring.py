"""Scoring: asks a contender about images, one journal line per answer, so that a killed evaluation goes on.

A journal holds JSON lines: `path`, `sha256` of the file (its first digits), `score` or null, `seconds`, `error`.
A line counts while the file is the same; a torn last line is cut off.
"""

import contextlib
import csv
import json
import logging
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detector.core.errors import DetectorError
from detector.core.progress import Progress
from detector.data import lists
from detector.referee import contenders
from detector.referee.contenders import Contender
from detector.referee.programs import Program, ProgramError

log = logging.getLogger(__name__)
DIGITS = 16  # of the SHA-256 in a journal
GIVE_UP = 10  # crashes or silences in a row after which a contender is asked no more
NOT_ASKED = f"not asked, after {GIVE_UP} failures in a row"
AHEAD = 64  # images that a bundle is given at a time: the next are decoded while it computes
TOGETHER = 16  # paths that a function of a list is given


Located = Callable[[str], contextlib.AbstractContextManager[Path]]


@dataclass(frozen=True)
class Score:
    """Answer about one image: a finite number, the more the more fake, or None and what was wrong."""

    score: float | None
    seconds: float
    error: str = ""


@dataclass(frozen=True)
class Limits:
    """Time limits in seconds: of the start of a contender, and of each image."""

    start: float = 300.0
    image: float = 60.0


class FailedError(Exception):
    """Several images failed together: each is asked about alone."""


def journal(folder: Path, contender: Contender, variant: str) -> Path:
    """File of a contender's answers to the images, or to perturbed ones."""
    return folder / contender.key / f"{variant}.jsonl"


def finished(file: Path) -> dict[tuple[str, str], Score]:
    """Answers of a journal by path and SHA-256. What a kill tore off is cut off the file."""
    found: dict[tuple[str, str], Score] = {}
    if not file.is_file():
        return found
    whole = 0
    with open(file, "rb") as lines:
        for line in lines:
            try:
                if not line.endswith(b"\n"):
                    break
                row = json.loads(line)
                found[row["path"], row["sha256"]] = Score(row["score"], row["seconds"], row["error"])
            except (ValueError, KeyError, TypeError):
                break
            whole += len(line)
    if whole < file.stat().st_size:
        os.truncate(file, whole)
    return found


def score(
    asker: "Asker", images: Sequence[tuple[str, str]], located: Located, file: Path, title: str
) -> dict[str, Score]:
    """Score images, those that the journal `file` has left out; returns all by path.

    `images`: path and SHA-256; `located`: the context in which there is a file for a path. Raises whatever a
    contender raises that cannot be asked at all (`DetectorError`).
    """
    known = finished(file)
    wanted = {path: (path, sha256[:DIGITS]) for path, sha256 in images}
    found = {path: known[key] for path, key in wanted.items() if key in known}
    waiting = [path for path in wanted if path not in found]
    if not waiting:
        return found
    progress = Progress(title, len(wanted), done=len(found))
    file.parent.mkdir(parents=True, exist_ok=True)
    in_a_row = 0
    with open(file, "a", encoding="utf-8") as lines:
        for start in range(0, len(waiting), asker.together):
            group = waiting[start : start + asker.together]
            if in_a_row >= GIVE_UP:
                found |= {path: Score(None, 0.0, NOT_ASKED) for path in group}
                continue
            for path, answer, failed in _answers(asker, group, located):
                in_a_row = in_a_row + 1 if failed else 0
                found[path] = answer
                row = {"path": path, "sha256": wanted[path][1], "score": answer.score}
                row |= {"seconds": round(answer.seconds, 6), "error": answer.error}
                lines.write(json.dumps(row) + "\n")
                lines.flush()
            progress.add(len(group))
    return found


def _answers(asker: "Asker", group: list[str], located: Located) -> Iterator[tuple[str, Score, bool]]:
    """Answers about a group, and whether the contender failed, not the image."""
    with contextlib.ExitStack() as stack:
        files = [str(stack.enter_context(located(path))) for path in group]
        begin = time.monotonic()
        try:
            scores = asker.ask(files)
        except (ProgramError, FailedError) as error:
            if len(group) == 1:
                yield group[0], Score(None, time.monotonic() - begin, str(error)), isinstance(error, ProgramError)
                return
            scores = None
        each = (time.monotonic() - begin) / len(group)
        if scores is not None:
            for path, value in zip(group, scores, strict=True):
                yield path, _checked(value, each), False
            return
    for path in group:  # one of them is to blame
        yield from _answers(asker, [path], located)


def _checked(value: float | str, seconds: float) -> Score:
    if isinstance(value, str):
        return Score(None, seconds, value)
    if not math.isfinite(value):
        return Score(None, seconds, f"it answered {value}, expected a finite number")
    return Score(float(value), seconds)


class Asker:
    """Way of asking a contender; a context that ends its process."""

    together = 1  # files that `ask` takes at most

    def ask(self, files: list[str]) -> list[float | str]:
        """Score of each file, or what is wrong with it.

        Raises `ProgramError` where the contender failed, `FailedError` where some file made it fail.
        """
        raise NotImplementedError

    def close(self) -> None:
        """End what was started. Raises `DetectorError` where that shows that the scores are of no use."""

    def kill(self) -> None:
        """End what was started, at once."""


class CommandAsker(Asker):
    """Asks a program that reads a path per line and writes a number per line."""

    def __init__(self, command: str, log_file: Path, limits: Limits):
        self._program = Program(["/bin/sh", "-c", command], log_file, limits.start)
        self._limit = limits.image

    def ask(self, files: list[str]) -> list[float | str]:
        """Number that it writes for the one file."""
        (file,) = files
        if "\n" in file or "\r" in file:
            return ["its name has the end of a line in it, so a program that reads lines cannot be asked"]
        answer = self._program.ask(os.fsencode(os.path.abspath(file)), self._limit)
        try:
            return [float(answer)]
        except ValueError:
            # A second line may be on its way: what follows must not be taken for the answer to the next path.
            self._program.kill()
            return [f"it answered {answer[:100]!r}, expected a number"]

    def close(self) -> None:
        """End the program. Raises `DetectorError` where it writes more: no line is then known to be its path's."""
        if left := self._program.finish():
            raise DetectorError(
                f"it wrote more lines than there were paths ({left[:100]!r}), so none is known to be of its path"
            )

    def kill(self) -> None:
        """Kill the program."""
        self._program.kill()


class CallerAsker(Asker):
    """Asks a function (`caller`) or a bundle (`bundle_caller`) in a process of its own."""

    def __init__(self, program: Sequence[str], log_file: Path, limits: Limits, *, together: int, singly: bool):
        """`program`: module with its arguments; `singly`: it writes a line for each image, else one for all."""
        self._program = Program([sys.executable, "-m", *program], log_file, limits.start)
        self._limit, self._singly, self.together = limits.image, singly, together
        self._began = False

    def ask(self, files: list[str]) -> list[float | str]:
        """Number that it gives for each file.

        Raises `DetectorError` where it cannot be loaded.
        """
        if not self._program.running:
            try:
                ready = json.loads(self._program.ask(b"", 0.0))
            except ProgramError as error:
                if self._began:
                    raise
                raise DetectorError(f"it cannot be loaded: {error}") from None
            if "error" in ready:
                self._program.kill()
                raise DetectorError(f"it cannot be loaded: {ready['error']}")
            self._began = True
        question = json.dumps([os.path.abspath(file) for file in files]).encode()
        limit = self._limit * (1 if self._singly else len(files))
        scores: list[float | str] = []
        while len(scores) < len(files):
            answer: dict[str, Any] = json.loads(self._program.ask(question, limit))
            if "error" in answer:
                raise FailedError(answer["error"])
            scores += answer["scores"]
            question = b""
        return scores

    def close(self) -> None:
        """End the process."""
        self._program.kill()

    kill = close


class ScoresAsker(Asker):
    """Looks scores up in a file."""

    together = 1 << 16

    def __init__(self, file: Path, root: Path, paths: Iterable[str]):
        """Raises `DetectorError` where the file is no such table, or has no score of any of the images."""
        known = {os.path.abspath(root / path) for path in paths}
        self._scores: dict[str, str] = {}
        for where, path, text in _rows(file):
            places = [os.path.abspath(base / path) for base in (root, file.parent)]
            place = next((place for place in places if place in known), places[0])
            if place in self._scores:
                raise DetectorError(f"{where}: {path} has two scores; leave one of them out")
            self._scores[place] = text
        if not known & set(self._scores):
            raise DetectorError(
                f"{file}: found a score of none of the {len(known)} images, expected paths relative to {root} or "
                f"{file.parent}"
            )
        self._file = file

    def ask(self, files: list[str]) -> list[float | str]:
        """Score of each file."""
        return [self._score(os.path.abspath(file)) for file in files]

    def _score(self, place: str) -> float | str:
        text = self._scores.get(place)
        if text is None:
            return f"no score in {self._file.name}"
        try:
            return float(text)
        except ValueError:
            return f"{self._file.name} has {text[:100]!r}, expected a number"


def _rows(file: Path) -> Iterator[tuple[str, str, str]]:
    try:
        with open(file, newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines)
            if missing := {"path", "score"} - set(reader.fieldnames or ()):
                raise DetectorError(
                    f"{file}: found the columns {', '.join(reader.fieldnames or ()) or 'none'}, expected path and "
                    f"score; {' and '.join(sorted(missing))} is missing{lists.commas(reader.fieldnames or ())}"
                )
            for row in reader:
                yield f"{file}, line {reader.line_num}", row["path"] or "", (row["score"] or "").strip()
    except (UnicodeDecodeError, csv.Error) as error:
        raise DetectorError(f"{file}: it cannot be read as CSV in UTF-8 ({error})") from None


def asker(
    contender: Contender,
    *,
    log_file: Path,
    limits: Limits,
    root: Path,
    paths: Sequence[str],
    threads: int = 0,
) -> Asker:
    """Way of asking a contender. `threads`: of a bundle, 0 for all cores. Raises as the ways do."""
    if contender.kind == contenders.BUNDLE:
        program = ["detector.referee.bundle_caller", contender.target, str(threads)]
        return CallerAsker(program, log_file, limits, together=AHEAD, singly=True)
    if contender.kind == contenders.PYTHON:
        program = ["detector.referee.caller", contender.target]
        return CallerAsker(program, log_file, limits, together=TOGETHER if contender.batched else 1, singly=False)
    if contender.kind == contenders.COMMAND:
        return CommandAsker(contender.target, log_file, limits)
    return ScoresAsker(Path(contender.target), root, paths)
