"""`detector predict`: the images that are meant, the rows that come out, and what the exit code says."""

import contextlib
import csv
import glob
import io
import json
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

from PIL import Image
from tqdm import tqdm

from detector import interrupts, prediction
from detector.errors import DetectorError
from detector.files import replacing
from detector.prediction import Answer, Model
from detector.sources import IMAGE_SUFFIXES, is_clutter

log = logging.getLogger(__name__)

STDIN = "-"
ALL_FINE, SOME_BAD = 0, 1
COLUMNS = ("path", "verdict", "probability_fake", "logit", "model", "why", "error", "explanation")
SUFFIXES = IMAGE_SUFFIXES | prediction.VIDEO_SUFFIXES


def predict(
    paths: Sequence[str],
    *,
    model: Path | None,
    form: str,
    explain: Path | None = None,
    batch: int = prediction.BATCH,
    threads: int = 0,
    fast: bool = False,
    source: str | None = None,
    results: Path = Path("results"),
) -> int:
    """Print a row for each image to stdout, in order and as soon as it is known; all else goes to stderr.

    Returns 0, or 1 where an image could not be read. Raises `DetectorError` for a model that cannot be used and
    where there is no image at all, and `interrupts.Stopped` after the rows that were finished are complete.
    """
    if model is None:
        model = prediction.newest(results)
        log.info("the newest bundle below %s: %s", results, model)
    asked = Model.open(model, threads=threads, source=source)
    log.info("model: %s", asked.name)
    for caveat in asked.caveats:
        log.warning("%s", caveat)
    if explain is not None:
        _check_explainable(asked)
    # Lines of stdin are taken as they come, some ahead; else all is listed first, so that the bar knows its end.
    items: Iterable[str] = found(paths) if STDIN in paths else list(found(paths))
    total = len(items) if isinstance(items, list) else None
    if total == 0:
        raise DetectorError(
            f"{', '.join(paths)}: found no image, expected files that end in {', '.join(sorted(SUFFIXES))}"
        )
    # Names of files are bytes that may be no text; a pipe gets them as they are.
    sys.stdout.reconfigure(errors="surrogateescape")
    writer, counts, begin = WRITERS[form](asked.name), Counter(), time.monotonic()
    bar = tqdm(total=total, unit="image", leave=False, disable=not sys.stderr.isatty())
    try:
        # Closed here, or its threads would go on decoding after a stop.
        with bar, contextlib.closing(asked.judge_many(items, batch=batch, fast=fast)) as answers:
            _print(bar, writer.begin())
            for number, answer in enumerate(answers):
                shown = ""
                if explain is not None and not answer.error:
                    shown = _save(explain / f"{number:06d}-{_stem(answer.name)}.png", asked, answer.name)
                with interrupts.deferred():  # a row is printed whole and counted, or neither
                    _print(bar, writer.row(answer, shown))
                    counts[answer.verdict or "bad"] += 1
                    bar.update()
        _print(bar, writer.end())
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except BaseException:  # Ctrl-C too: what was finished is complete in its form
        _print(bar, writer.end())
        raise
    finally:
        _summarise(counts, time.monotonic() - begin)
    return SOME_BAD if counts["bad"] else ALL_FINE


def _stem(name: str) -> str:
    """The name without folder and ending, no longer than a file's name may be with what is put around it."""
    stem = Path(name).stem
    while len(os.fsencode(stem)) > 200:  # bytes, but cut between letters: half of one is no text
        stem = stem[:-1]
    return stem


def found(paths: Iterable[str], stdin: TextIO | None = None) -> Iterator[str]:
    """The files that are meant: each path itself, the images and videos below a folder (clutter left out, in the
    order of their names), what a pattern matches, and for "-" the same for each line of stdin.

    A path that leads nowhere comes out as it is, so that it gets a row.
    """
    for path in paths:
        if path == STDIN:
            with stdin or open(0, errors="surrogateescape", closefd=False) as lines:
                yield from found(line for line in map(str.rstrip, lines) if line and line != STDIN)
        elif os.path.isdir(path):
            yield from _below(path)
        elif not os.path.lexists(path) and glob.has_magic(path):
            for match in sorted(glob.glob(path, recursive=True)) or [path]:
                if not (os.path.isdir(match) and "**" in path):  # whose files are matches of their own
                    yield from _below(match) if os.path.isdir(match) else [match]
        else:
            yield path


def _below(folder: str) -> Iterator[str]:
    waiting = [folder]  # not os.walk: before Python 3.12 that calls itself, and folders may be nested deeper
    while waiting:
        top = waiting.pop()
        folders = []
        with contextlib.suppress(OSError), os.scandir(top) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if is_clutter(entry.name):
                    continue
                if entry.is_dir():
                    folders += [] if entry.is_symlink() else [entry.path]
                elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:
                    yield entry.path
        waiting += reversed(folders)


class _Table:
    def __init__(self, model: str):
        self._model = model

    def begin(self) -> str:
        return f"model: {self._model}\n{'verdict':8} {'P(fake)':>7}  image\n"

    def row(self, answer: Answer, shown: str) -> str:
        chance = "–" if answer.probability_fake is None else f"{answer.probability_fake:.3f}"
        note = answer.error or answer.why
        note = "".join([f"  ({note})" if note else "", f"  → {shown}" if shown else ""])
        return _printable(f"{answer.verdict or 'error':8} {chance:>7}  {answer.name}{note}") + "\n"

    def end(self) -> str:
        return ""


class _Csv(_Table):
    def begin(self) -> str:
        return ",".join(COLUMNS) + "\n"

    def row(self, answer: Answer, shown: str) -> str:
        values = _values(answer, self._model, shown)
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(
            ["" if value is None else value for value in values.values()]
        )
        return text.getvalue()


class _Json(_Table):
    """One array, complete whenever it ends."""

    _first = True

    def begin(self) -> str:
        return "["

    def row(self, answer: Answer, shown: str) -> str:
        comma, self._first = "" if self._first else ",", False
        return f"{comma}\n{json.dumps(_values(answer, self._model, shown))}"

    def end(self) -> str:
        return "\n]\n"


WRITERS = {"table": _Table, "json": _Json, "csv": _Csv}


def _values(answer: Answer, model: str, shown: str) -> dict[str, str | float | None]:
    chance, logit = (None if x is None else float(f"{x:.6g}") for x in (answer.probability_fake, answer.logit))
    values = (answer.name, answer.verdict, chance, logit, model, answer.why, answer.error, shown)
    return dict(zip(COLUMNS, values, strict=True))


def _printable(text: str) -> str:
    """A name must not be able to move the cursor."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def _print(bar: tqdm, text: str) -> None:
    if text:
        if bar.disable:
            sys.stdout.write(text)
            sys.stdout.flush()
        else:
            tqdm.write(text, end="")  # above the bar


def _check_explainable(model: Model) -> None:
    from detector import explanation  # imported here: it needs onnx, which takes a while

    explanation.check(model)


def _save(path: Path, model: Model, image: str) -> str:
    with replacing(path) as temporary:
        Image.fromarray(model.explain(image)).save(temporary, "PNG")
    return str(path)


def _summarise(counts: Counter, seconds: float) -> None:
    total = counts.total()
    parts = [f"{counts[name]:,} {name}" for name in ("real", "fake", "unsure", "bad") if counts[name]]
    log.info("%s images (%s), %.0f images/s", f"{total:,}", ", ".join(parts) or "none", total / max(seconds, 1e-9))
