"""Transfer: networks trained without a part of the fakes, tested on every part, beside one trained with all.

A part is a set of fakes (those of a generator) with the real images that they are told from. How good a network is
on a part is the share of its fakes that are called fake, and the area under the ROC curve against its real images.
A drop is the value of the network trained with everything less that of another, on the same images: above 0
something is lost.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from detector.stats import areas, decisions, intervals

EVERYTHING = ""  # the network that was trained with all parts
COLUMNS = (
    *("seen", "parts", "n", "reals", "accuracy", "accuracy_low", "accuracy_high"),
    *("groups", "grouped_low", "grouped_high", "specificity", "balanced_accuracy"),
    *("auc", "auc_low", "auc_high", "auc_grouped_low", "auc_grouped_high"),
    *("drop", "drop_low", "drop_high", "drop_grouped_low", "drop_grouped_high"),
    *("auc_drop", "auc_drop_low", "auc_drop_high", "auc_drop_grouped_low", "auc_drop_grouped_high"),
)


@dataclass(frozen=True)
class Part:
    """Fakes that belong together and the real images that they are told from: masks, bool (n,)."""

    fakes: np.ndarray
    reals: np.ndarray


@dataclass(frozen=True)
class Images:
    """Test images that all networks were shown: `label`, int (n,), 1 = real, and what belongs together.

    `group`, int (n,): images of one group (a person, a prompt) are no independent draws; `known`, bool (n,): of
    which images a group is known. Any other is a group by itself.
    """

    label: np.ndarray
    group: np.ndarray
    known: np.ndarray


def matrix(
    images: Images,
    logits: Mapping[str, np.ndarray],
    parts: Mapping[str, Part],
    unseen: Collection[tuple[str, str]],
    targets: Mapping[str, str],
    seen_in: Collection[str],
) -> list[dict[str, Any]]:
    """Rows with `network`, `part` and `COLUMNS`: each network on each part, then means over unseen and seen parts.

    `logits`: of the images, float (n,), by network, `EVERYTHING` among them. `unseen`: the pairs of network and
    part of which the network was trained with nothing. `targets`: for each network but `EVERYTHING` the part that
    it is there for; the mean over unseen parts is that of these pairs. The mean over seen parts is that of all
    pairs of a network in `targets` and a part in `seen_in` that it has seen. In rows of means, network and part
    are empty. A part without fakes has no row; where it has no real images, all areas are NaN.
    """
    parts = {name: part for name, part in parts.items() if part.fakes.any()}
    cells = {
        (network, name): _Cell.of(images, values, part)
        for network, values in logits.items()
        for name, part in parts.items()
    }
    rows = []
    for (network, name), cell in cells.items():
        row = {"network": network, "part": name, "seen": "no" if (network, name) in unseen else "yes", "parts": 1}
        row |= _columns(images, {name: [cell]}, {name: cells[EVERYTHING, name]}, network != EVERYTHING)
        rows.append(row)
    pairs = {
        "no": [(network, name) for network, name in targets.items() if name in parts],
        "yes": [(network, name) for network in targets for name in seen_in if name in parts],
    }
    pairs["yes"] = [pair for pair in pairs["yes"] if pair not in unseen]
    for seen, found in pairs.items():
        chosen: dict[str, list[_Cell]] = {}
        for network, name in found:
            chosen.setdefault(name, []).append(cells[network, name])
        if chosen:
            whole = {name: cells[EVERYTHING, name] for name in chosen}
            row = {"network": "", "part": "", "seen": seen, "parts": len(chosen)}
            rows.append(row | _columns(images, chosen, whole, True))
    return rows


@dataclass(frozen=True)
class _Cell:
    """One network on one part: which fakes are called fake, bool (k,), the share of real images called real.

    `area` is that under the ROC curve, and `influence`, float (n,), what each image has to do with its error.
    """

    part: Part
    right: np.ndarray
    specificity: float
    area: float
    influence: np.ndarray

    @classmethod
    def of(cls, images: Images, logit: np.ndarray, part: Part) -> "_Cell":
        called = decisions.right(images.label, logit)
        influence = np.zeros(len(logit))
        area = specificity = math.nan
        if part.reals.any():
            specificity = float(called[part.reals].mean())
            chosen = part.fakes | part.reals
            area, influence[chosen] = areas.influence(images.label[chosen], logit[chosen])
        return cls(part, called[part.fakes], specificity, area, influence)


def _columns(
    images: Images, chosen: Mapping[str, Sequence[_Cell]], whole: Mapping[str, _Cell], compared: bool
) -> dict[str, Any]:
    """Columns from `n` on: the mean over parts of the mean over the networks that are chosen of each.

    `whole`: the network trained with everything, on the same parts; `compared`: whether there is a drop to it.
    """
    masks = [cells[0].part.fakes for cells in chosen.values()]
    rights = [np.mean([cell.right for cell in cells], axis=0) for cells in chosen.values()]
    each = [float(np.mean([cell.area for cell in cells])) for cells in chosen.values()]
    influence = np.mean([np.mean([cell.influence for cell in cells], axis=0) for cells in chosen.values()], axis=0)
    place = np.repeat(np.arange(len(masks)), [int(mask.sum()) for mask in masks])
    group = np.concatenate([images.group[mask] for mask in masks])
    grouped = any(images.known[mask].any() for mask in masks)
    real = np.any([cells[0].part.reals for cells in chosen.values()], axis=0)
    shown = real | np.any(masks, axis=0)
    influence, of_shown, label = influence[shown], images.group[shown], images.label[shown]
    right, area = np.concatenate(rights), float(np.mean(each))
    share = float(np.mean([one.mean() for one in rights]))
    specificity = float(np.mean([cell.specificity for cells in chosen.values() for cell in cells]))
    row = {"n": len(right), "reals": int(real.sum()), "specificity": specificity}
    row |= {"balanced_accuracy": (share + specificity) / 2, "accuracy": share, "auc": area}
    row |= _pair("accuracy", _share(right, place, None))
    row |= _pair("auc", areas.interval(area, influence, label, None))
    if grouped:
        row["groups"] = len(np.unique(group))
        row |= _pair("grouped", _share(right, place, group))
        row |= _pair("auc_grouped", areas.interval(area, influence, label, of_shown))
    if not compared:
        return row
    lost = np.concatenate([cell.right for cell in whole.values()]) - right
    other = float(np.mean([cell.area for cell in whole.values()]))
    more = np.mean([cell.influence for cell in whole.values()], axis=0)[shown] - influence
    drop = float(np.mean([lost[place == at].mean() for at in range(len(masks))]))
    row |= {"drop": drop, "auc_drop": other - area}
    row |= _pair("drop", intervals.mean_of_parts(lost, place, None, differences=True))
    row |= _pair("auc_drop", areas.around(other - area, more, label, None)[:2])
    if grouped:
        row |= _pair("drop_grouped", intervals.mean_of_parts(lost, place, group, differences=True))
        row |= _pair("auc_drop_grouped", areas.around(other - area, more, label, of_shown)[:2])
    return row


def _pair(name: str, bounds: tuple[float, float]) -> dict[str, float]:
    return {f"{name}_low": bounds[0], f"{name}_high": bounds[1]}


def _share(right: np.ndarray, part: np.ndarray, group: np.ndarray | None) -> tuple[float, float]:
    """Interval of a mean share: of one part that of `per_generator.csv`."""
    if part.max() > 0 or not np.isin(right, (0, 1)).all():
        return intervals.mean_of_parts(right, part, group)
    if group is None:
        return intervals.wilson(float(right.mean()), len(right))
    return intervals.wilson_grouped(right.astype(bool), np.unique(group, return_inverse=True)[1])
