"""Training on degraded images, with and without: two finished runs that differ in `train.augment` alone.

For each perturbation: accuracy of both, the points that the degraded training recovered, and which share of the
loss of the other training that is. Then what it costs on images as they are, and how many verdicts of `detector
predict` turn once a picture is made smaller or saved again. Intervals at 95 % are over other training runs and
other images (`detector.stats.crossed_effects`), paired by seed and image.
"""

import argparse
import csv
import io
import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from detector.core import parquet, tabular
from detector.experiment.variants import BASELINE
from detector.imaging.perturbations import CLEAN
from detector.stats import crossed_effects
from detector.stats.predictions import require_same_images, right

NOT_PERTURBATIONS = ("branch", "source", "path", "generator", "group", "label")
TURNED = "not once it is"  # what `detector predict` says of a verdict that a small change turns


def of_runs(results: Path, branch: str) -> dict[str, pd.DataFrame]:
    """Logits of a branch on perturbed images, by run (architecture and seed)."""
    found = {}
    for path in sorted(results.glob("runs/*/seed*/perturbed.parquet")):
        rows = parquet.read(path)
        found["/".join(path.parts[-3:-1])] = rows[rows["branch"] == branch].reset_index(drop=True)
    return found


def paired(plain: dict[str, pd.DataFrame], robust: dict[str, pd.DataFrame], name: str) -> list[np.ndarray]:
    """Which images each training has right under a perturbation: two bool arrays (seeds, images)."""
    return [np.stack([right(side[run], name) for run in plain]) for side in (plain, robust)]


def compare(plain: dict[str, pd.DataFrame], robust: dict[str, pd.DataFrame]) -> list[dict]:
    """Rows of the table, of the runs that both have: one for the images as they are, one for each perturbation."""
    both = [run for run in plain if run in robust]
    if not both:
        sys.exit(f"no run is in both: {', '.join(plain) or 'none'} against {', '.join(robust) or 'none'}")
    for run in set(plain) ^ set(robust):
        print(f"{run}: left out, it is in one alone", file=sys.stderr)
    plain, robust = ({run: side[run] for run in both} for side in (plain, robust))
    for run in plain:
        require_same_images(plain[run], f"{run}, plain", robust[run], f"{run}, degraded")
    names = [name for name in next(iter(plain.values())).columns if name not in NOT_PERTURBATIONS]
    rows = []
    before = paired(plain, robust, CLEAN)[0].mean()
    for name in names:
        without, with_ = paired(plain, robust, name)
        difference = with_.astype(np.int64) - without
        low, high = (crossed_effects.over_both if len(plain) > 1 else crossed_effects.over_images)(difference)
        lost = before - without.mean()
        rows.append(
            {
                "perturbation": name,
                "seeds": len(plain),
                "images": without.shape[1],
                "accuracy_without": without.mean(),
                "accuracy_with": with_.mean(),
                "difference": difference.mean(),
                "difference_low": low,
                "difference_high": high,
                "lost_without": lost,
                "recovered_share": difference.mean() / lost if name != CLEAN and lost > 0 else math.nan,
            }
        )
    return rows


def turned(model: Path, images: Sequence[Path]) -> tuple[int, int]:
    """How many verdicts of a bundle on these images a small change turns, and how many images there are."""
    program = [sys.executable, "-m", "detector.cli.main", "predict", "-", "--model", str(model), "--format", "csv"]
    asked = subprocess.run(
        program, input="\n".join(map(str, images)), stdout=subprocess.PIPE, text=True, check=True
    )
    rows = list(csv.DictReader(io.StringIO(asked.stdout)))
    return sum(any(TURNED in (value or "") for value in row.values()) for row in rows), len(rows)


def main() -> None:
    """Print the comparison, and write it as CSV where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plain", type=Path, help="results of the run without train.augment")
    parser.add_argument("robust", type=Path, help="results of the run with it")
    parser.add_argument("--branch", default=BASELINE)
    parser.add_argument("--verdicts", type=Path, nargs="*", default=[], help="folders of images of one class each")
    parser.add_argument("--images", type=int, default=300, help="of each folder, the first by name")
    parser.add_argument("--csv", type=Path, help="to write")
    args = parser.parse_args()
    rows = compare(*(of_runs(results, args.branch) for results in (args.plain, args.robust)))
    for row in rows:
        share = (
            "" if math.isnan(row["recovered_share"]) else f"  {100 * row['recovered_share']:4.0f} % of the loss"
        )
        print(
            f"{row['perturbation']:14} {100 * row['accuracy_without']:6.2f} → {100 * row['accuracy_with']:6.2f}  "
            f"{100 * row['difference']:+6.2f} ({100 * row['difference_low']:+.2f} … "
            f"{100 * row['difference_high']:+.2f}){share}"
        )
    if args.csv:
        tabular.write_table(pd.DataFrame(rows), args.csv)
    images = [path for folder in args.verdicts for path in sorted(folder.iterdir())[: args.images]]
    for results in (args.plain, args.robust) if images else ():
        for bundle in sorted(results.glob(f"runs/*/seed*/{args.branch}/bundle")):
            changed, count = turned(bundle, images)
            print(f"{'/'.join(bundle.parts[-6:-1])}: {changed} of {count} verdicts turn")


if __name__ == "__main__":
    main()
