"""Join the scans of all sources into one table: bad images removed, splits assigned."""

import argparse
import json
import logging

import pandas as pd

from detector.core import job, parquet
from detector.data import manifest


def main(args: argparse.Namespace) -> None:
    bad = {name: set(pd.read_csv(path)["path"]) for name, path in args.bad}
    table = manifest.build(
        {name: parquet.read(path) for name, path in args.scans},
        bad,
        json.loads(args.options),
        tuple(args.fractions),
        args.seed,
        args.hold_out,
    )
    parquet.write(table, args.splits)
    logging.info("%d images: %s", len(table), table["split"].value_counts().to_dict())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scans", type=job.pair, nargs="+", required=True, help="SOURCE=scan.parquet")
    parser.add_argument("--bad", type=job.pair, nargs="+", required=True, help="SOURCE=bad.csv")
    parser.add_argument("--options", required=True, help="JSON: type, split and limit by source")
    parser.add_argument("--fractions", type=float, nargs=3, required=True, help="train, validation, test")
    parser.add_argument("--seed", type=int, required=True, help="of the splits")
    parser.add_argument("--hold-out", nargs="*", default=[], help="generators kept from training and validation")
    parser.add_argument("--splits", required=True, help="parquet to write")
    job.run(main, parser)
