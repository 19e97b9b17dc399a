"""Records: one image or video, as a kind of data set lists it."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter

NO_GENERATOR = "unknown"  # fakes of which nothing says what made them
PAIRS = "@pairs/"  # how paths of photographs begin that lie in a source's `pairs` and not below its root
FRAME = "@frame"  # before the number at the end of a path, where several frames of a video are images
_FRAME = re.compile(FRAME + r"\d{6,}$")


@dataclass(frozen=True, order=True, slots=True)
class Record:
    """One image or video as a data set lists it, before anything is decoded."""

    path: str  # relative to the source's root, with forward slashes; after PAIRS: relative to its `pairs`
    label: int  # 1 = real, 0 = fake
    generator: str = ""  # what made a fake; "" for real images
    group: str = ""  # what must not be in two splits (person, prompt); several joined by "|"; "" = its own
    official: str = ""  # the data set's own split of this item: train, valid, test or ""
    frame: float | None = None  # position of the frame in a video, 0 = first, 1 = last; None for images
    date: str = ""  # when it was made, ISO 8601; "" = nothing known
    shard: str = ""  # the file below the root that holds it, see `shards`; "" = it is a file of its own
    at: int = 0  # where in the shard


def by_path(records: Iterable[Record]) -> list[Record]:
    """Records sorted by path; paths are unique. Comparing whole records would take ten times as long."""
    return sorted(records, key=attrgetter("path"))


def of_frame(path: str, number: int) -> str:
    """Path of one of several frames of a video, which is number `number` of it, from 0."""
    return f"{path}{FRAME}{number:06d}"


def file_of(path: str) -> str:
    """Path without the frame: of an image itself, of any frame of a video the video's."""
    return _FRAME.sub("", path) if FRAME in path else path


def number_of(path: str) -> int:
    """Number of the frame that a path is of; of an image itself 0."""
    return int(path.rpartition(FRAME)[2]) if path != file_of(path) else 0


def located(path: str, pairs: str | os.PathLike | None) -> str:
    """Path to join to the source's root to reach a record's file: its path, or an absolute one below `pairs`.

    Tables keep the record's path, so they do not depend on where the two folders lie on this machine.
    """
    path = file_of(path)
    if pairs is None or not path.startswith(PAIRS):
        return path
    return os.path.abspath(os.path.join(pairs, path.removeprefix(PAIRS)))
