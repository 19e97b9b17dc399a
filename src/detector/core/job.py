"""Entry point of scripts: log file, readable errors, exit codes, one process per job, clean stops."""

import argparse
import codecs
import errno
import io
import logging
import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import NoReturn, TextIO

from tqdm.contrib.logging import logging_redirect_tqdm

from detector.core import extras, locks, signals
from detector.core.errors import DetectorError, wants_memory
from detector.core.files import naming

BAD_INPUT = 2
OURS = ("detector", "__main__")  # loggers of the library and of scripts, beside the one without a name
LOG_ONLY = "DETECTOR_LOG_ONLY"  # environment: what has a log file of its own says nothing on the terminal
# environment: a JSON file with `stages`, the seconds that a job of each rule is expected to take, and `others`,
# what one of any other rule adds to the run
EXPECTED = "DETECTOR_EXPECTED"
WAIT = 60.0  # seconds for a job that its dead Snakemake left behind to save its state and go
REMEDIES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space within your quota",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EROFS: "choose a place that can be written to (`results` in the config)",
    errno.EACCES: "fix its permissions, or choose another place (`results` in the config)",
    errno.EPERM: "fix its permissions, or choose another place (`results` in the config)",
    errno.EISDIR: "name a file",
    errno.EEXIST: "name a folder, or another place",
    errno.ENOTDIR: "name a place below a folder",
    errno.ENAMETOOLONG: "choose a shorter name",
}
MEMORY = (
    "out of memory (%s): let it hold less at once (batch_size, runtime.evaluation_batch, runtime.workers or "
    "images.size in the config; --batch or --threads of a command) or give it more (mem_mb of the rule on a "
    "cluster; a larger machine or GPU), and run again"
)
STANDARD_OUTPUT = "standard output"  # for messages about it
ESCAPED = "detector.escaped"


def run(main: Callable[[argparse.Namespace], None], parser: argparse.ArgumentParser) -> None:
    """Parse the command line, run `main`, exit.

    Adds `--log FILE`: the lines of the terminal without progress bars, with tracebacks. A script with `--state
    FOLDER` runs once at a time for that folder (and for each `--worker`, if it has that).

    A character that the terminal or pipe cannot show is escaped, and a closed pipe (`| head`) ends the output, not
    the command.

    Exit codes: 0; 2 for a `DetectorError` (its message alone, no traceback), a missing package of an extra, a disk
    that is full or not writable, and lack of memory; 75 after SIGTERM and 130 after Ctrl-C (`signals`); 1 for a
    bug.
    """
    _fill_streams()
    signals.install()
    try:
        _run(main, parser)
    finally:
        _flush()


def _run(main: Callable[[argparse.Namespace], None], parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--log", type=Path, help="also write plain log lines to this file")
    args = parser.parse_args()
    _presence = _join_run()  # until the process ends
    log = logging.getLogger(Path(parser.prog).stem)
    logging.raiseExceptions = False  # a log that cannot be written is no reason to fail, nor to print tracebacks
    try:
        logging.basicConfig(
            level=logging.INFO if int(os.environ.get("RANK", 0)) == 0 else logging.WARNING,
            format="%(asctime)s %(levelname)s %(message)s",
            datefmt="%H:%M:%S",
            handlers=_handlers(args.log),
        )
        with nullcontext() if _silent(args.log) else logging_redirect_tqdm(), _one_process(args):
            main(args)
    except DetectorError as error:
        log.error("%s", error)
        sys.exit(BAD_INPUT)
    except signals.StoppedError as stop:
        log.error("stopped by %s; what was finished is kept, the same command goes on from there", stop)
        sys.exit(stop.exit_code)
    except ModuleNotFoundError as error:
        if error.name and extras.of(error.name):
            log.error("%s", extras.missing(error.name))
            sys.exit(BAD_INPUT)
        log.exception("this is a bug, or an installation that is not whole")
        sys.exit(1)
    except OSError as error:
        if error.errno in REMEDIES:
            log.error("%s: %s; %s and run again", error.filename, error.strerror, REMEDIES[error.errno])
            sys.exit(BAD_INPUT)
        _fail(log, error)
    except Exception as error:
        _fail(log, error)


def _fail(log: logging.Logger, error: Exception) -> NoReturn:
    """End after an error that is none of the input's."""
    if wants_memory(error):
        log.error(MEMORY, (str(error).strip() or type(error).__name__).splitlines()[0][:200])
        sys.exit(BAD_INPUT)
    log.exception("this is a bug, or a fault of the machine")
    sys.exit(1)


def output() -> TextIO:
    """Standard output, made to accept any text. Raises `DetectorError` where it is closed."""
    if sys.stdout is None:
        raise DetectorError(
            f"{STANDARD_OUTPUT} is closed, expected somewhere to print answers; leave it open, or use > /dev/null"
        )
    if isinstance(sys.stdout, io.TextIOWrapper):  # else the caller has put a file of text there
        sys.stdout.reconfigure(errors=ESCAPED)
    return sys.stdout


def say(text: str) -> None:
    """Print a command's answer. Raises `DetectorError` where standard output is closed, `OSError` where full."""
    with naming(STANDARD_OUTPUT):
        try:
            print(text, file=output(), flush=True)
        except BrokenPipeError:  # `| head` has seen enough
            drop_output()


def drop_output() -> None:
    """Discard what is still written to standard output."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _escape(error: UnicodeError) -> tuple[bytes, int]:
    """Bytes of names that are no text as they are, other letters that the encoding lacks as \\u2192."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    return b"".join(_bytes(letter) for letter in letters), error.end


def _bytes(letter: str) -> bytes:
    raw = "surrogateescape" if "\udc80" <= letter <= "\udcff" else "backslashreplace"
    return letter.encode("ascii", raw)


codecs.register_error(ESCAPED, _escape)


def _fill_streams() -> None:
    """Open what was closed of standard input, output and error: else the next files that are opened get these
    numbers, and are read and written by whoever means the streams. `sys.stdin` and `sys.stdout` stay None."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 - for the rest of the process
    if sys.stdout is not None:
        output()


def _flush() -> None:
    """Write what is left in the buffer while errors can still be handled: at the end of Python they cannot."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        drop_output()
        if not isinstance(error, BrokenPipeError):
            logging.getLogger(STANDARD_OUTPUT).error("%s: %s", STANDARD_OUTPUT, error.strerror)
            sys.exit(BAD_INPUT)


def _join_run() -> locks.Presence | None:
    """Hold back whoever tidies up after a run, for as long as a job of it may still write."""
    path = os.environ.get(locks.RUN)
    return locks.Presence(path) if path and os.path.exists(path) else None


def _one_process(args: argparse.Namespace):
    state = getattr(args, "state", None)
    if state is None or "RANK" in os.environ:  # the processes of one training are one job
        return nullcontext()
    return locks.held(lock_of(state, getattr(args, "worker", None)), WAIT)


def lock_of(state: Path | str, worker: int | None = None) -> Path:
    """Path of the lock that the job with this state folder, or one of its workers, holds."""
    return Path(f"{state}.lock" if worker is None else f"{state}.{worker}.lock")


def _silent(log_file: Path | None) -> bool:
    return log_file is not None and bool(os.environ.get(LOG_ONLY))


def _handlers(log_file: Path | None) -> list[logging.Handler]:
    """To the terminal and the log file. Of a team's processes (`distributed`) the first one adds to the file that
    its launcher began, and the others leave it alone."""
    handlers: list[logging.Handler] = [] if _silent(log_file) else [logging.StreamHandler(sys.stderr)]
    rank = os.environ.get("RANK")
    if log_file is not None and rank in (None, "0"):
        log_file.parent.mkdir(parents=True, exist_ok=True)
        if rank is None:
            log_file.write_text("")
        # Appends, as the launcher goes on writing too. Names of files may be no text.
        handlers.append(logging.FileHandler(log_file, encoding="utf-8", errors="backslashreplace"))
    for handler in handlers:
        handler.addFilter(_for_a_reader)
    return handlers


def _for_a_reader(record: logging.LogRecord) -> bool:
    """Whether a line is a warning, or ours: how other libraries get on would fill the log."""
    return record.levelno >= logging.WARNING or record.name.partition(".")[0] in (logging.root.name, *OURS)


def pair(text: str) -> tuple[str, str]:
    """Parse an argument NAME=VALUE, for argparse's `type=`.

    Raises `argparse.ArgumentTypeError` for any other form.
    """
    name, separator, value = text.partition("=")
    if not separator or not name or not value:
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, found {text!r}")
    return name, value
