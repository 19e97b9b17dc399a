"""Draw Grad-CAM sheets of one run: examples with maps of where the networks look, per branch and source."""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

from detector.core import job, parquet
from detector.core.labels import CLASSES
from detector.data.store import open_seen
from detector.experiment.left_out import HEAT_MAPS
from detector.figures import drawing, gradcam

KINDS = ("right", "wrong", "least certain")


def main(args: argparse.Namespace) -> None:
    maps = parquet.read(args.maps)
    stores = {folder.name: open_seen(folder) for folder in args.packs}
    for branch, path in args.sheets:
        name, source = branch.split(":")
        part = maps[(maps["branch"] == name) & (maps["source"] == source)]
        rows = {kind: examples(part[part["kind"] == kind], stores[source]) for kind in KINDS}
        title = f"What speaks for the call: {args.title}, {name}, test images of {source}"
        if {name, HEAT_MAPS} & set(args.left_out):
            drawing.note(path, title, "left out: tables/left_out.csv says why")
        elif part.empty:
            drawing.note(path, title, "there are no test images")
        else:
            gradcam.heat_maps(path, rows, title)


def examples(part: pd.DataFrame, store: np.ndarray) -> list[tuple[np.ndarray, np.ndarray, str]]:
    """Image, map and caption of each row."""
    return [
        (
            store[row.row],
            np.stack([np.asarray(line, np.float32) for line in row.map]),
            f"is {CLASSES[row.label]}, P(fake) {expit(-row.logit):.2f}",
        )
        for row in part.itertuples()
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--maps", type=Path, required=True, help="gradcam.parquet of the run")
    parser.add_argument("--packs", type=Path, nargs="+", required=True, help="folders of packed images")
    parser.add_argument("--title", required=True, help="the run, for the title")
    parser.add_argument("--left-out", nargs="*", default=[], help="what the run does without")
    parser.add_argument("--sheets", type=job.pair, nargs="+", required=True, help="BRANCH:SOURCE=figure (.png)")
    job.run(main, parser)
