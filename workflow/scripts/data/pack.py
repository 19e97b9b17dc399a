"""Decode and resize the images of one data set, once, into a packed store."""

import argparse
import json
from pathlib import Path

import pandas as pd

from detector.core import dependencies, job, parquet
from detector.data import packing
from detector.imaging.preprocessing import Preprocessing


def main(args: argparse.Namespace) -> None:
    packing.pack(
        parquet.read(args.scan),
        args.root,
        Preprocessing.of(json.loads(args.how)),
        args.images,
        args.index,
        args.bad,
        args.state,
        workers=args.workers,
        max_bad=args.max_bad,
        pairs=args.pairs,
        meta={"libraries": dependencies.versions(dependencies.packages(__file__))},
        key=dependencies.key(__file__),
        accepted=None if args.accepted is None else set(pd.read_csv(args.accepted)["path"]),
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scan", type=Path, required=True, help="the source's scan")
    parser.add_argument("--root", type=Path, required=True, help="folder of the data set")
    parser.add_argument("--pairs", nargs="?", help="folder of photographs that join its test set, or nothing")
    parser.add_argument("--how", required=True, help="JSON: size, crops and the like, see images.Preprocessing")
    parser.add_argument("--max-bad", type=int, required=True, help="unreadable files tolerated")
    parser.add_argument("--workers", type=int, default=1, help="processes that decode")
    parser.add_argument("--state", type=Path, required=True, help="folder of the resume state")
    parser.add_argument("--images", type=Path, required=True, help=".npy to write")
    parser.add_argument("--index", type=Path, required=True, help="its .json index to write")
    parser.add_argument("--bad", type=Path, required=True, help="CSV of unreadable files to write")
    parser.add_argument(
        "--accepted", nargs="?", help="such a CSV, beyond which no file may be unreadable, or nothing"
    )
    job.run(main, parser)
