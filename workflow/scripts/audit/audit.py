"""Find images and groups that are in several splits. Fails at nothing that it finds."""

import argparse
import logging
from pathlib import Path

from detector.audit import leaks as leaks_module
from detector.audit.hashes import joined, of_store
from detector.core import job, parquet, tabular
from detector.core.files import read_json, write_json


def main(args: argparse.Namespace) -> None:
    splits = parquet.read(args.splits)
    packs = {read_json(folder / "images.json")["source"]: folder / "images.npy" for folder in args.packs}
    hashes = joined(
        [
            of_store(packs[source], chosen["row"].to_numpy(), args.workers, f"audit {source}")
            for source, chosen in splits.groupby("source", sort=False)  # the table is sorted by source
        ]
    )
    table, leaks, whole = leaks_module.duplicates(splits, hashes, args.near_duplicates)
    shared = leaks_module.groups(splits)
    verdicts = leaks_module.verdicts(splits, leaks, shared, whole)
    parquet.write(leaks, args.leaks)
    for found, path in ((table, args.duplicates), (shared, args.groups)):
        tabular.write_table(found, path)
    write_json(args.verdicts, verdicts)
    found = [row["sentence"] for row in verdicts if row["verdict"] == "leak"]
    logging.info("audit: %s", "; ".join(found) or "no leak found")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--splits", required=True, help="parquet of all images with their splits")
    parser.add_argument("--packs", type=Path, nargs="+", required=True, help="folders of packed images")
    parser.add_argument(
        "--near-duplicates", type=int, required=True, help="bits of 64 by which near copies differ"
    )
    parser.add_argument("--workers", type=int, default=1, help="processes that read pixels")
    parser.add_argument("--leaks", required=True, help="parquet to write: images to leave out, and their twins")
    parser.add_argument("--duplicates", type=Path, required=True, help="CSV to write: copies by split and class")
    parser.add_argument("--groups", type=Path, required=True, help="CSV to write: groups in several splits")
    parser.add_argument("--verdicts", required=True, help="JSON to write: what was found, in words")
    job.run(main, parser)
