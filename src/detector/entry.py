"""What every script does around its work: a log, errors that people can read, one process a job, clean stops."""

import argparse
import errno
import logging
import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import NoReturn

from tqdm.contrib.logging import logging_redirect_tqdm

from detector import extras, interrupts, locks
from detector.errors import DetectorError, wants_memory

BAD_INPUT = 2
WAIT = 60.0  # seconds for a job that its dead Snakemake left behind to save its state and go
REMEDIES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space within your quota",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EROFS: "choose a place that can be written to (`results` in the config)",
    errno.EACCES: "fix its permissions, or choose another place (`results` in the config)",
    errno.EPERM: "fix its permissions, or choose another place (`results` in the config)",
}
MEMORY = (
    "out of memory (%s): let it hold less at once (batch_size, runtime.evaluation_batch, runtime.workers or "
    "images.size in the config; --batch or --threads of a command) or give it more (mem_mb of the rule on a "
    "cluster; a larger machine or GPU), and run again"
)


def run(main: Callable[[argparse.Namespace], None], parser: argparse.ArgumentParser) -> None:
    """Parse the command line, run `main`, exit.

    Adds `--log FILE`: the same plain lines as on the terminal, without progress bars, tracebacks included.
    A script with `--state FOLDER` runs once at a time for that folder (and `--worker`, if it has that).

    Exit codes: 0; 2 for a `DetectorError`, printed as it is, without a traceback, for a package of an extra that
    is not installed, for a full disk or one that cannot be written to, and for want of memory; 75 and 130 for a
    stop by SIGTERM and Ctrl-C (`interrupts`); 1 for a bug.
    """
    interrupts.install()
    parser.add_argument("--log", type=Path, help="also write plain log lines to this file")
    args = parser.parse_args()
    log = logging.getLogger(Path(parser.prog).stem)
    logging.raiseExceptions = False  # a log that cannot be written is no reason to fail, nor to print tracebacks
    try:
        logging.basicConfig(
            level=logging.INFO if int(os.environ.get("RANK", 0)) == 0 else logging.WARNING,
            format="%(asctime)s %(levelname)s %(message)s",
            datefmt="%H:%M:%S",
            handlers=_handlers(args.log),
        )
        with logging_redirect_tqdm(), _one_process(args):
            main(args)
    except DetectorError as error:
        log.error("%s", error)
        sys.exit(BAD_INPUT)
    except interrupts.Stopped as stop:
        log.error("stopped by %s; what was finished is kept, the same command goes on from there", stop)
        sys.exit(stop.exit_code)
    except ModuleNotFoundError as error:
        if extras.of(error.name):
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


def _one_process(args: argparse.Namespace):
    state = getattr(args, "state", None)
    if state is None or "RANK" in os.environ:  # the processes of one training are one job
        return nullcontext()
    return locks.held(lock_of(state, getattr(args, "worker", None)), WAIT)


def lock_of(state: Path | str, worker: int | None = None) -> Path:
    """The lock that the job with this state folder holds, or one of its workers."""
    return Path(f"{state}.lock" if worker is None else f"{state}.{worker}.lock")


def _handlers(log_file: Path | None) -> list[logging.Handler]:
    """To the terminal and the log file. Of a team's processes (`distributed`) the first one adds to the file that
    its launcher began, and the others leave it alone."""
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    rank = os.environ.get("RANK")
    if log_file is not None and rank in (None, "0"):
        log_file.parent.mkdir(parents=True, exist_ok=True)
        if rank is None:
            log_file.write_text("")
        handlers.append(logging.FileHandler(log_file))  # appends, as the launcher goes on writing too
    return handlers


def pair(text: str) -> tuple[str, str]:
    """An argument of the form NAME=VALUE. For argparse's `type=`."""
    name, separator, value = text.partition("=")
    if not separator or not name or not value:
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, found {text!r}")
    return name, value
