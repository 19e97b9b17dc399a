"""Draw mean spectra of the real and of the fake images of each source."""

import argparse
from pathlib import Path

import pandas as pd

from detector.core import job
from detector.core.labels import FAKE, REAL
from detector.data import splits
from detector.data.store import open_seen
from detector.figures import drawing, spectrum
from detector.stats import spectra

IMAGES = 500  # a class and source, at most


def main(args: argparse.Namespace) -> None:
    table = pd.read_parquet(args.manifest)
    stores = {folder.name: open_seen(folder) for folder in args.packs}
    for source, path in args.figures:
        part = table[table["source"] == source]
        train = part[part["split"] == "train"]
        split, part = ("test", part) if train.empty else ("training", train)
        found = {}
        for name, label in (("real", REAL), ("fake", FAKE)):
            images = part[part["label"] == label]
            keys = splits.subset(list(images["generator"]), list(images["path"]), IMAGES, args.seed)
            if rows := images.loc[images["path"].isin(keys), "row"].tolist():
                found[name] = spectra.spectrum(stores[source], rows)
        title = f"Mean spectra of {source}, {split} images as the model sees them"
        if found:
            spectrum.mean_spectra(path, found, title)
        else:
            drawing.note(path, title, "there are no images")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--manifest", type=Path, required=True, help="the manifest (parquet)")
    parser.add_argument("--packs", type=Path, nargs="+", required=True, help="folders of packed images")
    parser.add_argument("--seed", type=int, required=True, help="of the draw of images")
    parser.add_argument("--figures", type=job.pair, nargs="+", required=True, help="SOURCE=figure to write")
    job.run(main, parser)
