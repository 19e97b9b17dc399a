"""Build pareto.csv: the trials of searches for two goals, and how each becomes a branch."""

import argparse
import json
from pathlib import Path

import pandas as pd

from detector.core import job, tabular
from detector.experiment.variants import Variant
from detector.tables import pareto


def main(args: argparse.Namespace) -> None:
    searches = {Variant.of(path.parent).run: pd.read_csv(path) for path in args.trials}
    rows = pareto.pareto(searches, args.goal, json.loads(args.methods))
    tabular.write_csv(rows, pareto.COLUMNS, args.output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=Path, nargs="+", required=True, help="pareto/trials.csv of each run")
    parser.add_argument("--goal", required=True, help="name of the goal beside accuracy")
    parser.add_argument("--methods", required=True, help="JSON: prune.methods, shares of branches by method")
    parser.add_argument("--output", type=Path, required=True, help="CSV to write")
    job.run(main, parser)
