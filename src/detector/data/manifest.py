"""Manifest: the one table of images and splits, which `build` makes from the scans of all sources.

A scan has one row for each file of one source, in the order of their paths. The manifest has one row for
each image that is used:

    path        str    relative to the source's root; after "@pairs/": relative to its `pairs`; with "@frame" and a
                       number at its end: of that frame of a video of which several are images
    label       int8   1 = real, 0 = fake
    source      str    the source's name in the config
    generator   str    what made a fake; "" for real images
    group       str    what images have in common that should not be in two splits: the person or people in a
                       video ("id1", or "id1|id0" = target and donor of a swap), the prompt of a generated
                       image; the video of one of several frames, if nothing else is known; "" = nothing known.
                       Groups belong to a source: equal names in two mean nothing
    split       str    train, valid or test
    width       int32  pixels, before any resizing (and before EXIF orientation)
    height      int32
    format      str    Pillow's format name, or "MP4/<codec>"
    sha256      str    of the file
    frame       float32  position of the frame in a video, 0 = first, 1 = last; NaN for images
    row         int32  the image's row in its source's packed store = its row in its source's scan
"""

import logging
from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from functools import partial

import numpy as np
import pandas as pd

from detector.core import labels
from detector.core.errors import DetectorError, listing
from detector.core.labels import FAKE, SPLIT_NAMES
from detector.data import kinds, periods, splits
from detector.data.records import FRAME, PAIRS, Record, file_of

log = logging.getLogger(__name__)

COLUMNS = (
    *("path", "label", "source", "generator", "group", "split"),
    *("width", "height", "format", "sha256", "frame", "row"),
)


def build(
    scans: Mapping[str, pd.DataFrame],
    bad: Mapping[str, AbstractSet[str]],
    options: Mapping[str, Mapping],
    fractions: tuple[float, float, float],
    seed: int,
    hold_out: Collection[str] = (),
) -> pd.DataFrame:
    """Join the scans into one manifest, sorted by source and path; columns as in this module's docstring.

    `scans`: what `scanning.scan_source` returned, by source. `bad`: paths that turned out not to decode, by
    source. `options`: each source's config section, of which `type` names its module, `split` the strategy
    (default: the first of the module's SPLITS) and `limit` the largest number of images of a split, such as
    {"train": 1000}, of which a video counts as one with all its frames. `fractions`: shares of train, valid and
    test. `hold_out`: generators whose images leave train and valid and stay in test.

    Bad files are removed after the split, so that one more of them moves no other image to another split. A limit
    keeps the shares of (label, generator). The result depends on paths and seed alone.

    Raises `DetectorError` for an unknown strategy, limit or generator, for a source of which nothing is left, and
    where holding out leaves no fake to train or validate on.
    """
    _check_known(hold_out, scans)
    parts = []
    for name in sorted(scans):
        part = _split(name, scans[name], options[name], fractions, seed)
        part.loc[part.generator.isin(hold_out) & (part.split != "test"), "split"] = ""
        usable = (part.split != "") & (part.error == "") & ~part.path.isin(bad.get(name, set()))
        part = _limit(name, part[usable], options[name].get("limit") or {}, seed)
        if part.empty:
            raise DetectorError(
                f"source {name}: no image is left after splits, bad files and limits; look at its bad.csv, "
                f"choose another data.sources.{name}.split or raise its limit"
            )
        parts.append(part.sort_values("path"))
    table = pd.concat(parts)[list(COLUMNS)].reset_index(drop=True)
    if hold_out:
        _require_fakes(table, f"data.hold_out: without {', '.join(sorted(hold_out))}", "hold out fewer generators")
    if lost := sorted(set(hold_out) - set(table.loc[table.split == "test", "generator"])):
        log.warning(
            "data.hold_out: %s: no image in test, so nothing of it is tested; choose a split that gives it some "
            "(data.sources.NAME.split)",
            ", ".join(lost),
        )
    return table


def without(table: pd.DataFrame, generator: str) -> pd.DataFrame:
    """The manifest without the training and validation images of a generator; all test images stay.

    Raises `DetectorError` where no fake is left to train or validate on.
    """
    learned = table.split != "test"
    left = table[~(learned & (table.generator == generator))].reset_index(drop=True)
    _require_fakes(left, f"protocol: without {generator}", "name others in protocol.generators")
    if len(left) == len(table):
        log.warning(
            "protocol: %s: found no training or validation image of it, so the network without it is the network "
            "with it",
            generator,
        )
    if not ((table.split == "test") & (table.generator == generator)).any():
        log.warning("protocol: %s: found no test image of it, so nothing of it is tested", generator)
    return left


def until(table: pd.DataFrame, dates: pd.Series, edge: str) -> pd.DataFrame:
    """The manifest of a network that is trained up to a day, such as 2025-01-31, that day not included.

    `dates`: of the images, as in `periods.of_images`. All test images stay. Real images without a date are
    trained with, fakes without one are not. Raises `DetectorError` where no fake has a date, and where a class is
    left without an image to train or validate on.
    """
    day, fake = periods.days(dates), table.label == FAKE
    what = f"protocol: up to {edge}"
    if not (fake & (day != periods.UNDATED)).any():
        raise DetectorError(
            "protocol: found no fake with a date, expected sources that know them, such as a list with a column "
            "date (docs/datasets.md)"
        )
    late = np.where(day == periods.UNDATED, fake, day >= edge)
    left = table[~((table.split != "test") & late)].reset_index(drop=True)
    _require_fakes(left, what, "choose a later day in protocol.edges")
    if len(left) == len(table):
        log.warning("%s: found no training or validation image after it, so this network is the plain run's", what)
    if not ((table.split == "test") & fake & (day >= edge)).any():
        log.warning("%s: found no fake test image after it, so nothing new is tested", what)
    require_parts(left)
    return left


def _require_fakes(table: pd.DataFrame, what: str, remedy: str) -> None:
    learned = set(table.loc[table.label == FAKE, "split"])
    if empty := [split for split in ("train", "valid") if split not in learned]:
        raise DetectorError(
            f"{what} there is no fake image in {' and '.join(empty)}; {remedy}, or add a source with others"
        )


def require_parts(table: pd.DataFrame) -> None:
    """Raise `DetectorError` where training or validation lacks a class, or where there is no test image at all."""
    found = set(zip(table.split, table.label, strict=True))
    needed = [(split, label) for split in ("train", "valid") for label in labels.CLASSES]
    missing = [
        f"{split}: no {labels.CLASSES[label]} image" for split, label in needed if (split, label) not in found
    ]
    if "test" not in set(table.split):
        missing.append("test: no image")
    if missing:
        raise DetectorError(
            f"data: training and testing need images that no source in use provides:\n{listing(missing)}\n"
            "Add a source that has them (data.use), or choose other splits: data.fractions, "
            "data.sources.NAME.split and limit."
        )


def _check_known(hold_out: Collection[str], scans: Mapping[str, pd.DataFrame]) -> None:
    known = sorted({name for scan in scans.values() for name in scan.generator.unique()} - {""})
    if odd := sorted(set(hold_out) - set(known)):
        raise DetectorError(
            f"data.hold_out: found {', '.join(odd)}, expected generators of the sources in use: {', '.join(known)}"
        )


def _split(
    name: str, scan: pd.DataFrame, options: Mapping, fractions: tuple[float, float, float], seed: int
) -> pd.DataFrame:
    """The scan with the columns split and row."""
    source = kinds.module(options["type"])
    strategy = options.get("split") or source.SPLITS[0]
    if strategy not in source.SPLITS:
        raise DetectorError(
            f"data.sources.{name}.split: unknown strategy {strategy!r}; {options['type']} knows "
            + ", ".join(source.SPLITS)
        )
    several = next((True for path in scan.path if FRAME in path), False)
    path = scan.path.map(file_of) if several else scan.path
    columns = map(_shared, (path, *(scan[name] for name in ("label", "generator", "group", "official"))))
    frames = (None if np.isnan(frame) else frame for frame in scan.frame)
    records = list(map(Record, *columns, frames))
    if several:  # a video is split as one
        records = [record for record, again in zip(records, path.duplicated(), strict=True) if not again]
    # Photographs of `pairs` are no part of the data set: its own split must not see them.
    own = [record for record in records if not record.path.startswith(PAIRS)]
    parts = iter(source.split(own, strategy, fractions, seed))
    # Nor does it place them: they are test images, but for those that an earlier run left out (`sources.run`).
    names = [record.official if record.path.startswith(PAIRS) else next(parts) for record in records]
    if several:
        names = [names[number] for number in pd.factorize(path)[0].tolist()]
        scan = scan.assign(group=scan.group.mask((scan.group == "") & (path != scan.path), path))
    return scan.assign(split=names, row=np.arange(len(scan), dtype=np.int32))


def _shared(column: pd.Series) -> list:
    """The values; equal ones are one object, which of a million labels or generators makes a handful."""
    values: dict = {}
    return [values.setdefault(value, value) for value in column]


def _limit(name: str, part: pd.DataFrame, limit: Mapping[str, int], seed: int) -> pd.DataFrame:
    """The part with at most `limit[split]` images of each split that is named in it."""
    unknown = sorted(set(limit) - set(SPLIT_NAMES))
    if unknown or any(count < 0 for count in limit.values()):
        raise DetectorError(
            f"data.sources.{name}.limit: found {dict(limit)}; expected numbers of images, none negative, "
            f"for {', '.join(SPLIT_NAMES)}"
        )
    for split_name, most in limit.items():
        members = part[part.split == split_name]
        draw = partial(splits.subset, count=most, seed=seed)
        kept = splits.drawn(members, ("label", "generator"), members.path.map(file_of), draw)
        part = part.drop(index=members.index[~kept])
    return part
