"""Draw images of one source, a row of real ones and a row for each generator (the study's Figs 1-3)."""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from detector.core import job
from detector.core.errors import DetectorError
from detector.core.labels import REAL
from detector.data.store import open_seen
from detector.figures import samples

IMAGES = 8  # a row


def main(args: argparse.Namespace) -> None:
    table = pd.read_parquet(args.manifest)
    table = table[table["source"] == args.source]
    if table.empty:
        raise DetectorError(f"{args.manifest}: no image of source {args.source!r}")
    # What a model learns from is what to look at; a source may be there for testing alone.
    train = table[table["split"] == "train"]
    store = open_seen(args.pack)
    rows = {name: store[chosen] for name, chosen in choose(table if train.empty else train).items()}
    samples.sample_grid(args.output, rows, f"Images of {args.source}, as the model sees them")


def choose(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Rows of the packed store by title: real first, then the generators by name.

    Spread evenly over the sorted paths: neighbours are often one person. Where generators share their prompts
    (SynthBuster) each column shows one prompt.
    """
    table = table.sort_values("path")
    real = table["label"] == REAL
    title = ("fake: " + table["generator"]).where(table["generator"] != "", "fake").mask(real, "real")
    chosen = {}
    for name in sorted(title.unique(), key=lambda name: (name != "real", name)):
        rows = table.loc[title == name, "row"].to_numpy()
        places = np.linspace(0, len(rows) - 1, min(IMAGES, len(rows)))
        chosen[name] = rows[places.round().astype(int)]
    return chosen


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--manifest", type=Path, required=True, help="the manifest (parquet)")
    parser.add_argument("--pack", type=Path, required=True, help="packed images of the source: images.npy")
    parser.add_argument("--source", required=True, help="the source's name in the config")
    parser.add_argument("--output", type=Path, required=True, help="figure to write (.png)")
    job.run(main, parser)
