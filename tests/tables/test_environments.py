"""Variants that other libraries, or another arithmetic, computed do not stand beside the rest without a word."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from detector.cli import summary
from detector.core import provenance
from detector.experiment.variants import Variant
from detector.tables import environments
from tests.support import ROOT

SCRIPT = ROOT / "workflow/scripts/tables/environments.py"
BASELINE, PRUNED = Variant("resnet18", 0, "baseline"), Variant("resnet18", 0, "l1-40")


def record(python="3.11.7", device="cpu", precision="fp32", **libraries) -> dict:
    """What a stage notes (`provenance.record`), and its plan."""
    versions = {"torch": "2.14.1", "torchvision": "0.29.1", "numpy": "2.4.6", "pandas": "3.0", **libraries}
    plan = {"device": device, "precision": precision, "why": "by rule"}
    return {"python": python, "libraries": versions, "git_commit": "abc", "dirty": False, "plan": plan}


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"torch": "2.13.0"}, "torch 2.13.0 (that of baseline: 2.14.1)"),
        ({"python": "3.12.1"}, "python 3.12 (that of baseline: 3.11)"),
        ({"precision": "bf16"}, "precision bf16 (that of baseline: fp32)"),
        (
            {"device": "cuda", "numpy": "1"},
            "device cuda (that of baseline: cpu); numpy 1 (that of baseline: 2.4.6)",
        ),
        ({"pandas": "2.0"}, ""),
        ({"python": "3.11.9"}, ""),
    ],
)
def test_what_shapes_results_is_compared_with_the_first_variant_s(other, said):
    rows = environments.environments(
        {("", BASELINE, "trained"): record(), ("", PRUNED, "trained"): record(**other)}
    )
    assert [row["differs"] for row in rows] == ["", said]
    assert environments.mixed(rows) == ([f"resnet18 seed 0 l1-40: trained with {said}"] if said else [])


def test_stages_are_compared_with_their_like():
    """A prediction under a newer torch than the training's is no mixture, if all were predicted under it."""
    new = record(torch="2.15.0")
    noted = {("", variant, "trained"): record() for variant in (BASELINE, PRUNED)}
    noted |= {("", variant, "predicted"): new for variant in (BASELINE, PRUNED)}
    assert environments.mixed(environments.environments(noted)) == []
    noted["", PRUNED, "predicted"] = record()
    assert len(environments.mixed(environments.environments(noted))) == 1


def test_what_is_recorded_is_what_is_compared():
    known = set(provenance.record()["libraries"])
    assert {name for names in environments.LIBRARIES.values() for name in names} <= known


@pytest.fixture
def results(tmp_path):
    """Two variants of which the second was trained with another torch."""
    for variant, made in ((BASELINE, record()), (PRUNED, record(torch="2.13.0"))):
        folder = tmp_path / f"runs/{variant.arch}/seed{variant.seed}/{variant.branch}"
        (folder / "predictions").mkdir(parents=True)
        (folder / "meta.json").write_text(json.dumps(made))
        (folder / "predictions/provenance.json").write_text(json.dumps(record()))
    return tmp_path


def run(results: Path, on_mixed: str) -> subprocess.CompletedProcess:
    variants = sorted((results / "runs/resnet18/seed0").iterdir())
    variants += sorted(results.glob("protocols/*/runs/resnet18/seed0/*"))
    arguments = ["--trained", *variants, "--predicted", *variants, "--on-mixed", on_mixed]
    arguments += ["--output", results / "tables/environments.csv"]
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True)


def test_a_mixture_is_said_in_the_log_the_table_and_the_summary(results):
    done = run(results, "warn")
    assert done.returncode == 0, done.stderr
    assert "l1-40: trained with torch 2.13.0 (that of baseline: 2.14.1)" in done.stderr
    table = pd.read_csv(results / "tables/environments.csv", keep_default_na=False, dtype=str)
    assert list(table.columns) == list(environments.COLUMNS)
    assert table["torch"].tolist() == ["2.14.1", "2.13.0", "2.14.1", "2.14.1"]
    assert "not all variants were computed alike\n  resnet18 seed 0 l1-40" in summary._mixed(
        results / "tables/environments.csv"
    )


def test_the_networks_of_a_protocol_are_told_apart_from_the_plain_run_s(results):
    shutil.copytree(results / "runs", results / "protocols/glide/runs")
    done = run(results, "warn")
    assert "resnet18 seed 0 l1-40 of the protocol's glide: trained with torch 2.13.0" in done.stderr
    table = pd.read_csv(results / "tables/environments.csv", keep_default_na=False, dtype=str)
    rows = table[table["stage"] == "trained"]
    assert rows[["branch", "kept_out"]].to_numpy().tolist() == [
        *(["baseline", ""], ["l1-40", ""], ["baseline", "glide"], ["l1-40", "glide"])
    ]


def test_a_mixture_is_an_error_where_the_config_says_so(results):
    done = run(results, "fail")
    assert done.returncode == 2
    assert "l1-40: trained with torch 2.13.0" in done.stderr
    assert "statistics.on_mixed: warn" in done.stderr
    assert not (results / "tables/environments.csv").exists()
