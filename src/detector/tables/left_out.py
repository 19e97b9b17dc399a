"""left_out.csv: what a run does without for some of its networks, and why."""

from collections.abc import Mapping

COLUMNS = ("arch", "left_out", "reason")


def left_out(found: Mapping[str, Mapping[str, str]]) -> list[dict]:
    """Rows of left_out.csv: one for each branch, or other part of the run, that a network does not have.

    `found`: by architecture, what is left out and the reason.
    """
    return [
        {"arch": arch, "left_out": what, "reason": reason}
        for arch, parts in found.items()
        for what, reason in parts.items()
    ]
