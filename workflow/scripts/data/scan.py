"""List one data set: labels, groups, image headers and hashes."""

import argparse
import json
import logging

from detector.core import job, parquet
from detector.data import scanning


def main(args: argparse.Namespace) -> None:
    options = json.loads(args.options)
    table = scanning.scan_source(
        args.source,
        options["type"],
        options["root"],
        options,
        workers=args.workers,
        max_pixels=args.max_pixels,
        max_bad=args.max_bad,
    )
    parquet.write(table, args.scan)
    logging.info("%s: %d files, %d unreadable", args.source, len(table), (table["error"] != "").sum())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", required=True, help="name of the source in the config")
    parser.add_argument("--options", required=True, help="its config section as JSON, with type and root")
    parser.add_argument("--max-pixels", type=int, required=True, help="larger images are refused")
    parser.add_argument("--max-bad", type=int, required=True, help="unreadable files tolerated")
    parser.add_argument("--workers", type=int, default=1, help="processes that read files")
    parser.add_argument("--scan", required=True, help="parquet to write")
    job.run(main, parser)
