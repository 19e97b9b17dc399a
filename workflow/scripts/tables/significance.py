"""Build significance.csv: each branch compared with its references, with a verdict."""

import argparse
from pathlib import Path

from detector.core import job, tabular
from detector.stats import predictions
from detector.tables import significance


def main(args: argparse.Namespace) -> None:
    rows = significance.significance(predictions.read(args.variants, args.sets), args.margin, args.systems)
    tabular.write_csv(rows, significance.COLUMNS, args.output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variants", type=Path, nargs="+", required=True, help="folders of variants")
    parser.add_argument("--systems", nargs="*", default=[], help="architectures that are no network")
    parser.add_argument("--sets", nargs="+", required=True, help="sets of predictions, in the order of the rows")
    parser.add_argument("--margin", type=float, required=True, help="of equivalence, as a fraction of 1")
    parser.add_argument("--output", type=Path, required=True, help="CSV to write")
    job.run(main, parser)
