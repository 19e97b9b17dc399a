"""Labels and columns as data sets have them: which values mean real and fake, and which column is which.

Only the standard library is imported here, see `kinds`.
"""

from collections.abc import Callable, Mapping, Sequence

from detector.core.errors import DetectorError
from detector.core.labels import CLASSES
from detector.data import lists

NAMES = ("label", *lists.OPTIONAL)  # of columns, also where `columns` names no other


def columns(options: Mapping) -> dict[str, str]:
    """The data set's name of each column of `NAMES`."""
    given = options.get("columns") or {}
    return {name: given.get(name, name) for name in NAMES}


def reader(options: Mapping) -> Callable[[str, str], int]:
    """What gives the label of (where it stands, its text): by `labels`, or without it by the words for classes.

    It raises `DetectorError` for a text that means neither.
    """
    if not options.get("labels"):
        return _word
    known = values(options["labels"])

    def label_of(where: str, text: str) -> int:
        if text not in known:
            raise DetectorError(
                f"{where}: found label {text!r}, expected one of {', '.join(known)}; add it to `labels` of the "
                "source"
            )
        return known[text]

    return label_of


def values(labels: Mapping[str, Sequence[object]]) -> dict[str, int]:
    """Label by value, as text."""
    return {str(value): label for label, name in CLASSES.items() for value in labels.get(name, ())}


def problem(labels: Mapping[str, Sequence[object]]) -> str:
    """What is wrong with a mapping of values; "" if nothing."""
    both = {str(value) for value in labels.get("real", ())} & {str(value) for value in labels.get("fake", ())}
    return f"found {', '.join(sorted(both))} as real and as fake, expected each value once" if both else ""


def _word(where: str, text: str) -> int:
    try:
        return lists.word(where, text)
    except DetectorError as error:
        raise DetectorError(f"{error}, or say what it means: labels: {{real: [0], fake: [1, 2]}}") from None
