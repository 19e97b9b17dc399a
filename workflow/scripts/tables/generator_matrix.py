"""Build generator_matrix.csv: networks trained without one generator, on the fakes of each."""

import argparse
import json
from pathlib import Path

from detector.core import job, tabular
from detector.stats import predictions
from detector.tables import generator_matrix


def main(args: argparse.Namespace) -> None:
    networks = {
        generator: predictions.read(map(Path, folders), args.sets)
        for generator, folders in json.loads(args.networks).items()
    }
    rows = generator_matrix.generator_matrix(networks, args.hold_out)
    tabular.write_csv(rows, generator_matrix.COLUMNS, args.output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--networks",
        required=True,
        help="JSON: folders of variants by what they were trained without; '' is nothing",
    )
    parser.add_argument("--sets", nargs="+", required=True, help="sets of predictions, the test sets")
    parser.add_argument("--hold-out", nargs="*", default=[], help="generators that no network was trained with")
    parser.add_argument("--output", type=Path, required=True, help="CSV to write")
    job.run(main, parser)
