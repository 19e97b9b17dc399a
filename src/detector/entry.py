"""What every script does around its work: a log, and errors that people can read."""

import argparse
import logging
import sys
from collections.abc import Callable
from pathlib import Path

from tqdm.contrib.logging import logging_redirect_tqdm

from detector.errors import DetectorError

BAD_INPUT = 2
INTERRUPTED = 130


def run(main: Callable[[argparse.Namespace], None], parser: argparse.ArgumentParser) -> None:
    """Parse the command line, run `main`, exit.

    Adds `--log FILE`: the same plain lines as on the terminal, without progress bars, tracebacks included.
    A `DetectorError` is printed as it is, without a traceback, and exits with 2.
    """
    parser.add_argument("--log", type=Path, help="also write plain log lines to this file")
    args = parser.parse_args()
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
        datefmt="%H:%M:%S",
        handlers=_handlers(args.log),
    )
    log = logging.getLogger(Path(parser.prog).stem)
    with logging_redirect_tqdm():
        try:
            main(args)
        except DetectorError as error:
            log.error("%s", error)
            sys.exit(BAD_INPUT)
        except KeyboardInterrupt:
            log.error("interrupted; what was finished is kept, the same command goes on from there")
            sys.exit(INTERRUPTED)
        except Exception:
            log.exception("this is a bug, or a fault of the machine")
            sys.exit(1)


def _handlers(log_file: Path | None) -> list[logging.Handler]:
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if log_file is not None:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(log_file, mode="w"))
    return handlers


def pair(text: str) -> tuple[str, str]:
    """An argument of the form NAME=VALUE. For argparse's `type=`."""
    name, separator, value = text.partition("=")
    if not separator or not name or not value:
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, found {text!r}")
    return name, value
