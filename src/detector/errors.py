"""The one exception that a user is meant to read."""

from collections.abc import Sequence


class DetectorError(Exception):
    """Bad input. The message names the file or key, what was found, what was expected and what to do.

    Scripts and the command line print the message alone, without a traceback.
    """


class Diverged(DetectorError):
    """A training whose loss is no longer a number."""


def listing(items: Sequence[str], most: int = 10) -> str:
    """The first `most` items, one indented line each, and how many more there are."""
    lines = [f"  {item}" for item in items[:most]]
    if len(items) > most:
        lines.append(f"  … and {len(items) - most} more")
    return "\n".join(lines)
