"""Build left_out.csv: what the run does without for some of its networks, and why."""

import argparse
import json
from pathlib import Path

from detector.core import job, tabular
from detector.tables import left_out


def main(args: argparse.Namespace) -> None:
    tabular.write_csv(left_out.left_out(json.loads(args.found)), left_out.COLUMNS, args.output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--found", required=True, help="JSON: by architecture, what is left out, with the reason")
    parser.add_argument("--output", type=Path, required=True, help="CSV to write")
    job.run(main, parser)
