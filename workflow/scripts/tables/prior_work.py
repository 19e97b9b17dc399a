"""Build prior_work.csv: accuracies that the study compares itself with, and this run's."""

import argparse
from pathlib import Path

import pandas as pd
import yaml

from detector.core import job, parquet, tabular
from detector.tables import prior_work


def main(args: argparse.Namespace) -> None:
    paper = yaml.safe_load(args.paper.read_text())
    rows = prior_work.prior_work(pd.read_csv(args.accuracy), parquet.read(args.manifest), paper)
    tabular.write_csv(rows, prior_work.COLUMNS, args.output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accuracy", type=Path, required=True, help="final_accuracy.csv")
    parser.add_argument("--manifest", type=Path, required=True, help="manifest.parquet")
    parser.add_argument("--paper", type=Path, required=True, help="the study's own numbers (YAML)")
    parser.add_argument("--output", type=Path, required=True, help="CSV to write")
    job.run(main, parser)
