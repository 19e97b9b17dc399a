"""Build looks.csv: several looks at each image against one, in accuracy and in milliseconds."""

import argparse
from pathlib import Path

import pandas as pd

from detector.core import job, tabular
from detector.experiment.variants import Variant
from detector.stats import predictions
from detector.tables import looks


def main(args: argparse.Namespace) -> None:
    latencies = {Variant.of(path).run: pd.read_csv(path) for path in args.latencies}
    rows = looks.looks(predictions.read(args.variants, args.sets), latencies)
    tabular.write_csv(rows, looks.COLUMNS, args.output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variants", type=Path, nargs="+", required=True, help="folders of variants")
    parser.add_argument("--sets", nargs="+", required=True, help="sets of predictions, the validation set first")
    parser.add_argument("--latencies", type=Path, nargs="+", required=True, help="latency.csv of each run")
    parser.add_argument("--output", type=Path, required=True, help="CSV to write")
    job.run(main, parser)
