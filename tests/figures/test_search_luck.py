"""The figure of the luck of a search shows the verdict on each search of its run, and none of another's."""

from pathlib import Path

import pandas as pd
import pytest
import yaml

from detector.core import tabular
from detector.experiment.variants import Variant
from detector.figures import search_luck
from detector.tables import search_luck as table
from tests.support import ROOT
from tests.support.figures import texts, trials, twice


def test_search_luck_says_of_each_search_of_its_run_whether_it_rises(tmp_path: Path) -> None:
    found = {
        Variant("resnet18", seed, branch): trials(accuracies).assign(trial=range(len(accuracies)))
        for seed, branch, accuracies in (
            (0, "l1-10", [0.7, 0.8, 0.9]),
            (0, "l1-20", [0.8] * 10),
            (1, "l1-30", [0.8]),
        )
    }
    rows = pd.DataFrame(table.search_luck(found, 0.005))
    shown = texts(twice(lambda path: search_luck.draw(path, rows, "resnet18", 0), tmp_path))
    assert {"l1-10", "still rising", "l1-20", "flat so far"} <= set(shown)
    assert not {"l1-30", "too few to tell"} & set(shown)


SCHEMA = yaml.safe_load((ROOT / "src/detector/experiment/config.schema.yaml").read_text())


@pytest.mark.parametrize("selected_by", SCHEMA["$defs"]["select"]["enum"])
def test_search_luck_names_the_score(selected_by: str, tmp_path: Path) -> None:
    found = {Variant("resnet18", 0, "l1-10"): trials([0.7, 0.8]).assign(trial=range(2))}
    rows = table.search_luck(found, 0.005, selected_by)
    tabular.write_csv(rows, table.COLUMNS, tmp_path / "table.csv")
    read = pd.read_csv(tmp_path / "table.csv")
    shown = texts(twice(lambda path: search_luck.draw(path, read, "resnet18", 0), tmp_path))
    assert search_luck.SCORES[selected_by][0] in shown
    assert "nan" not in shown
