"""Test whether metadata alone tell real from fake, and write the audit's verdicts, one line each."""

import argparse
import logging
from pathlib import Path

import pandas as pd

from detector.audit import shortcuts
from detector.core import job, parquet, tabular
from detector.core.files import read_json

COLUMNS = ("check", "source", "verdict", "sentence")


def main(args: argparse.Namespace) -> None:
    rows = shortcuts.shortcuts(parquet.read(args.splits), {name: parquet.read(path) for name, path in args.scans})
    parquet.write(pd.DataFrame(rows, columns=shortcuts.COLUMNS), args.shortcuts)
    verdicts = read_json(args.verdicts) + shortcuts.verdicts(rows)
    tabular.write_csv(verdicts, COLUMNS, args.output)
    bad = [row["sentence"] for row in verdicts if row["verdict"] in ("leak", "shortcut", "part")]
    logging.info("audit: %s", "; ".join(bad) or "no leak found, and metadata alone separate nothing")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--splits", required=True, help="parquet of all images with their splits")
    parser.add_argument("--scans", type=job.pair, nargs="+", required=True, help="SOURCE=scan.parquet")
    parser.add_argument("--verdicts", required=True, help="JSON: what was found about leaks, in words")
    parser.add_argument("--shortcuts", required=True, help="parquet to write: what metadata alone reach")
    parser.add_argument("--output", type=Path, required=True, help="CSV to write: the verdicts")
    job.run(main, parser)
