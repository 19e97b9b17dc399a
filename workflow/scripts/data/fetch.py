"""Keep the copy of a root in object storage that Snakemake made, once it is whole."""

import argparse
import json
from pathlib import Path

from detector.core import job
from detector.data import remote


def main(args: argparse.Namespace) -> None:
    expected = {path: size for path, (size, _) in json.loads(args.listing.read_text()).items()}
    remote.keep(args.copy, expected, args.files, args.done)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--copy", type=Path, required=True, help="folder that Snakemake copied the root to")
    parser.add_argument("--listing", type=Path, required=True, help="JSON: what the storage said is there")
    parser.add_argument("--files", type=Path, required=True, help="folder to keep the files in")
    parser.add_argument("--done", type=Path, required=True, help="JSON to write: their sizes")
    job.run(main, parser)
