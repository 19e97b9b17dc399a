"""Accuracy against file size and against latency: what each file of one run gives for what it costs."""

import argparse
from pathlib import Path

import pandas as pd

from detector.core import job
from detector.core.errors import DetectorError
from detector.figures import deployment


def main(args: argparse.Namespace) -> None:
    table = pd.read_csv(args.table)
    run = table[(table["arch"] == args.arch) & (table["seed"] == args.seed) & (table["batch"] == args.batch)]
    if run.empty:
        raise DetectorError(f"{args.table}: no row of {args.arch}, seed {args.seed}, batch {args.batch}")
    deployment.deployment(args.output, run)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=Path, required=True, help="deployment.csv")
    parser.add_argument("--arch", required=True, help="the architecture to show")
    parser.add_argument("--seed", type=int, required=True, help="the seed to show")
    parser.add_argument("--batch", type=int, required=True, help="the batch size to show")
    parser.add_argument("--output", type=Path, required=True, help="figure to write (.svg)")
    job.run(main, parser)
