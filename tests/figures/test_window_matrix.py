"""The heat map of time shows each network on each window and frames what came after its training."""

import pandas as pd

from detector.core import tabular
from detector.figures import window_matrix
from detector.tables import window_matrix as table
from tests.support.figures import texts, twice
from tests.tables.test_window_matrix import BASELINE, EDGES, predicted, scans


def test_each_network_is_a_row_and_each_window_a_column(tmp_path):
    networks = {name: {BASELINE: predicted(until)} for name, until in {"": 3, EDGES[0]: 1, EDGES[1]: 2}.items()}
    tabular.write_csv(table.window_matrix(networks, scans(), EDGES), table.COLUMNS, tmp_path / "table.csv")
    read = pd.read_csv(tmp_path / "table.csv")
    path = twice(lambda path: window_matrix.draw(path, read, "resnet18", 0), tmp_path)
    shown = texts(path)
    assert {"with all", "until 2024-01-01", "until 2025-01-01", "before 2024-01-01", "from 2025-01-01"} <= set(
        shown
    )
    assert path.read_text().count("stroke: #d55e00") == 2 * 3, "in two panels"
