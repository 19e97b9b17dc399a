"""ROC curves of all branches of a run, a figure for each test set, and reliability diagrams on all test images."""

import argparse
from pathlib import Path

from detector.core import job, tabular
from detector.experiment.variants import VALID
from detector.figures import calibration, ranking
from detector.stats import predictions
from detector.stats.predictions import with_combined


def main(args: argparse.Namespace) -> None:
    read = {
        branch: {name: tabular.read_parquet(Path(folder) / f"{name}.parquet") for name in args.sets}
        for branch, folder in args.predictions
    }
    predictions.check({f"{args.title}, {branch}": sets for branch, sets in read.items()})
    found = {
        branch: {
            name: (table["label"].to_numpy(), table["logit"].to_numpy())
            for name, table in with_combined(sets).items()
        }
        for branch, sets in read.items()
    }
    for name, path in args.roc:
        title = f"ROC curves: {args.title}, " + (
            "all test images" if name == "combined" else f"test images of {name}"
        )
        ranking.roc_curves(path, {branch: sets[name] for branch, sets in found.items()}, title)
    calibration.reliability_diagrams(
        args.reliability,
        {branch: (sets[VALID], sets["combined"]) for branch, sets in found.items()},
        f"Reliability: {args.title}, all test images",
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--predictions",
        type=job.pair,
        nargs="+",
        required=True,
        metavar="BRANCH=FOLDER",
        help="folder of predictions of each branch, in the order of the panels",
    )
    parser.add_argument("--sets", nargs="+", required=True, help="sets of predictions, valid among them")
    parser.add_argument(
        "--roc",
        type=job.pair,
        nargs="+",
        required=True,
        metavar="SET=FILE",
        help="figures of ROC curves to write (.svg), each of a test set or of `combined`",
    )
    parser.add_argument("--reliability", type=Path, required=True, help="figure to write (.svg)")
    parser.add_argument("--title", required=True, help="which models these are")
    job.run(main, parser)
