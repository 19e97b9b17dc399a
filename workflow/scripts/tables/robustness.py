"""Build robustness.csv: what perturbed images cost each branch."""

import argparse
import json
from pathlib import Path

from detector.core import job, parquet, tabular
from detector.data.records import file_of
from detector.stats.predictions import load
from detector.tables import robustness


def main(args: argparse.Namespace) -> None:
    runs = {run(path): load(path) for path in args.inputs}
    images = parquet.read(args.manifest)
    tested = images[images["split"] == "test"]
    sizes = tested.assign(path=tested["path"].map(file_of)).groupby("source")["path"].nunique().to_dict()
    rows = robustness.robustness(runs, dict(json.loads(args.perturbations)), args.margin, sizes, args.systems)
    tabular.write_csv(rows, robustness.COLUMNS, args.output)


def run(path: Path) -> tuple[str, int]:
    """Architecture and seed of a file in runs/{arch}/seed{seed}/."""
    arch, seed = path.parts[-3:-1]
    return arch, int(seed.removeprefix("seed"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=Path, nargs="+", required=True, help="perturbed.parquet of each run")
    parser.add_argument("--systems", nargs="*", default=[], help="architectures that are no network")
    parser.add_argument(
        "--manifest", type=Path, required=True, help="manifest.parquet: how many test images there are"
    )
    parser.add_argument("--perturbations", required=True, help="JSON: pairs of name and steps")
    parser.add_argument("--margin", type=float, required=True, help="of equivalence, as a fraction of 1")
    parser.add_argument("--output", type=Path, required=True, help="CSV to write")
    job.run(main, parser)
