"""Process pool: runs a function on many chunks of work, and names the work of a worker that was killed."""

import contextlib
import itertools
import logging
import multiprocessing
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from detector.core import signals
from detector.core.errors import DetectorError, listing

log = logging.getLogger(__name__)
AHEAD = 3  # jobs a worker that are handed out: enough that none waits, few enough to hold in memory
NOTE_BYTES = 1024
_note: int | None = None  # of a worker: the file where it notes what it is at


def run(function: Callable, jobs: Iterable[tuple], workers: int) -> Iterator[tuple[int, Any]]:
    """Call `function(*job)` for each job; yield (index of the job, result) as each is done.

    With one worker or one job all happens in this process, in order. Otherwise worker processes are spawned, not
    forked: this process may have threads (decoders, tqdm), whose locks do not survive a fork. So `function` must
    be importable, and a script must guard its start with `__main__`.

    Jobs are taken from the iterable a few at a time, so a million of them need no more memory than a dozen.

    Raises whatever `function` raises, and `DetectorError` where a worker process was killed; the message says what
    the workers were working on (`at`). After a stop (`signals`) the workers are killed at once.
    """
    numbered = enumerate(jobs)
    first = list(itertools.islice(numbered, 2))
    waiting = itertools.chain(first, numbered)
    if workers <= 1 or len(first) <= 1:
        for index, job in waiting:
            yield index, function(*job)
        return
    with tempfile.TemporaryDirectory(prefix="detector-at-") as notes:
        pool = ProcessPoolExecutor(
            workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start_worker,
            initargs=(notes,),
        )
        others = set(multiprocessing.active_children())
        running: dict[Future, int] = {}
        try:
            while True:
                for index, job in itertools.islice(waiting, AHEAD * workers - len(running)):
                    running[pool.submit(function, *job)] = index
                if not running:
                    break
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    yield running.pop(future), future.result()
        except BrokenProcessPool as error:
            raise DetectorError(_killed(Path(notes))) from error
        finally:
            if signals.requested():  # what they are at is lost in any case, and may take longer than a stop may
                for worker in set(multiprocessing.active_children()) - others:
                    worker.kill()
            pool.shutdown(wait=True, cancel_futures=True)


def at(what: str) -> None:
    """Note what this worker begins to work on, for the error message should it be killed. Costs microseconds."""
    if _note is not None:
        text = what.encode(errors="replace")[:NOTE_BYTES]
        with contextlib.suppress(OSError):  # a full temporary disk costs the note, not the work
            os.pwrite(_note, text.ljust(NOTE_BYTES, b"\0"), 0)


def _killed(notes: Path) -> str:
    found = sorted(path.read_bytes().rstrip(b"\0").decode(errors="replace") for path in notes.iterdir())
    found = [text for text in found if text]
    message = (
        "a worker process was killed, most often because memory ran out; run again with fewer of them "
        "(runtime.workers) or more memory (mem_mb of the rule on a cluster). What was finished is kept where the "
        "stage can resume"
    )
    if found:
        message += (
            f".\nThe workers were at the file(s) below. If it comes again at the same one, that file crashes its "
            f"decoder: take it out.\n{listing(found)}"
        )
    return message


def _start_worker(notes: str) -> None:
    global _note
    with contextlib.suppress(OSError):
        _note = os.open(os.path.join(notes, str(os.getpid())), os.O_CREAT | os.O_WRONLY, 0o600)
    # Ctrl-C reaches all processes of a terminal; the parent decides what comes of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_parent()


def _die_with_parent() -> None:
    """Ends this worker when its parent is gone: after `kill -9` a pool's workers would wait for ever."""
    parent = multiprocessing.parent_process()
    if parent is None:  # called outside a worker
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
