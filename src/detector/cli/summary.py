"""`detector summary`: the main tables of a results folder as text, where the rest is, and how far the run is."""

from pathlib import Path

import pandas as pd

from detector.cli import status
from detector.core.errors import DetectorError
from detector.experiment.variants import COMBINED
from detector.stats import decisions
from detector.tables import environments

# the columns that fit a terminal; the CSV files have all
_SHOWN = {
    "dataset_composition": ("source", "split", "real", "fake", "total"),
    "final_accuracy": ("arch", "seed", "branch", "testset", "n", "accuracy", "auc", "delta_vs_dense_control"),
    "efficiency": ("arch", "seed", "branch", "nonzero_weights", "file_mib", "latency_ms_median"),
    "deployment": (
        *("branch", "format", "runtime", "precision", "file_mb", "times_smaller", "latency_ms_median"),
        *("speedup_vs_eager_fp32", "speedup_vs_same_runtime_fp32_dense", "accuracy", "accuracy_delta"),
    ),
}
_OPTIONAL = ("deployment",)  # not there where `deploy.branches` is empty


def text(results: Path) -> str:
    """Summary of `results`. Raises `DetectorError` where no run was started there."""
    lacking = 0
    first = (doubts, "final_accuracy"), (audit, "audit_verdict"), (_mixed, "environments")
    parts = [say(results / "tables" / f"{name}.csv") for say, name in first]
    for name, columns in _SHOWN.items():
        path = results / "tables" / f"{name}.csv"
        if not path.is_file():
            lacking += name not in _OPTIONAL
            continue
        # As it stands there: beside systems, which have none, numbers would become floats.
        table = pd.read_csv(path, dtype={"nonzero_weights": str})[list(columns)]
        parts.append(f"{name}\n{table.to_string(index=False, na_rep='', float_format=lambda v: f'{v:.4f}')}")
    parts = [part for part in parts if part]
    if lacking:
        so_far = status.text(results)
        if not so_far and not parts:
            raise DetectorError(
                f"{results}: found no results in it, expected those of a run; run the pipeline first (make demo, "
                "or snakemake --cores 1)"
            )
        return "\n\n".join([*parts, so_far or f"not finished: {lacking} of the main tables are not there"])
    found = sorted(p for folder in ("tables", "figures") for p in (results / folder).glob("*"))
    report = results / "report.html"
    parts.append("\n".join(["Files", *(f"  {path}" for path in found)]))
    parts.append(f"Report: {report}" if report.is_file() else f"Report: not made; snakemake --report {report}")
    return "\n\n".join(parts)


def doubts(path: Path) -> str:
    """The variants that never call one class. "" where there are none, and where nothing was tested yet."""
    if not path.is_file():
        return ""
    table, lines = pd.read_csv(path), []
    for row in table[table["testset"] == COMBINED].itertuples():
        reals, fakes = row.tn + row.fp, row.tp + row.fn
        if said := decisions.doubt(reals, fakes, row.tn + row.fn, row.tp + row.tn, "test images"):
            lines.append(f"  {row.arch}, seed {row.seed}, {row.branch}: {said}")
    return "\n".join(["not learned to tell real from fake", *lines, f"  {decisions.REMEDY}"]) if lines else ""


def _mixed(path: Path) -> str:
    """Variants that were computed otherwise than the rest, in words. "" where there are none, and for older
    results.
    """
    if not path.is_file():
        return ""
    rows = pd.read_csv(path, keep_default_na=False).to_dict("records")
    found = environments.mixed(rows)
    return "\n".join(["not all variants were computed alike", *(f"  {line}" for line in found)]) if found else ""


def audit(path: Path) -> str:
    """The audit's sentences, a line each: as columns they would be wider than a terminal. "" for older results."""
    if not path.is_file():
        return ""
    table = pd.read_csv(path)
    return "\n".join(["audit", *(f"{row.verdict:>8}  {row.sentence}" for row in table.itertuples())])
