"""Build videos.csv: each variant on videos, judged by each frame, by one and by all frames."""

import argparse
from pathlib import Path

from detector.core import job, tabular
from detector.stats import predictions
from detector.tables import videos


def main(args: argparse.Namespace) -> None:
    rows = videos.videos(predictions.read(args.variants, args.sets, frames=True))
    tabular.write_csv(rows, videos.COLUMNS, args.output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variants", type=Path, nargs="+", required=True, help="folders of variants")
    parser.add_argument("--sets", nargs="+", required=True, help="sources with several frames of each video")
    parser.add_argument("--output", type=Path, required=True, help="CSV to write")
    job.run(main, parser)
