"""Build search_luck.csv: the best of each search by the number of its trials, and in any other order."""

import argparse
from pathlib import Path

import pandas as pd

from detector.core import job, tabular
from detector.experiment.variants import Variant
from detector.tables import search_luck


def main(args: argparse.Namespace) -> None:
    searches = {Variant.searched(path.parent): pd.read_csv(path) for path in args.trials}
    rows = search_luck.search_luck(searches, args.margin, args.selected_by)
    tabular.write_csv(rows, search_luck.COLUMNS, args.output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=Path, nargs="+", required=True, help="trials.csv of each search")
    parser.add_argument("--margin", type=float, required=True, help="difference that matters, as a fraction of 1")
    parser.add_argument("--selected-by", required=True, help="what the score of trials is, such as accuracy")
    parser.add_argument("--output", type=Path, required=True, help="CSV to write")
    job.run(main, parser)
