"""Each count stands where it belongs, and every branch has its panel."""

import re
from pathlib import Path

from detector.figures import confusion
from tests.support.figures import counted, texts


def test_confusion_shows_each_count_where_it_belongs(tmp_path: Path) -> None:
    path = tmp_path / "confusion.svg"
    shown = {"l1-10": counted(9894, 106, 127, 9873), "fakes": counted(7, 3, 0, 0)}
    confusion.confusion_matrices(path, shown, "Title")
    found = texts(path)
    cells = [text for text in found if re.fullmatch(r"[\d,]+|[\d.]+ %|no images", text)]
    cells = cells[: cells.index("no images") + 1]  # what follows is the scale of the shades
    first = ["9,894", "98.9 %", "106", "1.1 %", "127", "1.3 %", "9,873", "98.7 %"]
    assert cells == [*first, "7", "70.0 %", "3", "30.0 %", "no images"]
    assert "accuracy 98.83 %" in found


def test_ten_branches_are_all_there(tmp_path: Path) -> None:
    path = tmp_path / "confusion.svg"
    branches = [f"l1-{percent}" for percent in range(10, 20)]
    confusion.confusion_matrices(path, {branch: counted(1, 2, 3, 4) for branch in branches}, "Title")
    assert [text for text in texts(path) if text.startswith("l1-")] == branches
