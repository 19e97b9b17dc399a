"""Words and tables of Markdown from numbers and names: those of a model card. Undefined is "–", never 0."""

import math
import textwrap
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from detector.stats.intervals import wilson, wilson_grouped

WIDTH = 115
NONE = "–"


def share(right: np.ndarray, group: np.ndarray | None = None) -> str:
    """Share of `right`, bool (n,), with its interval, in percent; `group`, int (n,), where groups are known."""
    if not len(right):
        return NONE
    share = float(np.mean(right))
    low, high = wilson(share, len(right)) if group is None else wilson_grouped(right, group)
    if math.isnan(low):
        return f"{percent(share)} (no interval of one group)"
    return f"{percent(share)} ({100 * low:.1f}–{100 * high:.1f})"


def percent(share: float) -> str:
    """Percent, to a tenth; "–" where it is NaN."""
    return NONE if math.isnan(share) else f"{100 * share:.1f} %"


def shown(value: float, form: str) -> str:
    """Number in a format of Python's, with a minus sign; "–" where it is NaN."""
    return NONE if math.isnan(value) else format(value, form).replace("-", "−")


def count(value: float) -> str:
    """Whole number with commas between thousands."""
    return f"{int(value):,}"


def joined(values: pd.Series) -> str:
    """Distinct values of a column in their order; "–" where there are none."""
    return ", ".join(dict.fromkeys(str(value) for value in values.dropna())) or NONE


def names(names: Iterable[str]) -> str:
    """Names that others chose, each as `code` has it."""
    return ", ".join(map(code, names))


def code(name: str) -> str:
    """A name that others chose, so that nothing in it is taken for Markdown."""
    return "`" + " ".join(name.replace("`", "'").split()) + "`"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Table of Markdown; a bar within a cell is escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def wrapped(block: str) -> str:
    """A paragraph, or the items of a list, in lines of readable length; a table, a heading or code as it is."""
    block = block.strip("\n")
    if block.startswith(("|", "#", "```")):
        return block
    bullet = "- " if block.startswith("- ") else ""
    items = block.removeprefix(bullet).split("\n- ") if bullet else [block]
    return "\n".join(
        textwrap.fill(
            *(" ".join(item.split()), WIDTH),
            initial_indent=bullet,
            subsequent_indent=" " * len(bullet),
            break_long_words=False,
            break_on_hyphens=False,
        )
        for item in items
    )
