"""The heat map shows each network on each generator, frames what was never seen, and states both means."""

import pandas as pd
import pytest

from detector.core import tabular
from detector.figures import generator_matrix
from detector.tables import generator_matrix as table
from tests.support.figures import texts, twice
from tests.tables.test_generator_matrix import BASELINE, MAKERS, predicted


@pytest.fixture
def planted(tmp_path):
    """generator_matrix.csv of a run whose networks miss `gan` unless they were trained with it."""
    networks = {"": predicted()} | {
        name: predicted("gan" if name == "gan" else "", i) for i, name in enumerate(MAKERS)
    }
    rows = table.generator_matrix({name: {BASELINE: found} for name, found in networks.items()})
    tabular.write_csv(rows, table.COLUMNS, tmp_path / "table.csv")
    return pd.read_csv(tmp_path / "table.csv")


def test_each_network_is_a_row_and_each_generator_a_column(planted, tmp_path):
    path = twice(lambda path: generator_matrix.draw(path, planted, "resnet18", 0), tmp_path)
    shown = texts(path)
    assert [name for name in shown if name.startswith("with")] == ["with all", *(f"without {m}" for m in MAKERS)]
    cells = planted[planted["generator"].notna()]
    for column in ("accuracy", "auc"):
        for value in cells[column]:
            assert f"{100 * value:.1f}" in shown, column
    mean = planted[planted["generator"].isna()].set_index("seen")["accuracy"]
    for word, seen in (("unseen", "no"), ("seen", "yes")):
        assert any(text.startswith(f"mean {word}: {100 * mean[seen]:.1f} (") for text in shown), word
    assert path.read_text().count("stroke: #d55e00") == 2 * len(MAKERS), "a frame for each unseen, in two panels"


def test_a_run_without_fakes_has_a_note(planted, tmp_path):
    path = tmp_path / "none.svg"
    generator_matrix.draw(path, planted.iloc[:0], "resnet18", 0)
    assert "there is no fake image to test on" in texts(path)
