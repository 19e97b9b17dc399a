"""Build dataset_composition.csv: images of each source, split and class."""

import argparse
from pathlib import Path

import yaml

from detector.core import job, parquet, tabular
from detector.tables import dataset_composition


def main(args: argparse.Namespace) -> None:
    paper = yaml.safe_load(args.paper.read_text())
    rows = dataset_composition.dataset_composition(parquet.read(args.manifest), dict(args.strategies), paper)
    tabular.write_csv(rows, dataset_composition.COLUMNS, args.output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--manifest", type=Path, required=True, help="manifest.parquet")
    parser.add_argument(
        "--strategies",
        type=job.pair,
        nargs="+",
        required=True,
        metavar="SOURCE=STRATEGY",
        help="how each was split",
    )
    parser.add_argument("--paper", type=Path, required=True, help="the study's own numbers (YAML)")
    parser.add_argument("--output", type=Path, required=True, help="CSV to write")
    job.run(main, parser)
