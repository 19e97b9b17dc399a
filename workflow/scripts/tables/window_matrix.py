"""Build window_matrix.csv: networks trained up to a day, on the images of each window of time."""

import argparse
import json
from pathlib import Path

from detector.core import job, parquet, tabular
from detector.stats import predictions
from detector.tables import window_matrix


def main(args: argparse.Namespace) -> None:
    networks = {
        edge: predictions.read(map(Path, folders), args.sets)
        for edge, folders in json.loads(args.networks).items()
    }
    scans = {name: parquet.read(path) for name, path in args.scans}
    rows = window_matrix.window_matrix(networks, scans, args.edges)
    tabular.write_csv(rows, window_matrix.COLUMNS, args.output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--networks", required=True, help="JSON: folders of variants by the day they were trained up to; '' is all"
    )
    parser.add_argument("--sets", nargs="+", required=True, help="sets of predictions, the test sets")
    parser.add_argument("--scans", type=job.pair, nargs="+", required=True, help="SOURCE=scan.parquet, with dates")
    parser.add_argument("--edges", nargs="+", required=True, help="days that time is cut at, ascending")
    parser.add_argument("--output", type=Path, required=True, help="CSV to write")
    job.run(main, parser)
