"""Accuracy against the share of weights removed, for each architecture and test set."""

import argparse
from pathlib import Path

import pandas as pd

from detector.core import job
from detector.figures import sparsity


def main(args: argparse.Namespace) -> None:
    sparsity.accuracy_by_sparsity(args.output, pd.read_csv(args.table))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=Path, required=True, help="final_accuracy.csv")
    parser.add_argument("--output", type=Path, required=True, help="figure to write (.svg)")
    job.run(main, parser)
