"""Job termination: SIGTERM (pre-emption, a time limit), Ctrl-C, or the end of Snakemake.

A stop raises `StoppedError` in the main thread, or, inside `deferred()`, sets a flag that the work looks at
between two steps, so that it can save what it has. Whatever the main thread is busy with, the process is gone
`GRACE` seconds later: then the last state that was saved counts. The threads that see to that end with the
process: Python may crash where one wakes up while it is being taken down.
"""

import atexit
import logging
import os
import select
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)

GRACE = 8.0  # seconds; batch systems and Kubernetes give 10 to 30 before they kill
# Exit codes: 75 is EX_TEMPFAIL of sysexits.h, "try again later"; 130 is what shells show for Ctrl-C.
EXIT_CODES = {signal.SIGTERM: 75, signal.SIGINT: 130}
OVER = b"\0"  # in the pipe of signals: no number of one
PARENT = "DETECTOR_PARENT"  # environment: the process without which this one has no reason to go on

_signal: int | None = None
_depth = 0
_grace: float | None = None  # seconds, where they are not GRACE


class StoppedError(BaseException):
    """Request to end the process. Not an `Exception`: no error handler may swallow it."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.exit_code = EXIT_CODES[signal.Signals(number)]


def install() -> None:
    """Handle SIGTERM and SIGINT as the module says, and watch the parent that the environment names (`PARENT`).

    Call once, in the main thread.
    """
    receiver, sender = os.pipe()
    os.set_blocking(sender, False)
    # Python runs handlers between two bytecodes, that is, after the matrix product at hand. The wakeup file is
    # written at once, so the clock starts with the signal.
    signal.set_wakeup_fd(sender, warn_on_full_buffer=False)
    for number in EXIT_CODES:
        signal.signal(number, _handle)
    over = threading.Event()
    watchers = [threading.Thread(target=_enforce, args=(receiver,), daemon=True)]
    if parent := os.environ.get(PARENT):
        watchers.append(threading.Thread(target=_follow, args=(int(parent), over), daemon=True))
    for watcher in watchers:
        watcher.start()
    # What is registered here is called when all threads that are no daemons have ended, however long they took.
    atexit.register(_dismiss, watchers, sender, over)


@contextmanager
def deferred() -> Iterator[None]:
    """Context in which a stop raises nothing: call `check`. It is raised at the end of the outermost context."""
    global _depth
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1
    if _depth == 0:
        check()


def await_others(seconds: float) -> None:
    """Give this process so many seconds to end, in place of `GRACE`: it waits for others that end in theirs."""
    global _grace
    _grace = seconds


def requested() -> bool:
    """Whether the process was asked to end."""
    return _signal is not None


def check() -> None:
    """Raise `StoppedError` where the process was asked to end."""
    if _signal is not None:
        raise StoppedError(_signal)


def _handle(number: int, frame: object) -> None:
    global _signal
    again, _signal = _signal is not None, number
    if _depth == 0 and not again:
        raise StoppedError(number)


def _dismiss(watchers: list[threading.Thread], sender: int, over: threading.Event) -> None:
    """End them, and wait until they have ended."""
    signal.set_wakeup_fd(-1)
    os.write(sender, OVER)
    over.set()
    for watcher in watchers:
        watcher.join()


def _say(text: str, *values: object) -> None:
    """An error in the log, or nothing: a stop in the middle of a line leaves the log's locks with nobody."""
    words = threading.Thread(target=log.error, args=(text, *values), daemon=True)
    words.start()
    words.join(1.0)


def _enforce(receiver: int) -> None:
    first = os.read(receiver, 1)
    if first == OVER:
        return
    number, grace = signal.Signals(first[0]), GRACE if _grace is None else _grace
    end = time.monotonic() + grace
    while select.select([receiver], [], [], max(0.0, end - time.monotonic()))[0]:
        if os.read(receiver, 1) == OVER:
            return
    _say("stopped by %s after %g s; the last saved state counts", number.name, grace)
    os._exit(EXIT_CODES.get(number, 1))


def _follow(parent: int, over: threading.Event) -> None:
    """After kill -9 of Snakemake its jobs would go on beside those of the next run."""
    while not over.wait(0.5):
        try:
            os.kill(parent, 0)
        except ProcessLookupError:
            _say("the process that started this one (%d) is gone", parent)
            os.kill(os.getpid(), signal.SIGTERM)
            return
        except PermissionError:
            pass  # it is there, and somebody else's
