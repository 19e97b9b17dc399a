"""Build per_generator.csv: accuracy of each variant on the images of each generator."""

import argparse
from pathlib import Path

from detector.core import job, tabular
from detector.stats import predictions
from detector.tables import per_generator


def main(args: argparse.Namespace) -> None:
    rows = per_generator.per_generator(predictions.read(args.variants, args.sets), args.hold_out)
    tabular.write_csv(rows, per_generator.COLUMNS, args.output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variants", type=Path, nargs="+", required=True, help="folders of variants")
    parser.add_argument("--sets", nargs="+", required=True, help="sets of predictions, in the order of the rows")
    parser.add_argument("--hold-out", nargs="*", default=[], help="generators that were kept from training")
    parser.add_argument("--output", type=Path, required=True, help="CSV to write")
    job.run(main, parser)
