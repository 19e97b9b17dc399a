"""Build deployment.csv: size, latency and accuracy of all files of all variants."""

import argparse
from pathlib import Path

import pandas as pd

from detector.core import job, tabular
from detector.core.files import read_json
from detector.experiment.formats import TRAINED
from detector.experiment.variants import Variant
from detector.stats.predictions import load
from detector.tables import deployment


def main(args: argparse.Namespace) -> None:
    variants = {Variant.of(folder): folder for folder in args.variants}
    latencies = {Variant.of(path).run: pd.read_csv(path) for path in args.latencies}
    rows = deployment.deployment(
        {variant: read_json(folder / "export.json") for variant, folder in variants.items()},
        variants,
        {
            **{Variant.of(folder): predictions(folder, args.sets) for folder in args.controls},
            **{
                variant: predictions(folder, args.sets, latencies[variant.run])
                for variant, folder in variants.items()
            },
        },
        latencies,
    )
    tabular.write_csv(rows, deployment.COLUMNS, args.output)


def predictions(folder: Path, sets: list[str], timed: pd.DataFrame | None = None) -> dict[str, pd.DataFrame]:
    """The test images of all sets together, by RUNTIME/FORMAT: of the trained model, of each file in `timed`."""
    trained = f"torch/{TRAINED}"
    rows = [] if timed is None else timed.itertuples()
    found = [f"{row.runtime}/{row.format}-{row.precision}" for row in rows]
    places = {trained: "predictions", **{place: f"exported/{place}" for place in found if place != trained}}
    return {
        place: pd.concat([load(folder / path / f"{testset}.parquet") for testset in sets])
        for place, path in places.items()
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variants", type=Path, nargs="+", required=True, help="folders of exported variants")
    parser.add_argument("--controls", type=Path, nargs="*", default=[], help="folders of dense controls")
    parser.add_argument("--sets", nargs="+", required=True, help="test sets")
    parser.add_argument("--latencies", type=Path, nargs="+", required=True, help="CSV of each run")
    parser.add_argument("--output", type=Path, required=True, help="CSV to write")
    job.run(main, parser)
