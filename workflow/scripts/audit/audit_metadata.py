"""What metadata alone reach on each test set, beside what the detectors do."""

import argparse
from pathlib import Path

import pandas as pd

from detector.audit import shortcuts
from detector.core import job, tabular
from detector.experiment import variants


def main(args: argparse.Namespace) -> None:
    shown = (variants.BASELINE, variants.DENSE_CONTROL)
    rows = shortcuts.beside(tabular.read_parquet(args.shortcuts), pd.read_csv(args.metrics), shown)
    tabular.write_csv(rows, shortcuts.TABLE_COLUMNS, args.output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shortcuts", type=Path, required=True, help="parquet: what metadata alone reach")
    parser.add_argument("--metrics", type=Path, required=True, help="metrics.csv")
    parser.add_argument("--output", type=Path, required=True, help="CSV to write")
    job.run(main, parser)
