"""Build ablation.csv: each branch's gain over the baseline, split into its parts."""

import argparse
from pathlib import Path

from detector.core import job, tabular
from detector.core.files import read_json
from detector.experiment.variants import Variant
from detector.stats import predictions
from detector.tables import ablation


def main(args: argparse.Namespace) -> None:
    metas = {Variant.of(folder): read_json(folder / "meta.json") for folder in args.variants}
    rows = ablation.ablation(predictions.read(args.variants, args.sets), metas, args.margin)
    tabular.write_csv(rows, ablation.COLUMNS, args.output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variants", type=Path, nargs="+", required=True, help="folders of variants")
    parser.add_argument("--sets", nargs="+", required=True, help="sets of predictions, in the order of the rows")
    parser.add_argument("--margin", type=float, required=True, help="of equivalence, as a fraction of 1")
    parser.add_argument("--output", type=Path, required=True, help="CSV to write")
    job.run(main, parser)
