"""Write the manifest that later stages read: the splits, with or without the leaks, as the config says."""

import argparse
import logging

from detector.audit import policy
from detector.core import job, parquet
from detector.core.files import read_json
from detector.data import manifest


def main(args: argparse.Namespace) -> None:
    found = parquet.read(args.leaks), read_json(args.verdicts)
    table = policy.settle(parquet.read(args.splits), *found, args.on_leak)
    manifest.require_parts(table)
    parquet.write(table, args.manifest)
    logging.info("%d images: %s", len(table), table["split"].value_counts().to_dict())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--splits", required=True, help="parquet of all images with their splits")
    parser.add_argument("--leaks", required=True, help="parquet of the audit: images that leak")
    parser.add_argument("--verdicts", required=True, help="JSON of the audit: what was found, in words")
    parser.add_argument("--on-leak", choices=["fail", "drop", "warn"], required=True, help="what a leak does")
    parser.add_argument("--manifest", required=True, help="parquet to write")
    job.run(main, parser)
