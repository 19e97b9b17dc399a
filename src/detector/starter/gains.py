"""Gains and losses of an adaptation: the network before and after, on the same test images, part by part."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from detector.core.labels import REAL
from detector.experiment.variants import COMBINED
from detector.stats import predictions
from detector.stats.groups import groups
from detector.stats.intervals import paired_interval, paired_interval_grouped
from detector.stats.predictions import right
from detector.stats.significance import LEVEL, holm, mcnemar, mcnemar_grouped
from detector.tables.per_generator import ALL, REALS, shown

NEW, OLD = "new", "old"
BETTER, WORSE, UNDECIDED = "better", "worse", "undecided"
FEWEST = 6  # images, or groups, that must all turn for McNemar's test to reject: 2 · 0.5^6 < LEVEL <= 2 · 0.5^5
COLUMNS = (
    *("part", "source", "generator", "n", "before", "after", "gained", "lost"),
    *("difference", "difference_low", "difference_high", "groups", "grouped_low", "grouped_high"),
    *("mcnemar_p", "mcnemar_p_holm", "verdict"),
)


def compared(before: Path, after: Path, sources: Sequence[str], new: str) -> pd.DataFrame:
    """Table of two variants, by their folders, on the test images of all sources, `COLUMNS`.

    `new`: the source of the new images; all others are old. Raises `DetectorError` where a logit is no number, or
    the two saw other images.
    """
    found = predictions.read((before, after), sources)
    predictions.check(found)
    first, second = found.values()
    return table({name: (first[name], second[name]) for name in sources}, new)


def table(sets: dict[str, tuple[pd.DataFrame, pd.DataFrame]], new: str) -> pd.DataFrame:
    """The same of predictions before and after, by source.

    A row for the real images of each source and for each generator's, and one for all old images together. p are
    corrected (Holm) over the new rows and over those of old parts; whether anything was forgotten in all is one
    question of its own, asked once. `verdict` says what they show.
    """
    rows: list[dict[str, Any]] = []
    old = [pair for name, pair in sets.items() if name != new]
    for name, (first, second) in sets.items():
        real = (first["label"] == REAL).to_numpy()
        maker = first["generator"].to_numpy()
        parts = {REALS: real, **{shown(made): ~real & (maker == made) for made in sorted(set(maker[~real]))}}
        for kind, mask in parts.items():
            if mask.any():
                where = {"part": NEW if name == new else OLD, "source": name, "generator": kind}
                rows.append({**where, **_row(first[mask], second[mask])})
    if any(len(first) for first, _ in old):
        first, second = (pd.concat([pair[i] for pair in old], ignore_index=True) for i in (0, 1))
        rows.append({"part": OLD, "source": COMBINED, "generator": ALL, **_row(first, second)})
    for part, whole in ((NEW, False), (OLD, False), (OLD, True)):
        family = [row for row in rows if row["part"] == part and (row["source"] == COMBINED) == whole]
        for row, p in zip(family, holm([row["mcnemar_p"] for row in family]), strict=True):
            row["mcnemar_p_holm"] = p
            row["verdict"] = UNDECIDED if p >= LEVEL else BETTER if row["difference"] > 0 else WORSE
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _row(first: pd.DataFrame, second: pd.DataFrame) -> dict[str, Any]:
    """Columns from `n` on, of the same images before and after."""
    one, other = right(first), right(second)
    gained, lost = int((other & ~one).sum()), int((one & ~other).sum())
    low, high = paired_interval(one, other)
    row: dict[str, Any] = {"n": len(one), "before": float(one.mean()), "after": float(other.mean())}
    row |= {"gained": gained, "lost": lost, "difference": float(other.mean() - one.mean())}
    row |= {
        "difference_low": max(low, -1.0),
        "difference_high": min(high, 1.0),
        "mcnemar_p": mcnemar(gained, lost),
    }
    if (first["group"] != "").any():
        number = groups(first)
        low, high = paired_interval_grouped(one, other, number)
        row |= {"groups": len(set(number)), "grouped_low": low, "grouped_high": high}
        row["mcnemar_p"] = mcnemar_grouped(one, other, number)
    return row


def words(found: pd.DataFrame, given: Mapping[str, int]) -> list[str]:
    """What was gained and what was forgotten, a sentence each. `given`: how many new fakes of each generator."""
    new, old = found[found["part"] == NEW], found[found["part"] == OLD]
    fakes = new[new["generator"] != REALS]
    said = [_of_generator(row) for row in fakes.to_dict("records")]
    for name, images in given.items():
        if shown(name) not in set(fakes["generator"]):
            said.append(
                f"New generator {name}: nothing can be said. Of {images} image{'s' if images > 1 else ''} none "
                "could be held out; whether others of it are found now is not known. Give 4 motifs or more, "
                "better 30."
                + ("" if images > 1 else " By one image nothing could be chosen: it may not be learned at all.")
            )
    said += [_of_reals(row) for row in new[new["generator"] == REALS].to_dict("records")]
    if new[new["generator"] == REALS].empty:
        said.append(
            "New real images: none were tested, so false alarms on photographs like those of the new source are "
            "not known, nor whether more was learned than to call all pictures of that source fake (--real)."
        )
    parts = old[old["source"] != COMBINED]
    for verdict, title in ((WORSE, "Forgotten"), (BETTER, "Better too")):
        rows = parts[parts["verdict"] == verdict].to_dict("records")
        if rows:
            said.append(f"{title}: " + "; ".join(f"{_name(row)} {_change(row)}" for row in rows) + ".")
    for row in old[old["source"] == COMBINED].to_dict("records"):
        low, high = _interval(row)
        whole = f"All old test images together: {_change(row)}"
        if pd.isna(low):
            said.append(f"{whole}. Of others nothing can be said.")
        elif row["verdict"] == WORSE:
            said.append(f"{whole}. That is forgetting.")
        elif high < 0:  # an exact test and an interval that is not one can differ by a hair
            said.append(f"{whole}. The interval says that some was forgotten, the test does not show it.")
        elif (parts["verdict"] == WORSE).any():
            said.append(f"{whole}.")
        else:
            said.append(
                f"{whole}. No forgetting was shown, and none of more than {100 * max(0.0, -low):.1f} points of "
                "all old images is compatible with these (95 %)."
            )
    return said


def _of_generator(row: dict[str, Any]) -> str:
    name = f"New generator {row['generator']}: {_change(row)}"
    if row["verdict"] == BETTER:
        return f"{name}. That is gained."
    if row["verdict"] == WORSE:
        return f"{name}. It is found less often than before."
    if row["before"] == 1:
        return f"{name}. It was found before already."
    if row["n"] < FEWEST or row["groups"] < FEWEST:  # NaN, where no groups are known, is not
        of_groups = f" of {row['groups']:.0f} groups" if row["groups"] < row["n"] else ""
        return f"{name}. With {row['n']} held-out images{of_groups} nothing can be shown, whatever they say."
    return f"{name}. A gain is not shown."


def _of_reals(row: dict[str, Any]) -> str:
    end = {BETTER: "Fewer false alarms.", WORSE: "More false alarms."}.get(
        row["verdict"], "No difference is shown."
    )
    return f"New real images: {_change(row)}. {end}"


def _change(row: dict[str, Any]) -> str:
    low, high = _interval(row)
    span = f"difference {100 * low:+.1f} to {100 * high:+.1f} points"
    return (
        f"{row['before']:.1%} called right before, {row['after']:.1%} after, of {row['n']} "
        f"({'all of one group' if pd.isna(low) else span}, p = {row['mcnemar_p_holm']:.2g})"
    )


def _interval(row: dict[str, Any]) -> tuple[float, float]:
    """That of groups, where they are known; NaN for one group."""
    kind = "grouped" if pd.notna(row["groups"]) else "difference"
    return row[f"{kind}_low"], row[f"{kind}_high"]


def _name(row: dict[str, Any]) -> str:
    return f"real images of {row['source']}" if row["generator"] == REALS else f"{row['generator']}"
