"""Build metrics.csv: metrics of each variant on each test set, at two thresholds."""

import argparse
from pathlib import Path

from detector.core import job, tabular
from detector.stats import predictions
from detector.tables import metrics


def main(args: argparse.Namespace) -> None:
    rows = metrics.metrics(predictions.read(args.variants, args.sets))
    tabular.write_csv(rows, metrics.columns(), args.output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variants", type=Path, nargs="+", required=True, help="folders of variants")
    parser.add_argument("--sets", nargs="+", required=True, help="sets of predictions, in the order of the rows")
    parser.add_argument("--output", type=Path, required=True, help="CSV to write")
    job.run(main, parser)
