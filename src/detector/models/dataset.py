"""Data set of a job: the manifest with the packed stores of its sources."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from detector.core import parquet
from detector.core.files import read_json
from detector.data import identity, splits
from detector.data.records import file_of, number_of
from detector.data.store import open_store, verify
from detector.imaging.normalisation import IMAGENET, Normalisation
from detector.imaging.preprocessing import Preprocessing
from detector.models.batches import Batches


@dataclass(frozen=True)
class Images:
    """The manifest with the packed stores and the preprocessing of its sources.

    `normalisation`: of their batches, what the network at hand expects.
    """

    table: pd.DataFrame
    stores: Mapping[str, np.ndarray]
    preprocessing: Mapping
    normalisation: Normalisation = IMAGENET

    @classmethod
    def open(cls, manifest_file: Path, packs: Sequence[Path], normalisation: Normalisation = IMAGENET) -> "Images":
        """Open the manifest and packed stores; `packs`: a folder for each source, with images.npy and images.json.

        Raises `DetectorError` where a store is not what its index says. The first job on a store reads every byte
        to check that, at one or two GiB per second.
        """
        stores, preprocessing = {}, {}
        for folder in map(Path, packs):
            verify(folder / "images.npy", folder / "images.json")
            index = read_json(folder / "images.json")
            stores[index["source"]] = open_store(folder / "images.npy", folder / "images.json")
            preprocessing[index["source"]] = index["preprocessing"]
        return cls(parquet.read(manifest_file), stores, preprocessing, normalisation)

    @property
    def size(self) -> int:
        """Side in pixels of what the network sees; packed images may be larger."""
        return Preprocessing.of(next(iter(self.preprocessing.values()))).seen

    def part(self, split: str, source: str | None = None) -> pd.DataFrame:
        """Rows of the manifest for a split, of all sources or one."""
        rows = self.table[self.table["split"] == split]
        return rows if source is None else rows[rows["source"] == source]

    def trained_on(self, choose: splits.Choice) -> "Images":
        """The same with some of the training images alone: those that `choose` draws.

        Strata are source, class and generator; frames of a video are drawn together, as one.
        """
        rows = self.part("train")
        kept = splits.drawn(rows, ("source", "label", "generator"), _files(rows), choose)
        return replace(self, table=self.table.drop(index=rows.index[~kept]))

    def batches(self, rows: pd.DataFrame, device: torch.device) -> Batches:
        """Batches of these rows of the manifest. Raises `DetectorError` where there are none."""
        return Batches.of(rows, self.stores, device, self.size, self.normalisation)

    def fingerprint(self) -> str:
        """SHA-256, in hex, of what training sees: the training and validation images and their preprocessing.

        Files, labels, splits and order count; test images do not.
        """
        return identity.fingerprint(self.table, self.preprocessing)


def sequences(rows: pd.DataFrame, looks: int = 1) -> list[np.ndarray]:
    """Positions of the frames of each video, int, in the order of their numbers; an image is a sequence of one.

    `rows`: of the manifest, each with so many looks, which follow each other in what positions are of. A sequence
    is of one look at each frame, the same window of all. Videos and images come in the order of their first rows.
    """
    file, frame = pd.factorize(_files(rows))[0], rows["path"].map(number_of).to_numpy()
    order = np.lexsort((frame, file))
    parts = np.split(order, np.flatnonzero(np.diff(file[order])) + 1)
    found = [part for part in parts if len(part)]  # of no rows none
    return [own * looks + look for own in found for look in range(looks)]


def _files(rows: pd.DataFrame) -> "pd.Series[str]":
    return rows["source"] + "/" + rows["path"].map(file_of)
