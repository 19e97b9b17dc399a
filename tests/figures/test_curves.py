"""The curves name the epoch whose weights were kept."""

from pathlib import Path

from detector.figures import curves
from tests.support.figures import history, texts


def test_curves_name_the_epoch_that_was_kept(tmp_path: Path) -> None:
    """While its pruning is under way a gradual branch can be better than ever after; such weights are not kept."""
    path = tmp_path / "curves.svg"
    histories = {"gradual-10": history([0.5, 0.9, 0.75, 0.6])}
    curves.draw(path, histories, {"gradual-10": {"best_epoch": 3}}, "resnet18", 0)
    assert "75.00 % at epoch 3" in texts(path)
    assert not any("90.00 %" in text for text in texts(path))
