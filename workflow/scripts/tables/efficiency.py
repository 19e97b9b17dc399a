"""Build efficiency.csv: size and latency of each variant and system."""

import argparse
from pathlib import Path

import pandas as pd
import yaml

from detector.core import job, tabular
from detector.core.files import read_json
from detector.experiment.variants import Variant
from detector.tables import efficiency


def main(args: argparse.Namespace) -> None:
    models = {Variant.of(folder): folder / "model.safetensors" for folder in args.variants}
    systems: dict[Variant, list[Path]] = {}
    for folder, file in args.systems:
        systems.setdefault(Variant.of(folder), []).append(Path(file))
    folders = dict.fromkeys([*map(str, args.variants), *(folder for folder, _ in args.systems)])
    metas = {Variant.of(folder): read_json(Path(folder) / "meta.json") for folder in folders}
    latencies = {Variant.of(path).run: pd.read_csv(path) for path in args.latencies}
    paper = yaml.safe_load(args.paper.read_text())
    rows = efficiency.efficiency(models, metas, latencies, paper)
    rows += efficiency.of_systems(systems, metas, latencies)
    tabular.write_csv(rows, efficiency.COLUMNS, args.output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variants", type=Path, nargs="+", required=True, help="folders of variants")
    parser.add_argument(
        "--systems",
        type=job.pair,
        nargs="+",
        default=[],
        help="FOLDER=FILE: of systems, each file that the one of this folder is loaded from, a classifier's first",
    )
    parser.add_argument("--latencies", type=Path, nargs="+", required=True, help="latency.csv of each run")
    parser.add_argument("--paper", type=Path, required=True, help="the study's own numbers (YAML)")
    parser.add_argument("--output", type=Path, required=True, help="CSV to write")
    job.run(main, parser)
