"""What the search of each branch tried, and what it chose."""

import argparse
from pathlib import Path

import pandas as pd

from detector.core import job
from detector.figures import search


def main(args: argparse.Namespace) -> None:
    tables = {branch: pd.read_csv(path) for branch, path in args.trials}
    search.search_trials(args.output, tables, f"Search: {args.title}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--trials",
        type=job.pair,
        nargs="+",
        required=True,
        metavar="BRANCH=FILE",
        help="trials.csv of each branch, in the order of the panels",
    )
    parser.add_argument("--title", required=True, help="which models (and images) these are")
    parser.add_argument("--output", type=Path, required=True, help="figure to write (.svg)")
    job.run(main, parser)
