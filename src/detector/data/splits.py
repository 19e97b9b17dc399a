"""Split assignment: train, valid or test by a hash of each image's key, whatever the order of files.

Items are ordered by sha256 of "{seed}:{key}" and then cut. The order of one item against another depends on
the seed and their two keys alone, so a file system's order, the platform or an added item never reshuffles
the rest.
"""

import hashlib
import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TYPE_CHECKING

from detector.core.errors import DetectorError

if TYPE_CHECKING:
    import pandas as pd

# What draws some of the items: the keys of those, by the strata and keys of all.
Choice = Callable[[Sequence[Hashable], Sequence[str]], set[str]]
Fractions = tuple[float, float, float]  # shares of train, valid and test; they sum to 1
STUDY_FRACTIONS = (0.8, 0.1, 0.1)  # train, valid, test


def ordered(keys: Iterable[str], seed: int) -> list[str]:
    """Keys sorted by their hashes. Raises `ValueError` where a key occurs twice."""
    unique = list(keys)
    if len(set(unique)) != len(unique):
        raise ValueError("keys to split must be unique")
    return sorted(unique, key=lambda key: hashlib.sha256(f"{seed}:{key}".encode()).digest())


def cut(keys: Iterable[str], fractions: Fractions, seed: int) -> dict[str, str]:
    """Split name of each key: round(f0·n) train, round(f1·n) valid, the rest test.

    A test share of zero gives no test items: what rounding leaves over then goes to valid. Raises `DetectorError`
    where `fractions` are not three shares that sum to one, `ValueError` where a key occurs twice.
    """
    _check(fractions)
    order = ordered(keys, seed)
    train = round(fractions[0] * len(order))
    rest = len(order) - train
    valid = rest if fractions[2] == 0 else min(round(fractions[1] * len(order)), rest)
    names = ["train"] * train + ["valid"] * valid + ["test"] * (rest - valid)
    return dict(zip(order, names, strict=True))


def stratified(strata: Sequence[Hashable], keys: Sequence[str], fractions: Fractions, seed: int) -> dict[str, str]:
    """Split name of each key, by `cut` within each stratum, so that all strata have the same shares.

    `strata[i]` is the stratum of `keys[i]`. Raises as `cut` does, and `ValueError` where strata share a key.
    """
    result: dict[str, str] = {}
    for members in _by_stratum(strata, keys).values():
        result |= cut(members, fractions, seed)
    if len(result) != len(keys):
        raise ValueError("keys to split must be unique")
    return result


def grouped(groups: Iterable[str], fractions: Fractions, seed: int) -> dict[str, str]:
    """Split name of each distinct group; a group is never divided.

    The shares are exact in groups. In items they are exact only where all groups have the same size. Raises
    `DetectorError` where `fractions` are not three shares that sum to one.
    """
    return cut(set(groups), fractions, seed)


def without_test(fractions: Fractions) -> Fractions:
    """Shares of train and valid rescaled to one, for data sets with a test split of their own.

    Raises `DetectorError` where `fractions` are not three shares that sum to one, or train and valid are both 0.
    """
    _check(fractions)
    kept = fractions[0] + fractions[1]
    if kept == 0:
        raise DetectorError(f"data.fractions {fractions}: train and valid are both 0, nothing to divide")
    return (fractions[0] / kept, fractions[1] / kept, 0.0)


def subset(strata: Sequence[Hashable], keys: Sequence[str], count: int, seed: int) -> set[str]:
    """Draw `count` of the keys (all, if there are fewer), each stratum with its share to within one item.

    Shares are rounded by the largest remainder, so the sum is exactly `count`.
    """
    if count >= len(keys):
        return set(keys)
    members = _by_stratum(strata, keys)
    exact = {stratum: count * len(m) / len(keys) for stratum, m in members.items()}
    quota = {stratum: math.floor(share) for stratum, share in exact.items()}
    # Ties are broken by the stratum's name: the order in which strata come must not matter.
    by_remainder = sorted(exact, key=lambda stratum: (quota[stratum] - exact[stratum], repr(stratum)))
    for stratum in by_remainder[: count - sum(quota.values())]:
        quota[stratum] += 1
    return {key for stratum, m in members.items() for key in ordered(m, seed)[: quota[stratum]]}


def drawn(
    rows: "pd.DataFrame", strata: Sequence[str], files: "pd.Series[str]", choose: Choice
) -> "pd.Series[bool]":
    """Whether `choose` draws each row, bool: rows of one file, the frames of a video, are one item.

    `strata`: names of columns; `files`: the file of each row.
    """
    first = ~files.duplicated()
    kinds = list(rows.loc[first, list(strata)].itertuples(index=False, name=None))
    return files.isin(choose(kinds, list(files[first])))


def part(strata: Sequence[Hashable], keys: Sequence[str], number: int, of: int, seed: int) -> set[str]:
    """Draw part `number`, from 1, of `of` parts of the keys, each with its share of every stratum to within one.

    The parts have no key in common and hold all together; none has more than one key more than another.
    """
    members = _by_stratum(strata, keys)
    row = [key for stratum in sorted(members, key=repr) for key in ordered(members[stratum], seed)]
    return set(row[number - 1 :: of])


def _by_stratum(strata: Sequence[Hashable], keys: Sequence[str]) -> dict[Hashable, list[str]]:
    members: dict[Hashable, list[str]] = defaultdict(list)
    for stratum, key in zip(strata, keys, strict=True):
        members[stratum].append(key)
    return members


def _check(fractions: Fractions) -> None:
    if len(fractions) != 3 or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise DetectorError(
            f"data.fractions: found {tuple(fractions)}; expected the shares of train, valid and test, "
            "none negative, with sum 1"
        )
