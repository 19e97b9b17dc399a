"""What the tests of several figures are drawn from."""

import pandas as pd
import pytest

from detector.core import tabular
from detector.tables import robustness
from tests.tables.test_robustness import SIZES, TABLE, logits


@pytest.fixture
def perturbed(tmp_path):
    """robustness.csv of a run of four branches."""
    rows = robustness.robustness({("resnet18", 0): logits()}, TABLE, 0.02, SIZES)
    tabular.write_csv(rows, robustness.COLUMNS, tmp_path / "robustness.csv")
    return pd.read_csv(tmp_path / "robustness.csv")
