"""Groups by path: what images have in common that should not be in two splits, where their names say it.

A rule is "parent", the name of the folder that holds the image, or a regular expression with one group that is
searched for in the image's path below the root; what the group holds is the image's group. Only the standard
library is imported here, see `kinds`.
"""

import logging
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

from detector.core.errors import DetectorError
from detector.data.records import Record

log = logging.getLogger(__name__)

PARENT = "parent"


def problem(rule: str) -> str:
    """What is wrong with a rule; "" if nothing."""
    if rule == PARENT:
        return ""
    try:
        count = re.compile(rule).groups
    except re.error as error:
        return f"found {rule!r}, expected {PARENT} or a regular expression ({error})"
    if count != 1:
        return (
            f"found {rule!r} with {count} groups, expected {PARENT} or a regular expression with one, such as "
            "'([^/]+)_[0-9]+[.]'; write (?:…) for brackets that give no name"
        )
    return ""


def grouped(
    where: object, records: Sequence[Record], rule: str | None, parent: Callable[[str], str]
) -> list[Record]:
    """The records, in their order, with the groups that a rule gives them (None: none).

    `parent`: the name of the folder that holds a path, "" where that is no group's. `where`: what the paths begin
    at, for messages. An image that the rule says nothing of is its own group; the log says how many are. Raises
    `DetectorError` for a rule that is wrong, or gives no image a group.
    """
    if rule is None:
        return list(records)
    if wrong := problem(rule):
        raise DetectorError(f"{where}: groups: {wrong}")

    def found(path: str) -> str:
        if rule == PARENT:
            return parent(path)
        match = re.search(rule, path)
        return sys.intern(match[1] or "") if match else ""

    result = [replace(record, group=found(record.path)) for record in records]
    alone = sum(not record.group for record in result)
    if result and alone == len(result):
        raise DetectorError(
            f"{where}: groups: {rule!r} gives none of {len(result):,} images a group, expected it to fit paths "
            f"such as {result[0].path}; mend it, or leave it out"
        )
    log.info("%s: %d groups, %d images in none", where, len({r.group for r in result} - {""}), alone)
    return result
