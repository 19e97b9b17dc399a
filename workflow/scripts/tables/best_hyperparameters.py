"""Build best_hyperparameters.csv: the settings that each search chose."""

import argparse
from pathlib import Path

import yaml

from detector.core import job, tabular
from detector.core.files import read_json
from detector.experiment.variants import Variant
from detector.tables import best_hyperparameters


def main(args: argparse.Namespace) -> None:
    searches = {Variant.searched(path.parent): read_json(path) for path in args.best}
    paper = yaml.safe_load(args.paper.read_text())
    rows = best_hyperparameters.best_hyperparameters(searches, paper)
    tabular.write_csv(rows, best_hyperparameters.columns(searches), args.output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--best", type=Path, nargs="+", required=True, help="best.json of each search")
    parser.add_argument("--paper", type=Path, required=True, help="the study's own numbers (YAML)")
    parser.add_argument("--output", type=Path, required=True, help="CSV to write")
    job.run(main, parser)
