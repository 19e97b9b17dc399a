"""One's own data: the splits that all kinds share which know no data set (folder, list, parquet, tar).

Only the standard library is imported here, see `kinds`.
"""

from collections.abc import Sequence

from detector.core.errors import DetectorError
from detector.core.labels import SPLIT_NAMES
from detector.data import splits
from detector.data.records import Record

SPLITS = ("auto", "stratified")
UNTIED = "near duplicates that no group ties together may be in training and test"
SHARED = {"auto": UNTIED, "stratified": UNTIED}
BOTH = 2  # beside the labels: what is tied together and of both classes
TIED = "\0"  # before the name of a group, which then is no path


def split(records: Sequence[Record], strategy: str, fractions: splits.Fractions, seed: int) -> list[str]:
    """Split name of each image. "auto": its own split; those that no image has are cut from train.

    They are cut by class and generator, and images that have a group in common stay together. Where no image has
    a split of its own, and for "stratified" in any case, everything is cut by `fractions`. Raises `DetectorError`
    where a split must be cut from train and `fractions` leaves train nothing.
    """
    present = {record.official for record in records if record.official}
    kept = strategy == "auto" and bool(present)
    rest = [record for record in records if not kept or record.official == "train"]
    if kept:
        missing = [
            share if name not in present else 0.0 for name, share in zip(SPLIT_NAMES, fractions, strict=True)
        ]
        train = fractions[0]
        total = train + sum(missing)
        if total == 0:
            raise DetectorError("data.fractions: train is 0 and nothing can be cut from the images of train")
        fractions = (train / total, missing[1] / total, missing[2] / total)
    keys = tied(rest)
    strata: dict[str, tuple[int, str]] = {}
    for key, record in zip(keys, rest, strict=True):
        label, generator = strata.setdefault(key, (record.label, record.generator))
        # What is tied together may be of several generators or classes. Each mixture by itself would be a stratum
        # too small to be cut.
        if label != record.label:
            strata[key] = (BOTH, "")
        elif generator != record.generator:
            strata[key] = (label, "")
    cut = splits.stratified(list(strata.values()), list(strata), fractions, seed)
    names = (cut[key] for key in keys)
    return [record.official if kept and record.official != "train" else next(names) for record in records]


def tied(records: Sequence[Record]) -> list[str]:
    """What must not be divided, for each image: its path, or what its groups are tied together by.

    Groups are tied by images that are in both, so of "a", "a|b" and "b" all three belong together.
    """
    above: dict[str, str] = {}

    def top(group: str) -> str:
        while (next_one := above.setdefault(group, group)) != group:
            above[group] = group = above[next_one]
        return group

    for record in records:
        if record.group:
            first, *others = _groups(record)
            for other in others:
                low, high = sorted((top(first), top(other)))
                above[high] = low
    return [TIED + top(_groups(record)[0]) if record.group else record.path for record in records]


def _groups(record: Record) -> list[str]:
    return [part for part in record.group.split("|") if part] or [record.group]


def check_splits(where: object, records: Sequence[Record]) -> None:
    """Raise `DetectorError` where some images have a split of their own and others have none.

    `where`: what lists them.
    """
    found = {bool(record.official): record.path for record in reversed(records)}
    if len(found) > 1:
        raise DetectorError(
            f"{where}: found a split for {found[True]} and none for {found[False]}, expected one for all images "
            "or for none; fill them in, or take them out"
        )
