"""Build audit_metadata.csv: the AUC of metadata alone on each test set, beside the detectors'."""

import argparse
from pathlib import Path

import pandas as pd

from detector.core import job, parquet, tabular
from detector.tables import audit_metadata


def main(args: argparse.Namespace) -> None:
    rows = audit_metadata.audit_metadata(parquet.read(args.shortcuts), pd.read_csv(args.metrics))
    tabular.write_csv(rows, audit_metadata.COLUMNS, args.output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shortcuts", type=Path, required=True, help="parquet: what metadata alone reach")
    parser.add_argument("--metrics", type=Path, required=True, help="metrics.csv")
    parser.add_argument("--output", type=Path, required=True, help="CSV to write")
    job.run(main, parser)
