"""The figure of a search names the settings of its best trial."""

from pathlib import Path

from detector.figures import search
from tests.support.figures import texts, trials


def test_search_names_the_settings_of_the_best_trial(tmp_path: Path) -> None:
    path = tmp_path / "search.svg"
    search.search_trials(path, {"l1-10": trials([0.8, 0.9, 0.85]), "l1-20": trials([0.9, 0.8, 0.7])}, "Title")
    assert {"Adam, 1.00e-05", "SGD, 1.00e-06", "stopped early"} <= set(texts(path))
