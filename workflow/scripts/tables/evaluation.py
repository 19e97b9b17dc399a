"""Build one of the tables of comparisons, metrics and generators from saved logits."""

import argparse
from pathlib import Path

from detector.core import job, tabular
from detector.core.files import read_json
from detector.experiment.variants import Variant
from detector.tables import ablation, generators, metrics, significance

BUILDERS = {
    "significance": (
        lambda found, args: significance.significance(found, args.margin),
        significance.SIGNIFICANCE_COLUMNS,
    ),
    "ablation": (
        lambda found, args: ablation.ablation(
            found, {Variant.of(folder): read_json(folder / "meta.json") for folder in args.inputs}, args.margin
        ),
        ablation.ABLATION_COLUMNS,
    ),
    "metrics": (lambda found, args: metrics.metrics(found), metrics.METRICS_COLUMNS),
    "per_generator": (
        lambda found, args: generators.per_generator(found, args.hold_out),
        generators.PER_GENERATOR_COLUMNS,
    ),
}


def main(args: argparse.Namespace) -> None:
    found = {
        Variant.of(folder): {
            name: tabular.read_parquet(folder / "predictions" / f"{name}.parquet") for name in args.sets
        }
        for folder in args.inputs
    }
    build, columns = BUILDERS[args.table]
    tabular.write_csv(build(found, args), columns, args.output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", choices=list(BUILDERS), help="which table")
    parser.add_argument("--inputs", type=Path, nargs="+", required=True, help="folders of variants")
    parser.add_argument("--sets", nargs="+", required=True, help="sets of predictions, in the order of the rows")
    parser.add_argument("--margin", type=float, help="of equivalence, as a fraction of 1")
    parser.add_argument("--hold-out", nargs="*", default=[], help="generators that were kept from training")
    parser.add_argument("--output", type=Path, required=True, help="CSV to write")
    job.run(main, parser)
