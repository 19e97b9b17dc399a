"""Build final_accuracy.csv: the accuracy of each variant on each test set."""

import argparse
from pathlib import Path

import yaml

from detector.core import job, tabular
from detector.stats import predictions
from detector.tables import final_accuracy


def main(args: argparse.Namespace) -> None:
    paper = yaml.safe_load(args.paper.read_text())
    rows = final_accuracy.final_accuracy(predictions.read(args.variants, args.sets), paper)
    tabular.write_csv(rows, final_accuracy.COLUMNS, args.output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variants", type=Path, nargs="+", required=True, help="folders of variants")
    parser.add_argument("--sets", nargs="+", required=True, help="sets of predictions, in the order of the rows")
    parser.add_argument("--paper", type=Path, required=True, help="the study's own numbers (YAML)")
    parser.add_argument("--output", type=Path, required=True, help="CSV to write")
    job.run(main, parser)
