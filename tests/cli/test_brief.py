"""`detector summary --brief` gives three results, with the numbers of the tables, and one command to go on."""

import os
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest

from detector.cli import brief, main
from detector.core.errors import DetectorError
from detector.predict import bundles
from tests.support import ROOT

FINISHED = ROOT / "docs/results/compression"


@pytest.fixture
def results(tmp_path) -> Path:
    """The tables of a real run, and a bundle."""
    tables = tmp_path / "mine/tables"
    tables.mkdir(parents=True)
    for name in ("final_accuracy", "significance", "deployment"):
        shutil.copy(FINISHED / f"{name}.csv", tables)
    bundle = tmp_path / "mine/runs/resnet18/seed0/l1-40/bundle"
    bundle.mkdir(parents=True)
    (bundle / bundles.SUMS).touch()
    return tmp_path / "mine"


def test_it_is_short_and_its_numbers_are_those_of_the_tables(results):
    lines = brief.text(results).splitlines()
    assert len(lines) <= 8
    accuracy = pd.read_csv(results / "tables/final_accuracy.csv").set_index(["branch", "testset"])
    baseline = accuracy.loc["baseline", "combined"]
    assert f"{baseline.accuracy:.1%} of {baseline.n:,} test images" in lines[0]
    pruned = pd.read_csv(results / "tables/significance.csv").query(
        "testset == 'combined' and reference == 'l1-00'"
    )
    row = pruned.set_index("branch").loc["channels-98"]
    assert f"channels-98, 98 % removed: {100 * row.difference:+.2f} points" in lines[1]
    assert lines[1].endswith(f": {row.verdict}")
    run = pd.read_csv(results / "tables/deployment.csv").query("format == 'onnx'")
    smallest = run.loc[run["file_mb"].idxmin()]
    assert f"as onnx int8: {smallest['file_mb']:.2f} MB" in lines[2], "no sparse file, which no runtime reads"
    assert f"{smallest['latency_ms_median']:.1f} ms" in lines[2]
    assert lines[-1].endswith(f"detector serve --model {results}/runs/resnet18/seed0/l1-40/bundle")


def test_the_bundle_to_ask_is_the_one_that_ships_whichever_was_made_last(results):
    deployment = pd.read_csv(results / "tables/deployment.csv")
    run = deployment[deployment["format"] == "onnx"]
    shipped = run.loc[run["file_mb"].idxmin(), "branch"]
    assert shipped != "l1-40"
    bundle = results / f"runs/resnet18/seed0/{shipped}/bundle"
    bundle.mkdir(parents=True)
    (bundle / bundles.SUMS).touch()
    os.utime(bundle / bundles.SUMS, (0, 0))  # before that of l1-40
    assert brief.text(results).endswith(f"detector serve --model {bundle}")


def test_of_files_of_one_size_that_of_the_last_branch_ships(results):
    """A file of zeros for weights is as large as that of the baseline, but for a few bytes of text."""
    path = results / "tables/deployment.csv"
    table = pd.read_csv(path)
    table = table[table["branch"].isin(["baseline", "l1-40"])].copy()
    table.loc[table["precision"] == "int8", "file_mb"] = 5.0
    table.loc[(table["precision"] == "int8") & (table["branch"] == "baseline"), "file_mb"] = 4.9999
    table.to_csv(path, index=False)
    assert "Shipping    l1-40 as onnx int8: 5.00 MB" in brief.text(results)


def test_what_was_not_asked_for_is_left_out(results):
    for name in ("significance", "deployment"):
        (results / f"tables/{name}.csv").unlink()
    shutil.rmtree(results / "runs")
    assert brief.text(results).splitlines()[1:] == ["", f"All tables and figures: {results / 'tables'}"]


def test_an_unfinished_run_is_sent_to_the_summary(tmp_path):
    with pytest.raises(DetectorError, match="says how far the run is"):
        brief.text(tmp_path)


@pytest.mark.parametrize(
    ("called", "shown"), [(".venv/bin/detector", ".venv/bin/detector"), ("/x/detector", "detector")]
)
def test_the_command_is_called_as_it_was(results, monkeypatch, capsys, called, shown):
    monkeypatch.setattr(sys, "argv", [called])
    main.summary(main.argparse.Namespace(results=results, brief=True))
    assert f": {shown} serve --model" in capsys.readouterr().out


def test_intervals_are_of_groups_where_they_are_known(results):
    for name, bounds in (("final_accuracy", (0.123, 0.987)), ("significance", (-0.321, 0.234))):
        path = results / f"tables/{name}.csv"
        table = pd.read_csv(path).assign(groups=20, grouped_low=bounds[0], grouped_high=bounds[1])
        table.to_csv(path, index=False)
    lines = brief.text(results).splitlines()
    assert "(95 % interval 12.3% to 98.7%)" in lines[0]
    assert "(95 % interval -32.10 to +23.40)" in lines[1]
    for name in ("final_accuracy", "significance"):
        path = results / f"tables/{name}.csv"
        pd.read_csv(path).assign(groups=1, grouped_low=None, grouped_high=None).to_csv(path, index=False)
    lines = brief.text(results).splitlines()
    assert all("(no interval, since they all belong together)" in line for line in lines[:2])
