"""dataset_composition.csv, Table 1: images of each source, split and class, beside the study's counts."""

from collections.abc import Mapping

import pandas as pd

from detector.core.labels import FAKE, REAL, SPLIT_NAMES
from detector.experiment.variants import COMBINED

COLUMNS = (
    *("source", "strategy", "split", "real", "fake", "total"),
    *("paper_real", "paper_fake", "paper_total"),
)


def dataset_composition(manifest: pd.DataFrame, strategies: Mapping[str, str], paper: Mapping) -> list[dict]:
    """Rows of Table 1: images of each source and split, and a `combined` row per split.

    `manifest`: columns source, split, label; `strategies`: how each source was split.
    """
    rows = []
    for source in (*strategies, COMBINED):
        chosen = manifest if source == COMBINED else manifest[manifest["source"] == source]
        for split in SPLIT_NAMES:
            label = chosen.loc[chosen["split"] == split, "label"]
            real, fake = int((label == REAL).sum()), int((label == FAKE).sum())
            theirs = paper["composition"].get(source, {}).get(split)
            rows.append(
                {
                    "source": source,
                    "strategy": strategies.get(source, ""),
                    "split": split,
                    "real": real,
                    "fake": fake,
                    "total": real + fake,
                    "paper_real": theirs and theirs[0],
                    "paper_fake": theirs and theirs[1],
                    "paper_total": theirs and sum(theirs),
                }
            )
    return rows
