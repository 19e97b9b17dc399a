"""Run brief: the three results of a finished run that matter most, and the next command."""

import math
from pathlib import Path

import pandas as pd

from detector.core.errors import DetectorError
from detector.experiment.variants import BASELINE, COMBINED, DENSE_CONTROL, Branch
from detector.predict import bundles as bundles_module
from detector.stats.groups import bounds


def text(results: Path, program: str = "detector") -> str:
    """Brief of the first network of `results`, on all test images together.

    `program`: how the command is called here. Raises `DetectorError` where the run has no tables yet.
    """
    path = results / "tables/final_accuracy.csv"
    if not path.is_file():
        raise DetectorError(
            f"{path}: found no such file, expected a table of the run; "
            f"`detector summary {results}` says how far the run is"
        )
    rows = pd.read_csv(path)
    first = rows[(rows["testset"] == COMBINED) & (rows["branch"] == BASELINE)].iloc[0]
    network = {"arch": first["arch"], "seed": first["seed"]}
    shipped = _shipped(_of(results / "tables/deployment.csv", network))
    lines = [
        f"Detection   {first['arch']} calls {first['accuracy']:.1%} of {first['n']:,} test images right "
        f"({_interval(first, 'accuracy', '{:.1f}%')})",
        *_pruning(_of(results / "tables/significance.csv", network)),
        *([] if shipped is None else [_shipping(shipped)]),
    ]
    if (others := len(rows[["arch", "seed"]].drop_duplicates()) - 1) > 0:
        lines.append(f"            ({first['arch']}, seed {first['seed']}; {others} more in the tables)")
    report = results / "report.html"
    lines += ["", f"All tables and figures: {report if report.is_file() else results / 'tables'}"]
    if bundles := bundles_module.bundles(results):
        # Of two that were made side by side chance says which is the newest.
        own = (
            shipped is not None
            and results / f"runs/{first['arch']}/seed{first['seed']}/{shipped['branch']}/bundle"
        )
        bundle = own if own in bundles else bundles[0]
        lines.append(f"Next, ask it about pictures on a page: {program} serve --model {bundle}")
    return "\n".join(lines)


def _of(path: Path, network: dict[str, object]) -> pd.DataFrame:
    """The rows of one network; none where the table was not asked for."""
    if not path.is_file():
        return pd.DataFrame()
    table = pd.read_csv(path)
    return table[(table["arch"] == network["arch"]) & (table["seed"] == network["seed"])]


def _shipped(files: pd.DataFrame) -> pd.Series | None:
    """The smallest file of deployment.csv that a runtime reads, of equally small ones that of the last branch.

    Sparse files are to keep or to send. None where there are no files.
    """
    if files.empty:
        return None
    run = files[files["format"] == "onnx"]
    size = (files if run.empty else run)["file_mb"].round(2)
    smallest = files.loc[size.index[size == size.min()]]
    return smallest[smallest["branch"] == smallest["branch"].iloc[-1]].iloc[0]  # the first of its runtimes


def _pruning(table: pd.DataFrame) -> list[str]:
    """Sentence on what the hardest pruning costs, compared with the same training without it."""
    if table.empty:
        return []
    pruned = table[(table["testset"] == COMBINED) & (table["reference"] == DENSE_CONTROL)]
    if pruned.empty:
        return []
    share = pruned["branch"].map(lambda name: Branch.of(name).percent)
    row = pruned.loc[share.idxmax()]
    return [
        f"Pruning     {row['branch']}, {share.max()} % removed: {100 * row['difference']:+.2f} points beside the "
        f"same training with nothing pruned ({_interval(row, 'difference', '{:+.2f}')}): {row['verdict']}"
    ]


def _interval(row: pd.Series, single: str, form: str) -> str:
    """Interval of single images, or of groups of images where these are known; of one group there is none."""
    low, high = (100 * bound for bound in bounds(row, single, "grouped"))
    if math.isnan(low):
        return "no interval, since they all belong together"
    return f"95 % interval {form.format(low)} to {form.format(high)}"


def _shipping(row: pd.Series) -> str:
    """Sentence on the file that one ships, a row of deployment.csv."""
    return (
        f"Shipping    {row['branch']} as {row['format']} {row['precision']}: {row['file_mb']:.2f} MB, "
        f"{row['times_smaller']:.1f} times smaller, {row['latency_ms_median']:.1f} ms an image, "
        f"{row['accuracy']:.1%} right"
    )
