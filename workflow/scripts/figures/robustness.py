"""Accuracy of one run's branches on perturbed images, and what they lose beyond their reference."""

import argparse
from pathlib import Path

import pandas as pd

from detector.core import job
from detector.experiment.variants import BASELINE, COMBINED, DENSE_CONTROL
from detector.figures import drawing, robustness


def main(args: argparse.Namespace) -> None:
    table = pd.read_csv(args.table)
    table = table[(table["arch"] == args.arch) & (table["seed"] == args.seed) & (table["testset"] == COMBINED)]
    of = f"{args.arch}, seed {args.seed}, all test sets"
    heading = f"Accuracy on perturbed images: {of}"
    if table.empty:
        drawing.note(args.accuracy, heading, "there are no test images")
    else:
        robustness.robustness(args.accuracy, table, heading)
    compared = next((name for name in (DENSE_CONTROL, BASELINE) if (table["reference"] == name).any()), "")
    title = f"Does pruning make it more brittle? {of}"
    if not compared:
        drawing.note(args.extra, title, "there is nothing to compare")
    else:
        robustness.brittleness(args.extra, table[table["reference"] == compared], compared, title)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=Path, required=True, help="robustness.csv")
    parser.add_argument("--arch", required=True, help="the architecture to show")
    parser.add_argument("--seed", type=int, required=True, help="the seed to show")
    parser.add_argument("--accuracy", type=Path, required=True, help="figure to write (.svg)")
    parser.add_argument("--extra", type=Path, required=True, help="figure of the comparison to write (.svg)")
    job.run(main, parser)
