"""Groups of images that are no independent draws: which belong together, and what is said of them. No torch."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from detector.stats.intervals import wilson_grouped


def known(names: pd.Series) -> bool:
    """Whether a group is known of any image; "" is none."""
    return bool((names != "").any())


def apart(groups: pd.Series) -> np.ndarray:
    """Number the groups: int (n,); images that share a group, directly or through others, have one number.

    `groups`: names joined by |, such as the two people of a swap; an image without one is a group by itself.
    Numbers begin at 0, and none is left out.
    """
    names = groups.reset_index(drop=True).str.split("|").explode()
    names = names[names != ""]
    image, name = names.index.to_numpy(), pd.factorize(names)[0] + len(groups)
    size = len(groups) + names.nunique()
    edges = coo_array((np.ones(len(names), bool), (image, name)), shape=(size, size))
    return np.unique(connected_components(edges, directed=False)[1][: len(groups)], return_inverse=True)[1]


def known_groups(images: pd.DataFrame) -> np.ndarray | None:
    """Numbers of groups, as of `groups`, where one is known of any image; else None."""
    return groups(images) if known(images["group"]) else None


def groups(images: pd.DataFrame) -> np.ndarray:
    """Numbers of groups, int (n,), as of `apart`; groups of two sources have nothing in common."""
    numbers, first = np.empty(len(images), int), 0
    for _, rows in images.reset_index(drop=True).groupby("source", sort=False):
        numbers[rows.index] = first + apart(rows["group"])
        first = int(numbers[rows.index].max()) + 1
    return numbers


def share_of_groups(right: np.ndarray, group: np.ndarray | None) -> dict[str, float]:
    """Columns `groups`, `grouped_low` and `grouped_high` of the share of `right`; none where `group` is None.

    `right`: bool (n,); `group`: int (n,), as of `known_groups`.
    """
    if group is None:
        return {}
    low, high = wilson_grouped(right, group)
    return {"groups": len(np.unique(group)), "grouped_low": low, "grouped_high": high}


def bounds(row: Mapping[str, Any] | pd.Series, single: str, grouped: str) -> tuple[float, float]:
    """Interval that a row of a table has: columns `{grouped}_low` and `_high` where its groups are known.

    Else those of `single` images; tables that were made before there were groups have no other.
    """
    name = grouped if row.get("groups", 0) > 0 else single
    return row[f"{name}_low"], row[f"{name}_high"]
