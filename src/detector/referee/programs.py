"""Programs: a process that answers each line with a line, within a time limit, and is killed where it does not."""

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

LONGEST = 1 << 20  # bytes of an answer
SHOWN = 200  # characters of what it wrote last


class ProgramError(Exception):
    """Program that ended, did not answer in time, or answered what is no line. It is gone: the next
    question starts it anew."""


class Program:
    """Program in a process, and a process group, of its own; what it writes to stderr is added to `log`."""

    def __init__(self, arguments: Sequence[str], log: Path, start_limit: float):
        self._arguments, self._log, self._start_limit = list(arguments), log, start_limit
        self._process: subprocess.Popen[bytes] | None = None
        self._buffer = b""
        self._from = 0  # where in the log this process began

    @property
    def running(self) -> bool:
        """Whether there is a process."""
        return self._process is not None

    def start(self) -> None:
        """Start the process. Raises `ProgramError` where it cannot be started."""
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with open(self._log, "ab") as log:
            self._from = log.tell()
            try:
                self._process = subprocess.Popen(
                    self._arguments,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    bufsize=0,
                    start_new_session=True,
                    env={**os.environ, "PYTHONUNBUFFERED": "1"},
                )
            except OSError as error:
                raise ProgramError(f"it cannot be started: {error}") from None
        self._buffer = b""
        os.set_blocking(self._stdin, False)

    @property
    def _stdin(self) -> int:
        assert self._process is not None
        assert self._process.stdin is not None
        return self._process.stdin.fileno()

    @property
    def _stdout(self) -> int:
        assert self._process is not None
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def ask(self, question: bytes, limit: float) -> str:
        """Answer to one line, in at most `limit` seconds, and the start's limit more where it has just started.

        `question`: without the end of the line; b"" only waits for a line. Raises `ProgramError`.
        """
        try:
            fresh = not self.running
            if fresh:
                self.start()
            limit += self._start_limit if fresh else 0
            end = time.monotonic() + limit
            if question:
                self._nothing_unasked()
                self._send(question + b"\n", end, limit)
            return self._receive(end, limit)
        except BaseException:  # a stop too: whatever it would still answer belongs to no question
            self.kill()
            raise

    def _nothing_unasked(self) -> None:
        with selectors.DefaultSelector() as ready:
            ready.register(self._stdout, selectors.EVENT_READ)
            if ready.select(0):
                self._buffer += os.read(self._stdout, 1 << 16)
        if self._buffer:
            shown = self._buffer[:SHOWN].decode(errors="replace").strip()
            raise ProgramError(f"it wrote {shown!r} without being asked: expected one line for each path, no more")

    def _send(self, data: bytes, end: float, limit: float) -> None:
        with selectors.DefaultSelector() as ready:
            ready.register(self._stdin, selectors.EVENT_WRITE)
            while data:
                if not ready.select(max(0.0, end - time.monotonic())):
                    raise ProgramError(f"it did not read a path within {limit:g} s")
                try:
                    data = data[os.write(self._stdin, data) :]
                except OSError:
                    raise ProgramError(self._ended()) from None

    def _receive(self, end: float, limit: float) -> str:
        with selectors.DefaultSelector() as ready:
            ready.register(self._stdout, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                if len(self._buffer) > LONGEST:
                    raise ProgramError(f"it answered more than {LONGEST} bytes without the end of a line")
                if not ready.select(max(0.0, end - time.monotonic())):
                    raise ProgramError(
                        f"no answer within {limit:g} s (a program must flush each line){self._last()}"
                    )
                if not (data := os.read(self._stdout, 1 << 16)):
                    raise ProgramError(self._ended())
                self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode(errors="replace").strip()

    def _ended(self) -> str:
        assert self._process is not None
        try:
            code = self._process.wait(1)
        except subprocess.TimeoutExpired:
            return f"it closed its output{self._last()}"
        number = -code if code < 0 else code - 128  # as shells tell of a signal
        with contextlib.suppress(ValueError):
            return f"it ended by {signal.Signals(number).name}{self._last()}"
        return f"it ended with exit code {code}{self._last()}"

    def _last(self) -> str:
        """The last line that it wrote to stderr, in brackets."""
        with open(self._log, "rb") as log:
            log.seek(max(self._from, log.seek(0, os.SEEK_END) - 4096))
            lines = log.read().decode(errors="replace").split("\n")
        said = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f" ({said[-SHOWN:]})" if said else ""

    def finish(self) -> str:
        """End the process by closing its input; returns what it still writes, which should be nothing."""
        if self._process is None:
            return ""
        process, left = self._process, self._buffer
        with contextlib.suppress(OSError):
            os.close(os.dup(self._stdin))  # raises where it is closed already
            process.stdin.close()  # type: ignore[union-attr]
        end = time.monotonic() + 5
        with selectors.DefaultSelector() as ready:
            ready.register(self._stdout, selectors.EVENT_READ)
            while len(left) <= LONGEST and ready.select(max(0.0, end - time.monotonic())):
                if not (data := os.read(self._stdout, 1 << 16)):
                    break
                left += data
        self.kill()
        return left.decode(errors="replace").strip()

    def kill(self) -> None:
        """Kill the process with all that it started."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        self._process.wait()
        self._process = None
