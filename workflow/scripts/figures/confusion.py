"""Confusion matrices of all branches on one test set, side by side (the study's Fig 5)."""

import argparse
from pathlib import Path

import pandas as pd

from detector.core import job
from detector.figures import confusion
from detector.stats import predictions


def main(args: argparse.Namespace) -> None:
    found = {branch: pd.read_parquet(path) for branch, path in args.predictions}
    predictions.check({branch: {args.title: table} for branch, table in found.items()})
    shown = {branch: (table["label"].to_numpy(), table["logit"].to_numpy()) for branch, table in found.items()}
    confusion.confusion_matrices(args.output, shown, f"Confusion matrices: {args.title}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--predictions",
        type=job.pair,
        nargs="+",
        required=True,
        metavar="BRANCH=FILE",
        help="predictions of each branch (parquet), in the order of the panels",
    )
    parser.add_argument("--title", required=True, help="which models (and images) these are")
    parser.add_argument("--output", type=Path, required=True, help="figure to write (.svg)")
    job.run(main, parser)
