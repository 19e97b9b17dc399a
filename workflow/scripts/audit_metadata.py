"""What metadata alone reach on each test set, beside what the detectors do."""

import argparse
from pathlib import Path

import pandas as pd

from detector import entry, manifest, metadata, tables


def main(args: argparse.Namespace) -> None:
    shown = (tables.BASELINE, tables.DENSE_CONTROL)
    rows = metadata.beside(manifest.read(args.shortcuts), pd.read_csv(args.metrics), shown)
    tables.write(rows, metadata.TABLE_COLUMNS, args.output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shortcuts", type=Path, required=True, help="parquet: what metadata alone reach")
    parser.add_argument("--metrics", type=Path, required=True, help="metrics.csv")
    parser.add_argument("--output", type=Path, required=True, help="CSV to write")
    entry.run(main, parser)
