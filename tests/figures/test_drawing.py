"""Figures are whole files that repeat byte for byte, and a branch has one colour in all of them."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from detector.figures import (
    accuracy_by_sparsity,
    confusion,
    curves,
    deployment,
    drawing,
    reliability,
    robustness,
    roc,
    rules,
    samples,
    search,
)
from detector.figures.discovery import FOLDER
from tests.support.figures import (
    BRANCHES,
    DEPLOYED,
    SHOWN,
    accuracy_table,
    counted,
    deployment_table,
    history,
    scored,
    texts,
    trials,
    twice,
)
from tests.support.samples import SCRIPTS

DRAW = {
    "samples.png": lambda path: samples.sample_grid(path, {"real": np.zeros((2, 8, 8, 3), np.uint8)}, "Title"),
    "confusion.svg": lambda path: confusion.confusion_matrices(path, {"baseline": counted(5, 1, 2, 4)}, "Title"),
    "curves.svg": lambda path: curves.training_curves(
        path, {b: history([0.5, 0.9]) for b in BRANCHES}, dict.fromkeys(BRANCHES, 2), "Title"
    ),
    "search.svg": lambda path: search.search_trials(path, {b: trials([0.8, 0.9]) for b in BRANCHES[1:]}, "Title"),
    "sparsity.svg": lambda path: accuracy_by_sparsity.accuracy_by_sparsity(
        path, accuracy_table(BRANCHES), "Title"
    ),
    "deployment.svg": lambda path: deployment.deployment(path, deployment_table(DEPLOYED), "Title"),
    "roc.svg": lambda path: roc.roc_curves(path, {b: scored(b) for b in BRANCHES}, "Title"),
    "reliability.svg": lambda path: reliability.reliability_diagrams(
        path, {b: (scored(b), scored(b)) for b in BRANCHES}, "Title"
    ),
    "rules.svg": lambda path: rules.rule_graph(path, {"0": "one", "1": "two"}, [("0", "1")], "Title"),
}


@pytest.mark.parametrize("name", DRAW)
def test_equal_data_give_equal_bytes_and_nothing_else_is_left(name: str, tmp_path: Path) -> None:
    DRAW[name](tmp_path / "a" / name)
    DRAW[name](tmp_path / "b" / name)
    first = (tmp_path / "a" / name).read_bytes()
    assert first == (tmp_path / "b" / name).read_bytes()
    assert [path.name for path in (tmp_path / "a").iterdir()] == [name]
    if name.endswith(".svg"):
        assert b">Title</text>" in first
        assert first.endswith(b"</svg>\n")


def test_a_figure_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "sparsity.svg"
    path.write_text("old")
    with pytest.raises(KeyError):
        accuracy_by_sparsity.accuracy_by_sparsity(path, accuracy_table(BRANCHES).drop(columns="n"))
    assert path.read_text() == "old"
    assert [found.name for found in tmp_path.iterdir()] == ["sparsity.svg"]


def perturbed_table() -> pd.DataFrame:
    """robustness.csv of one run and test set."""
    rows = [(branch, kind) for branch in SHOWN for kind in ("clean", "jpeg")]
    table = pd.DataFrame(rows, columns=["branch", "kind"]).assign(perturbation=lambda t: t["kind"], value=50.0)
    return table.assign(accuracy=0.8, accuracy_low=0.7, accuracy_high=0.9)


def colours_of(draw, monkeypatch: pytest.MonkeyPatch, path: Path) -> dict[str, np.ndarray]:
    """Red, green and blue of each branch, or of a method where the legend has no branches, as the legend says."""
    entries = {}
    monkeypatch.setattr(drawing, "legend", lambda figure, found, **_: entries.update(found))
    draw(path)
    named = {label.split()[-1].removesuffix(",") if label[0] == "0" else label: s for label, s in entries.items()}
    named = {label.removesuffix(", pruned"): style for label, style in named.items()}
    return {name: np.array(to_rgb(style["color"])) for name, style in named.items() if "color" in style}


def deployment_of(branches: list[str]) -> pd.DataFrame:
    return deployment_table([(name, "fp32", 10.0 + i, 5.0 + i, 0.8) for i, name in enumerate(branches)])


def test_a_method_has_one_colour_in_every_figure_and_what_is_pruned_more_is_darker(tmp_path, monkeypatch) -> None:
    draw = {
        "roc": lambda path: roc.roc_curves(path, {b: scored(b) for b in SHOWN}, "T"),
        "deployment": lambda path: deployment.deployment(path, deployment_of(SHOWN)),
        "robustness": lambda path: robustness.robustness(path, perturbed_table(), "T"),
    }
    found = {name: colours_of(how, monkeypatch, tmp_path / f"{name}.svg") for name, how in draw.items()}
    sparsity = colours_of(
        lambda path: accuracy_by_sparsity.accuracy_by_sparsity(path, accuracy_table(SHOWN)),
        monkeypatch,
        tmp_path / "s.svg",
    )
    for name, colours in found.items():
        for branch in SHOWN:
            assert np.array_equal(colours[branch], found["roc"][branch]), (name, branch)
        for method, percents in (("l1", (10, 40, 90)), ("channels", (40, 80))):
            brightness = [colours[f"{method}-{percent}"].sum() for percent in percents]
            assert brightness == sorted(brightness, reverse=True), (name, method)
            assert len(set(brightness)) == len(percents)
        assert np.array_equal(colours["random-40"], sparsity["random"]), name
        assert np.array_equal(colours["l1-40"], sparsity["l1"]), "the middle one of three"
        assert np.array_equal(colours["l1-00"], sparsity["dense control"])
        assert np.array_equal(colours["baseline"], sparsity["baseline"])


def test_a_figure_of_few_branches_has_their_methods_colours(tmp_path, monkeypatch) -> None:
    """As the first two of the README, one of which has no l1 but one."""
    few = ["baseline", "l1-40", "channels-40"]
    first = colours_of(
        lambda path: accuracy_by_sparsity.accuracy_by_sparsity(path, accuracy_table(few)),
        monkeypatch,
        tmp_path / "a.svg",
    )
    second = colours_of(
        lambda path: deployment.deployment(path, deployment_of(few)), monkeypatch, tmp_path / "b.svg"
    )
    assert np.array_equal(first["l1"], second["l1-40"])
    assert np.array_equal(first["channels"], second["channels-40"])


def test_no_figure_needs_torch() -> None:
    """Neither its script nor its module; one job draws in seconds."""
    scripts = sorted((SCRIPTS / "figures").glob("*.py"))
    modules = [f"detector.figures.{path.stem}" for path in FOLDER.glob("*.py")]
    assert len(scripts) >= 5
    assert len(modules) >= 15
    code = (
        "import importlib, runpy, sys\nfor name in sys.argv[1:]:\n"
        "    runpy.run_path(name) if name.endswith('.py') else importlib.import_module(name)\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *scripts, *modules], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_a_note(tmp_path):
    path = twice(lambda path: drawing.note(path, "title", "there is nothing"), tmp_path)
    assert {"title", "there is nothing"} <= set(texts(path))
