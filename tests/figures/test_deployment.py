"""The figure labels what no other file beats, of one run, and refuses what does not compare."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from detector.core.errors import DetectorError
from detector.figures import deployment
from tests.support.figures import DEPLOYED, deployment_table, texts


def test_deployment_labels_what_no_other_file_beats(tmp_path: Path) -> None:
    path = tmp_path / "deployment.svg"
    deployment.deployment(path, deployment_table([*DEPLOYED, ("gradual-40", "fp32", 50.0, np.nan, 0.871)]))
    labels = [text for text in texts(path) if re.fullmatch(r"\S+ (fp32|fp16|int8)", text)]
    by_size = ["channels-50 int8", "l1-40 int8", "l1-40 fp16", "gradual-40 fp32"]
    by_latency = ["channels-50 int8", "baseline fp32", "l1-40 fp16"]
    assert labels == by_size + by_latency
    assert {"Deployment: resnet50, seed 0", "median latency (ms), batch 1, threads 2"} <= set(texts(path))
    assert texts(path).count("up and to the left is better") == 2
    named = {"sparse, torch, fp16", "channels-50", "random-40", "gradual-40"}
    assert named <= set(texts(path)), "the legend names them"


@pytest.mark.parametrize(("column", "value"), [("arch", "resnet18"), ("seed", 1), ("batch", 8), ("threads", 1)])
def test_deployment_refuses_rows_that_do_not_compare(column: str, value: object, tmp_path: Path) -> None:
    table = deployment_table(DEPLOYED)
    mixed = pd.concat([table, table.assign(**{column: value})], ignore_index=True)
    with pytest.raises(DetectorError, match=rf"x\.svg: expected rows of one {column}, found .*{value}"):
        deployment.deployment(tmp_path / "x.svg", mixed)


@pytest.mark.parametrize("column", ["accuracy", "file_mb", "latency_ms_median"])
def test_deployment_refuses_a_table_in_which_nothing_was_measured(column: str, tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match=rf"x\.svg: .* has no {column}"):
        deployment.deployment(tmp_path / "x.svg", deployment_table(DEPLOYED).assign(**{column: np.nan}))


def test_the_run_that_is_asked_for_is_drawn_at_the_first_batch_size(tmp_path: Path) -> None:
    table = deployment_table(DEPLOYED)
    table = pd.concat([table, table.assign(batch=8), table.assign(seed=1, branch="l1-99")])
    deployment.draw(tmp_path / "1.svg", table, "resnet50", 1)
    assert "l1-99 fp16" in texts(tmp_path / "1.svg")
    assert "l1-40 fp16" not in texts(tmp_path / "1.svg")
    deployment.draw(tmp_path / "0.svg", table, "resnet50", 0)
    assert "median latency (ms), batch 1, threads 2" in texts(tmp_path / "0.svg")
    with pytest.raises(DetectorError, match=r"2\.svg: deployment\.csv has no row of resnet50, seed 2"):
        deployment.draw(tmp_path / "2.svg", table, "resnet50", 2)


def test_bars_are_of_groups_where_they_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []
    monkeypatch.setattr(deployment, "_deployed", lambda axes, table, *_: shown.append(table))
    grouped = deployment_table(DEPLOYED).assign(groups=40, grouped_low=0.5, grouped_high=0.99)
    deployment.deployment(tmp_path / "x.svg", grouped)
    deployment.deployment(tmp_path / "x.svg", deployment_table(DEPLOYED))
    assert set(shown[0]["low"]) == {50.0}
    assert set(shown[0]["high"]) == {99.0}
    assert (shown[-1]["low"] > 50).all()
