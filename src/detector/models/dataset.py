"""Data set of a job: the manifest with the packed stores of its sources."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from detector.core import tabular
from detector.core.files import read_json
from detector.data.store import open_store, verify
from detector.models.batches import Batches


@dataclass(frozen=True)
class Images:
    """The manifest and the packed stores, by source."""

    table: pd.DataFrame
    stores: Mapping[str, np.ndarray]
    preprocessing: Mapping

    @classmethod
    def open(cls, manifest_file: Path, packs: Sequence[Path]) -> "Images":
        """`packs`: a folder for each source, holding images.npy and images.json.

        Raises `DetectorError` where a store is not what its index says. The first job on a store reads every byte
        for that, a second for each GiB or two.
        """
        stores, preprocessing = {}, {}
        for folder in map(Path, packs):
            verify(folder / "images.npy", folder / "images.json")
            index = read_json(folder / "images.json")
            stores[index["source"]] = open_store(folder / "images.npy", folder / "images.json")
            preprocessing[index["source"]] = index["preprocessing"]
        return cls(tabular.read_parquet(manifest_file), stores, preprocessing)

    @property
    def size(self) -> int:
        """Side of the packed images in pixels."""
        return next(iter(self.stores.values())).shape[1]

    def part(self, split: str, source: str | None = None) -> pd.DataFrame:
        """The manifest's rows of a split, of all sources or one."""
        rows = self.table[self.table["split"] == split]
        return rows if source is None else rows[rows["source"] == source]

    def batches(self, rows: pd.DataFrame, device: torch.device) -> Batches:
        return Batches.of(rows, self.stores, device)

    def fingerprint(self) -> str:
        """Of what training sees: files, labels and order of the training and validation images, and how their
        pixels were made. Test images have no part in it."""
        seen = self.table.loc[
            self.table["split"] != "test", ["source", "path", "sha256", "frame", "label", "split"]
        ]
        text = seen.to_csv(index=False) + repr(sorted(self.preprocessing.items()))
        return hashlib.sha256(text.encode()).hexdigest()
