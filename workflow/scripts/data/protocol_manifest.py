"""Write the manifest of one network of a protocol: that of the plain run, less what this network never sees."""

import argparse
import logging

from detector.core import job, parquet
from detector.data import manifest


def main(args: argparse.Namespace) -> None:
    table = manifest.without(parquet.read(args.plain), args.generator)
    parquet.write(table, args.manifest)
    logging.info("%d images: %s", len(table), table["split"].value_counts().to_dict())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plain", required=True, help="parquet of the plain run")
    parser.add_argument("--generator", required=True, help="kept from training and validation")
    parser.add_argument("--manifest", required=True, help="parquet to write")
    job.run(main, parser)
