"""Build one of the study's tables from result files."""

import argparse
import json
from pathlib import Path

import pandas as pd
import yaml

from detector.core import job, tabular
from detector.core.files import read_json
from detector.experiment.variants import Variant
from detector.tables import efficiency as efficiency_table
from detector.tables import study


def main(args: argparse.Namespace) -> None:
    paper = yaml.safe_load(args.paper.read_text())
    rows, columns = BUILDERS[args.table](args, paper)
    tabular.write_csv(rows, columns, args.output)


def composition(args: argparse.Namespace, paper: dict) -> tuple:
    strategies = json.loads(args.strategies)
    rows = study.composition(
        tabular.read_parquet(args.inputs[0]), {name: strategies[name] for name in args.sets}, paper
    )
    return rows, study.COMPOSITION_COLUMNS


def baseline(args: argparse.Namespace, paper: dict) -> tuple:
    return study.baseline_performance(predictions(args), paper), study.BASELINE_COLUMNS


def hyperparameters(args: argparse.Namespace, paper: dict) -> tuple:
    searches = {Variant.of(path.parent.parent): read_json(path) for path in args.inputs}
    return study.best_hyperparameters(searches, paper), study.HYPERPARAMETER_COLUMNS


def accuracy(args: argparse.Namespace, paper: dict) -> tuple:
    return study.final_accuracy(predictions(args), paper), study.ACCURACY_COLUMNS


def efficiency(args: argparse.Namespace, paper: dict) -> tuple:
    latencies = {Variant.of(path).run: pd.read_csv(path) for path in args.latencies}
    models = {Variant.of(path.parent): path for path in args.inputs}
    metas = {variant: read_json(path.with_name("meta.json")) for variant, path in models.items()}
    return efficiency_table.efficiency(models, metas, latencies, paper), efficiency_table.EFFICIENCY_COLUMNS


def prior(args: argparse.Namespace, paper: dict) -> tuple:
    accuracy_file, manifest_file = args.inputs
    rows = study.prior_work(pd.read_csv(accuracy_file), tabular.read_parquet(manifest_file), paper)
    return rows, study.PRIOR_WORK_COLUMNS


BUILDERS = {
    "dataset_composition": composition,
    "baseline_performance": baseline,
    "best_hyperparameters": hyperparameters,
    "final_accuracy": accuracy,
    "efficiency": efficiency,
    "prior_work": prior,
}


def predictions(args: argparse.Namespace) -> dict[Variant, dict[str, pd.DataFrame]]:
    """The predictions of each variant's folder on each of `--sets`."""
    return {
        Variant.of(folder): {
            name: tabular.read_parquet(folder / "predictions" / f"{name}.parquet") for name in args.sets
        }
        for folder in args.inputs
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", choices=list(BUILDERS), help="which table")
    parser.add_argument("--inputs", type=Path, nargs="+", required=True, help="files or folders of variants")
    parser.add_argument("--sets", nargs="+", help="in order: the sources, or the sets of predictions")
    parser.add_argument("--strategies", help="JSON: how each source was split")
    parser.add_argument("--latencies", type=Path, nargs="+", help="latency.csv of each architecture and seed")
    parser.add_argument("--paper", type=Path, required=True, help="the study's own numbers")
    parser.add_argument("--output", type=Path, required=True, help="CSV to write")
    job.run(main, parser)
