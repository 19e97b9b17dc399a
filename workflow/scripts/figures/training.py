"""Loss and accuracy of each branch, epoch by epoch."""

import argparse
from pathlib import Path

import pandas as pd

from detector.core import job
from detector.core.files import read_json
from detector.figures import training


def main(args: argparse.Namespace) -> None:
    tables = {branch: pd.read_csv(path) for branch, path in args.history}
    kept = {branch: read_json(Path(path).with_name("meta.json"))["best_epoch"] for branch, path in args.history}
    training.training_curves(args.output, tables, kept, f"Training: {args.title}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--history",
        type=job.pair,
        nargs="+",
        required=True,
        metavar="BRANCH=FILE",
        help="history.csv of each branch, beside its meta.json, in the order of the panels",
    )
    parser.add_argument("--title", required=True, help="which models (and images) these are")
    parser.add_argument("--output", type=Path, required=True, help="figure to write (.svg)")
    job.run(main, parser)
