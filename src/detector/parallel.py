"""Chunks of work spread over processes, with progress that suits a terminal and a log file alike."""

import logging
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from tqdm import tqdm

from detector.errors import DetectorError

log = logging.getLogger(__name__)
LOG_EVERY = 10.0  # seconds between two lines in a log file


class Progress:
    """A tqdm bar on a terminal; elsewhere a plain line about every ten seconds, and one at the end."""

    def __init__(self, what: str, total: int, done: int = 0) -> None:
        self._what, self._total, self._done, self._first = what, total, done, done
        self._begin = self._last = time.monotonic()
        self._bar = None
        if sys.stderr.isatty():
            self._bar = tqdm(desc=what, total=total, initial=done, unit="file", file=sys.stderr)

    def add(self, count: int) -> None:
        """`count` more items are done."""
        self._done += count
        now = time.monotonic()
        if self._bar is not None:
            self._bar.update(count)
            if self._done >= self._total:
                self._bar.close()
        elif now - self._last >= LOG_EVERY or self._done >= self._total:
            self._last = now
            rate = (self._done - self._first) / max(now - self._begin, 1e-9)
            log.info("%s: %d of %d files, %.0f files/s", self._what, self._done, self._total, rate)


def run(function: Callable, jobs: Sequence[tuple], workers: int) -> Iterator[tuple[int, Any]]:
    """Calls `function(*job)` for each job and yields (index of the job, result) as each is done.

    With one worker or one job it all happens in this process, in order. Otherwise worker processes are
    spawned, not forked: this process may have threads (decoders, tqdm), whose locks do not survive a fork.
    Therefore `function` must be importable, and a script must guard its start with `__main__`.

    Raises what `function` raises, and DetectorError where a worker process was killed.
    """
    if workers <= 1 or len(jobs) <= 1:
        for index, job in enumerate(jobs):
            yield index, function(*job)
        return
    pool = ProcessPoolExecutor(
        min(workers, len(jobs)),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_die_with_parent,
    )
    try:
        indices = {pool.submit(function, *job): index for index, job in enumerate(jobs)}
        for future in as_completed(indices):
            yield indices.pop(future), future.result()
    except BrokenProcessPool as error:
        raise DetectorError(
            "a worker process was killed, most often for want of memory; run again with fewer workers "
            "(what was finished is kept where the stage can resume)"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _die_with_parent() -> None:
    """Ends this worker when its parent is gone: after `kill -9` a pool's workers would wait for ever."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
