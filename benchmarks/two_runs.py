"""Two finished runs that differ in one setting: how each branch does in both, paired by seed and test image.

    python -m benchmarks.two_runs results/cliff results/distilled --csv distilled.csv
    python -m benchmarks.two_runs results/cliff results/cliff --branches l1-95:lamp-95

For what no table of one run can compare: another image size, another recipe, a teacher; with `--branches`, two
branches of which neither is the control of the other. The test images must be the same. Intervals at 95 % are over
other training runs and other images (`detector.stats.crossed_effects`), or with one seed over other images alone.
"""

import argparse
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import common
from detector.core import tabular
from detector.stats import crossed_effects
from detector.stats.auc import auc
from detector.stats.predictions import load, require_numbers, require_same_images, right

VARIANT = "runs/*/seed*/*"


def tested(results: Path) -> dict[tuple[str, str, int], pd.DataFrame]:
    """All test images as each variant called them, by network, branch and seed."""
    found = {}
    for folder in sorted(results.glob(f"{VARIANT}/predictions")):
        arch, seed, branch = folder.parts[-4:-1]
        files = [file for file in sorted(folder.glob("*.parquet")) if file.stem != "valid"]
        if files:
            table = pd.concat(map(load, files), ignore_index=True)
            require_numbers(table, str(folder))
            found[arch, branch, int(seed.removeprefix("seed"))] = table
    return found


def compare(first: Path, second: Path, branches: Sequence[tuple[str, str]] = ()) -> list[dict]:
    """Rows of the table: one for each network and branch that both have, with the seeds that both have of it.

    `branches`: pairs, of the first run and of the second, in place of each with itself.
    """
    sides = [tested(results) for results in (first, second)]
    rows = []
    archs = dict.fromkeys(arch for arch, _, _ in sides[0])
    pairs = branches or [(branch, branch) for branch in dict.fromkeys(branch for _, branch, _ in sides[0])]
    for arch, pair in itertools.product(archs, pairs):
        found = [
            {seed for a, branch, seed in side if (a, branch) == (arch, one)}
            for side, one in zip(sides, pair, strict=True)
        ]
        seeds = sorted(set.intersection(*found))
        if not seeds:
            continue
        branch = " → ".join(dict.fromkeys(pair))
        tables = [[side[arch, one, seed] for seed in seeds] for side, one in zip(sides, pair, strict=True)]
        for table in tables[0] + tables[1]:
            name = f"{arch}, {branch}"
            require_same_images(tables[0][0], f"{first}, {name}", table, f"{first} or {second}, {name}")
        before, after = (np.stack([right(table) for table in side]) for side in tables)
        difference = after.astype(np.int64) - before
        low, high = (crossed_effects.over_both if len(seeds) > 1 else crossed_effects.over_images)(difference)
        areas = [
            np.mean([auc(table["label"].to_numpy(), table["logit"].to_numpy()) for table in s]) for s in tables
        ]
        rows.append(
            {
                **{"arch": arch, "branch": branch, "seeds": len(seeds), "images": before.shape[1]},
                **{"accuracy_first": before.mean(), "accuracy_second": after.mean()},
                **{"difference": difference.mean(), "difference_low": low, "difference_high": high},
                **{"auc_first": areas[0], "auc_second": areas[1]},
            }
        )
    return rows


def main() -> None:
    """Print the comparison, and write it as CSV where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=Path, help="results of one run")
    parser.add_argument("second", type=Path, help="results of the other, which the differences are of")
    parser.add_argument("--branches", nargs="+", default=[], metavar="FIRST:SECOND", help="one of each run")
    parser.add_argument("--csv", type=Path, help="to write")
    args = parser.parse_args()
    if odd := [pair for pair in args.branches if pair.count(":") != 1]:
        parser.error(f"--branches: found {odd[0]}, expected FIRST:SECOND, as l1-95:lamp-95")
    rows = compare(args.first, args.second, [(*pair.split(":"),) for pair in args.branches])
    if not rows:
        sys.exit(f"{args.first}, {args.second}: found no variant that was tested in both; expected finished runs")
    shown = []
    for row in rows:
        points, low, high = (f"{100 * row[f'difference{end}']:+.2f}" for end in ("", "_low", "_high"))
        accuracies = [f"{row[f'accuracy_{side}']:.2%}" for side in ("first", "second")]
        areas = [f"{row[f'auc_{side}']:.3f}" for side in ("first", "second")]
        told = [row["arch"], row["branch"], str(row["seeds"]), f"{row['images']:,}"]
        shown.append([*told, *accuracies, f"{points} ({low} … {high})", *areas])
    header = [
        "network",
        "branch",
        "seeds",
        "test images",
        "accuracy, first",
        "second",
        "difference, points (95 %)",
    ]
    print(common.table([*header, "AUC, first", "second"], shown))
    if args.csv:
        tabular.write_table(pd.DataFrame(rows), args.csv)


if __name__ == "__main__":
    main()
