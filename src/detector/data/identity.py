"""Identity of the data that a network was trained with, by which a bundle is known to be of a run."""

import hashlib
from collections.abc import Mapping

import pandas as pd


def fingerprint(table: pd.DataFrame, preprocessing: Mapping[str, Mapping]) -> str:
    """SHA-256, in hex, of the training and validation images of a manifest and the preprocessing of each source.

    Files, labels, splits and order count; test images do not.
    """
    seen = table.loc[table["split"] != "test", ["source", "path", "sha256", "frame", "label", "split"]]
    text = seen.to_csv(index=False) + repr(sorted(preprocessing.items()))
    return hashlib.sha256(text.encode()).hexdigest()
