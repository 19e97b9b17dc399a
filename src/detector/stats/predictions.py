"""Saved predictions: frames of a video make one logit, each is a number, compared models saw the same images."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd

from detector.core import parquet
from detector.core.errors import DetectorError
from detector.data.records import FRAME, file_of
from detector.experiment.variants import COMBINED, VALID, Variant
from detector.stats import decisions

ONE_LOOK = "one_look"  # logits by the middle alone, a column beside those of several looks
IMAGE = ["source", "path", "label"]  # what says which image a row is about
Model = TypeVar("Model")
Predictions = Mapping[Variant, Mapping[str, pd.DataFrame]]


def read(
    folders: Iterable[Path], sets: Sequence[str], *, frames: bool = False
) -> dict[Variant, dict[str, pd.DataFrame]]:
    """Saved logits of variants, by variant and set, in the order given; of videos as in `load`.

    `folders`: of variants, runs/{arch}/seed{seed}/{branch}; `sets`: names of files in their predictions/, columns
    as `inference.PREDICTION_COLUMNS`. `frames`: a row for each frame of a video, as they were saved.
    """
    one = parquet.read if frames else load
    return {
        Variant.of(folder): {name: one(folder / "predictions" / f"{name}.parquet") for name in sets}
        for folder in folders
    }


def load(path: Path | str) -> pd.DataFrame:
    """Saved logits of one file, of a video that of its frames together (`by_video`)."""
    return by_video(parquet.read(path))


def tested(folder: Path, sources: Iterable[str]) -> pd.DataFrame:
    """Saved logits of a variant on the test images of all these sources, as they were saved.

    `folder`: its predictions/. Raises `DetectorError` where one is no number.
    """
    table = pd.concat([parquet.read(folder / f"{name}.parquet") for name in sources], ignore_index=True)
    require_numbers(table, str(folder))
    return table


def by_video(table: pd.DataFrame) -> pd.DataFrame:
    """The table with one row for each video in place of one for each of its frames; images stay as they are.

    A video's logits are the means of those of its frames, float64 rounded to the column's type, its path is the
    file's. Frames of a video are one draw: intervals and tests that take rows as drawn one by one are of these.
    """
    if not any(FRAME in path for path in table["path"]):
        return table
    logits = list(table.select_dtypes("floating"))
    whole = table.assign(path=table["path"].map(file_of))
    number = whole.groupby([name for name in table if name not in logits], sort=False).ngroup().to_numpy()
    count = np.bincount(number)
    means = {name: (np.bincount(number, table[name]) / count).astype(table[name].dtype.type) for name in logits}
    first = np.unique(number, return_index=True)[1]
    return whole.iloc[first].reset_index(drop=True).assign(**means)


def right(table: pd.DataFrame, column: str = "logit") -> np.ndarray:
    """Whether each image of a table was called correctly, bool (n,)."""
    label: np.ndarray = table["label"].to_numpy()
    logit: np.ndarray = table[column].to_numpy()
    return decisions.right(label, logit)


def check(predictions: Mapping[Model, Mapping[str, pd.DataFrame]]) -> None:
    """Raises `DetectorError` where a logit is no number, or two models' tables of one set are of other images.

    `predictions`: by model and set, columns of `IMAGE` and logit.
    """
    first: dict[str, tuple[object, pd.DataFrame]] = {}
    for model, sets in predictions.items():
        for name, table in sets.items():
            require_numbers(table, f"{model}, {name}")
            other, theirs = first.setdefault(name, (model, table))
            require_same_images(table, f"{model}, {name}", theirs, f"{other}, {name}")


def require_numbers(table: pd.DataFrame, who: str, column: str = "logit") -> None:
    """Raise `DetectorError` that names the model, `who`, and the first image whose logit is NaN or infinite.

    No probability can be made of an infinite one either.
    """
    odd = ~np.isfinite(table[column].to_numpy(dtype=np.float64))
    if odd.any():
        row = table.iloc[int(odd.argmax())]
        raise DetectorError(
            f"{who}: found {row[column]} as the {column} of {row['source']}: {row['path']} ({odd.sum()} of "
            f"{len(table)} images), expected a number: the network overflows, or a file is damaged. Delete that "
            "model's files and run snakemake again; if it comes back, train it with a lower learning rate"
        )


def require_same_images(ours: pd.DataFrame, who: str, theirs: pd.DataFrame, other: str) -> None:
    """Raise `DetectorError` where two models' tables are not of the same images in the same order."""
    if len(ours) != len(theirs) or (ours[IMAGE].to_numpy() != theirs[IMAGE].to_numpy()).any():
        raise DetectorError(
            f"{who} ({len(ours)} images) and {other} ({len(theirs)}) were not shown the same images in the same "
            "order, which a paired comparison needs. Delete those files and run snakemake again"
        )


def with_combined(sets: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Add all test sets together as `combined` to the sets of predictions."""
    tests = [table for name, table in sets.items() if name != VALID]
    return {**sets, COMBINED: pd.concat(tests, ignore_index=True)}
