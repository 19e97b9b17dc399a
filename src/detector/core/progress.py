"""Progress display: bars on a terminal, plain lines in a log file."""

import logging
import sys
import time

from tqdm import tqdm

# tqdm's monitor is a thread that wakes bars which count many steps at once, and it starts for hidden ones too.
# Ours look at each step instead: a thread that is left when Python ends can take the process down with it.
tqdm.monitor_interval = 0
LOG_EVERY = 10.0  # seconds between two lines in a log file


def bar(
    total: int | None,
    title: str = "",
    *,
    unit: str = "image",
    initial: int = 0,
    shown: bool = True,
    leave: bool = False,
) -> tqdm:
    """Progress bar on stderr; a silent one (`.disable`) where stderr is no terminal or `shown` is false."""
    return tqdm(
        total=total,
        desc=title,
        unit=unit,
        initial=initial,
        leave=leave,
        miniters=1,
        disable=not (shown and sys.stderr.isatty()),
    )


log = logging.getLogger(__name__)


class Progress:
    """Progress display: a bar on a terminal; elsewhere a plain line about every ten seconds, and a last one."""

    def __init__(self, what: str, total: int, done: int = 0) -> None:
        self._what, self._total, self._done, self._first = what, total, done, done
        self._begin = self._last = time.monotonic()
        self._bar = bar(total, what, unit="file", initial=done, leave=True)

    def add(self, count: int) -> None:
        """Count `count` more items as done."""
        self._done += count
        now = time.monotonic()
        if not self._bar.disable:
            self._bar.update(count)
            if self._done >= self._total:
                self._bar.close()
        elif now - self._last >= LOG_EVERY or self._done >= self._total:
            self._last = now
            rate = (self._done - self._first) / max(now - self._begin, 1e-9)
            log.info("%s: %d of %d files, %.0f files/s", self._what, self._done, self._total, rate)
