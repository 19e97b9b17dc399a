"""`detector predict`: collects images, prints one row per verdict, sets the exit code."""

import contextlib
import csv
import functools
import glob
import io
import json
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import TextIO

import numpy as np
from PIL import Image
from tqdm import tqdm

from detector.core import job, progress, signals
from detector.core.errors import DetectorError
from detector.core.files import naming, replacing
from detector.data.walk import check_output, is_clutter
from detector.imaging.suffixes import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from detector.predict import bundles
from detector.predict.model import BATCH, Model
from detector.predict.verdicts import Answer, Verdict

log = logging.getLogger(__name__)

STDIN = "-"
ALL_FINE, SOME_BAD = 0, 1
COLUMNS = ("path", "verdict", "probability_fake", "logit", "model", "why", "error", "explanation", "frames")
SUFFIXES = IMAGE_SUFFIXES | VIDEO_SUFFIXES
LINKED, CLOSED = "a linked folder, judged where it is named", "a folder that may not be read"
SHOWN = 5  # endings of files that were left out


def predict(
    paths: Sequence[str],
    *,
    model: Path | None,
    form: str,
    explain: Path | None = None,
    batch: int = BATCH,
    threads: int = 0,
    fast: bool = False,
    source: str | None = None,
    frames: int | None = None,
    results: Path = Path("results"),
) -> int:
    """Print a row for each image to stdout, in order and as soon as it is known; all else goes to stderr.

    Returns 0, or 1 where an image could not be read. Raises `DetectorError` for a model that cannot be used and
    where there is no image at all, and `signals.StoppedError` once the finished rows are complete.
    """
    job.output()  # raises where it is closed
    if STDIN in paths and sys.stdin is None:
        raise DetectorError(f"{STDIN}: standard input is closed, expected one path per line; pipe them in")
    if explain is not None:  # maps among the images would be judged the next time
        check_output("--explain", explain, (("PATH", Path(path)) for path in paths if os.path.isdir(path)))
    if model is None:
        model = bundles.newest(results)
        log.info("the newest bundle below %s: %s", results, model)
    asked = Model.open(model, threads=threads, source=source, frames=frames)
    log.info("model: %s", asked.name)
    if asked.looks > 1:
        log.info("it sees %d windows of each image; the logit is the mean of theirs", asked.looks)
    if asked.frames > 1:
        log.info("a video is judged by %d frames, spread evenly over it: the mean of their logits", asked.frames)
    for caveat in asked.caveats:
        log.warning("%s", caveat)
    if explain is not None:
        _check_explainable(asked)
    # Lines of stdin are taken as they come, some ahead; else all is listed first, so that the bar knows its end.
    left: Counter[str] = Counter()
    listed = images_of(paths, left=left) if STDIN in paths else list(images_of(paths, left=left))
    items = iter(listed)
    first = next(items, None)
    if first is None:
        raise DetectorError(
            f"{', '.join(paths)}: found no image, expected files that end in {', '.join(sorted(SUFFIXES))}"
            f"{_left_out(left)}"
        )
    items = chain([first], items)
    writer, begin = WRITERS[form](asked.name), time.monotonic()
    counts: Counter[str] = Counter()
    answers_of = functools.partial(asked.judge_many, batch=batch, fast=fast, explain=explain is not None)
    bar = progress.bar(len(listed) if isinstance(listed, list) else None)
    try:
        # Closed here, or its threads would go on decoding after a stop.
        with bar, contextlib.closing(answers_of(items)) as answers:
            _print(bar, writer.begin())
            for number, answer in enumerate(answers):
                shown = ""
                if explain is not None and answer.map is not None:
                    shown = _save(explain / f"{number:06d}-{_stem(answer.name)}.png", answer.map)
                with signals.deferred():  # a row is printed whole and counted, or neither
                    _print(bar, writer.row(answer, shown))
                    counts[answer.verdict or "bad"] += 1
                    bar.update()
        _print(bar, writer.end())
    except BrokenPipeError:  # `| head` has seen enough
        job.drop_output()
    except BaseException:  # Ctrl-C too: what was finished is complete in its form
        _print(bar, writer.end())
        raise
    finally:
        _summarise(counts, left, time.monotonic() - begin)
    return SOME_BAD if counts["bad"] else ALL_FINE


def _stem(name: str) -> str:
    """The name without folder and ending, no longer than a file's name may be with what is put around it."""
    stem = Path(name).stem
    while len(os.fsencode(stem)) > 200:  # bytes, but cut between letters: half of one is no text
        stem = stem[:-1]
    return stem


def images_of(
    paths: Iterable[str], stdin: TextIO | None = None, *, left: Counter[str] | None = None
) -> Iterator[str]:
    """Files that the arguments mean.

    They are a path itself, the images and videos below a folder (without clutter, sorted by name), the matches of
    a pattern, and for "-" the same for each line of stdin. A path that leads nowhere is yielded as it is, so that
    it gets a row. What is skipped below folders, except clutter, is counted in `left`: by file suffix, and
    `LINKED` and `CLOSED` for folders. Raises `DetectorError` where stdin cannot be read.
    """
    left = Counter() if left is None else left
    for path in paths:
        if path == STDIN:
            lines = map(str.rstrip, _lines(stdin))
            yield from images_of((line for line in lines if line and line != STDIN), left=left)
        elif os.path.isdir(path):
            yield from _below(path, left)
        elif not os.path.lexists(path) and glob.has_magic(path):
            for match in sorted(glob.glob(path, recursive=True)) or [path]:
                if not (os.path.isdir(match) and "**" in path):  # whose files are matches of their own
                    yield from _below(match, left) if os.path.isdir(match) else [match]
        else:
            yield path


def _lines(stdin: TextIO | None) -> Iterator[str]:
    try:
        with stdin or open(0, errors="surrogateescape", closefd=False) as lines:
            yield from lines
    except OSError as error:  # opened for writing, say
        raise DetectorError(f"{STDIN}: standard input cannot be read ({error.strerror})") from None


def _below(top: str, left: Counter[str]) -> Iterator[str]:
    """Not by `os.walk`, which stops Python where folders lie a thousand deep, and passes over closed ones."""
    waiting = [top]
    while waiting:
        folder, folders = waiting.pop(), []
        try:
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=attrgetter("name"))
        except OSError:
            left[CLOSED] += 1
            continue
        for item in entries:
            if is_clutter(item.name):
                continue
            if item.is_dir(follow_symlinks=False):
                folders.append(item.path)
            elif item.is_symlink() and os.path.isdir(item.path):
                left[LINKED] += 1
            elif (ending := os.path.splitext(item.name)[1].lower()) in SUFFIXES:
                yield item.path
            else:
                left[ending] += 1
        waiting += reversed(folders)


def _left_out(left: Counter[str]) -> str:
    """One line on what was skipped below folders and why; "" for nothing."""
    files = Counter(
        {ending or "without an ending": n for ending, n in left.items() if ending not in (LINKED, CLOSED)}
    )
    parts = []
    if files:
        shown = [f"{count:,} {ending}" for ending, count in files.most_common(SHOWN)]
        shown += ["others"] * (len(files) > SHOWN)
        parts.append(f"files that are no image or video by name ({_printable(', '.join(shown))})")
    parts += [f"{left[name]:,} × {name}" for name in (LINKED, CLOSED) if left[name]]
    return f"; left out: {', '.join(parts)}" if parts else ""


class _Table:
    def __init__(self, model: str):
        self._model = model

    def begin(self) -> str:
        return f"model: {self._model}\n{'verdict':8} {'P(fake)':>7}  image\n"

    def row(self, answer: Answer, shown: str) -> str:
        chance = "–" if answer.probability_fake is None else f"{answer.probability_fake:.3f}"
        of = f"{answer.frames} frames" if answer.frames else ""
        note = answer.error or ": ".join(filter(None, (of, answer.why)))
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
    values = (answer.name, answer.verdict, chance, logit, model, answer.why, answer.error, shown, answer.frames)
    return dict(zip(COLUMNS, values, strict=True))


def _printable(text: str) -> str:
    """A name must not be able to move the cursor."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def _print(bar: tqdm, text: str) -> None:
    with naming(job.STANDARD_OUTPUT):
        if text and bar.disable:
            sys.stdout.write(text)
            sys.stdout.flush()
        elif text:
            tqdm.write(text, end="")  # above the bar


def _check_explainable(model: Model) -> None:
    from detector.predict import explanation  # imported here: it needs onnx, which takes a while

    explanation.check(model)


def _save(path: Path, map_: np.ndarray) -> str:
    with replacing(path) as temporary:
        Image.fromarray(map_).save(temporary, "PNG")
    return str(path)


def _summarise(counts: Counter, left: Counter, seconds: float) -> None:
    total = counts.total()
    parts = [f"{counts[name]:,} {name}" for name in (*Verdict, "bad") if counts[name]]
    judged = f"{total:,} images ({', '.join(parts) or 'none'})"
    log.info("%s, %.0f images/s%s", judged, total / max(seconds, 1e-9), _left_out(left))
