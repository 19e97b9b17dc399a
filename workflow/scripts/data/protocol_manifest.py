"""Write the manifest of one network of a protocol: that of the plain run, less what this network never sees."""

import argparse
import logging

from detector.core import job, parquet
from detector.data import manifest, periods


def main(args: argparse.Namespace) -> None:
    plain = parquet.read(args.plain)
    if args.until:
        dates = periods.of_images(plain, {name: parquet.read(path) for name, path in args.scans})
        table = manifest.until(plain, dates, args.until)
    else:
        table = manifest.without(plain, args.generator)
    parquet.write(table, args.manifest)
    logging.info("%d images: %s", len(table), table["split"].value_counts().to_dict())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plain", required=True, help="parquet of the plain run")
    kept_out = parser.add_mutually_exclusive_group(required=True)
    kept_out.add_argument("--generator", help="kept from training and validation")
    kept_out.add_argument("--until", help="day from which on images are kept from training and validation")
    parser.add_argument("--scans", type=job.pair, nargs="*", default=[], help="SOURCE=scan.parquet, with dates")
    parser.add_argument("--manifest", required=True, help="parquet to write")
    job.run(main, parser)
