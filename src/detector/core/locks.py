"""File locks between processes (`flock`): the system releases one when its holder ends, however it ends."""

import contextlib
import fcntl
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from detector.core.errors import DetectorError

log = logging.getLogger(__name__)

RUN = "DETECTOR_RUN"  # environment: the lock of the run that a job is part of


@contextmanager
def held(path: Path | str, wait: float = 0.0) -> Iterator[None]:
    """Context that holds the lock `path`; its file exists only meanwhile, or after a kill.

    Raises `DetectorError` where another process still holds it after `wait` seconds.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline, told = time.monotonic() + wait, False
    while (handle := take(path)) is None:
        if time.monotonic() > deadline:
            raise DetectorError(
                f"{path}: held by another process ({_holder(path)}) that does this work; wait for it or stop it"
            )
        if not told and wait > 1:
            log.info("waiting for another process (%s) to let go of %s", _holder(path), path)
            told = True
        time.sleep(0.05)
    try:
        yield
    finally:
        # Removed while held: a process that opened this file before finds out that it has another name no more.
        path.unlink(missing_ok=True)
        os.close(handle)


def is_held(path: Path | str) -> bool:
    """Whether a living process holds the lock `path`."""
    try:
        handle = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


class Presence:
    """Announcement that a process is at work in a folder, for as long as the object lives.

    `alone`: whether there was no other one at the start. `other`: the note of the last process that started alone.
    """

    def __init__(self, path: Path | str):
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(path, "ab")  # noqa: SIM115  open for as long as this object lives
        self.other = _holder(path)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.alone = True
            _sign(self._file.fileno())
        except BlockingIOError:
            self.alone = False
        # Any number may be present at once; only who is alone may clean up.
        fcntl.flock(self._file, fcntl.LOCK_SH)
        self._path = path

    def leave(self) -> None:
        """Withdraw the announcement. The last process to leave removes the file."""
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._path.unlink(missing_ok=True)
        self._file.close()


def take(path: Path, shared: bool = False) -> int | None:
    """Take the lock `path` without waiting: its open file, or None where another process has it.

    The lock is held until the file is closed or the process ends. `shared`: any number of processes may hold it,
    but none beside one that does not share.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        if os.fstat(handle).st_ino == os.stat(path).st_ino:
            _sign(handle)
            return handle
    except (BlockingIOError, FileNotFoundError):
        pass  # held, or its holder has just removed it
    os.close(handle)
    return None


def _sign(handle: int) -> None:
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"pid {os.getpid()} on {socket.gethostname()}".encode(), 0)


def _holder(path: Path) -> str:
    try:
        return path.read_text(errors="replace") or "unknown"
    except OSError:
        return "unknown"
