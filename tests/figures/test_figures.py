"""Figures are whole files that repeat byte for byte and show the numbers they were given."""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from detector.core.errors import DetectorError
from detector.figures import (
    calibration,
    confusion,
    deployment,
    placement,
    ranking,
    robustness,
    rules,
    samples,
    search,
    training,
)
from detector.figures.sparsity import accuracy_by_sparsity
from tests.support import ROOT
from tests.support.samples import SCRIPTS, load_script

SNAKEFILE = """
rule all:
    input: "fig.svg", "three"
rule one:
    output: "one"
    shell: "touch {output}"
rule two:
    input: "one"
    output: "two"
    shell: "touch {output}"
rule three_with_a_long_name:
    input: "one", "two"
    output: "three"
    params: config["must_be_given"]
    shell: "touch {output}"
rule draw:
    output: "fig.svg"
    shell: "SCRIPT --snakefile Snakefile --config '{{\\"must_be_given\\": 1}}' --output {output}"
"""


def predictions(tp: int, fn: int, fp: int, tn: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels and logits with these counts, fake being positive."""
    label = np.repeat([0, 0, 1, 1], [tp, fn, fp, tn])
    return label, np.repeat([-1.0, 1.0, -1.0, 1.0], [tp, fn, fp, tn])


def history(accuracies: list[float]) -> pd.DataFrame:
    loss = np.linspace(0.6, 0.1, len(accuracies))
    columns = {"train_loss": loss, "valid_loss": loss, "train_accuracy": accuracies, "valid_accuracy": accuracies}
    return pd.DataFrame({"epoch": np.arange(1, len(accuracies) + 1), **columns})


def trials(accuracies: list[float]) -> pd.DataFrame:
    count = len(accuracies)
    return pd.DataFrame(
        {
            "state": ["COMPLETE"] * (count - 1) + ["PRUNED"],
            "optimizer": (["SGD", "Adam"] * count)[:count],
            "learning_rate": np.logspace(-6, -4, count),
            "valid_accuracy": accuracies,
        }
    )


def accuracy_table(branches: list[str]) -> pd.DataFrame:
    rows = [(arch, seed, branch) for arch in ("resnet18", "resnet50") for seed in (0, 1) for branch in branches]
    table = pd.DataFrame(rows, columns=["arch", "seed", "branch"])
    accuracy = np.linspace(0.9, 1.0, len(table))
    return table.assign(testset="faces140k", n=1234, accuracy=accuracy, delta_vs_dense_control=accuracy - 0.95)


def deployment_table(rows: list[tuple]) -> pd.DataFrame:
    """`rows`: branch, precision, MB, ms, accuracy."""
    table = pd.DataFrame(rows, columns=["branch", "precision", "file_mb", "latency_ms_median", "accuracy"])
    return table.assign(arch="resnet50", seed=0, format="sparse", runtime="torch", batch=1, threads=2, n=2000)


def scored(seed: str, real: int = 60, fake: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Labels and logits that overlap, others for each seed."""
    rng = np.random.default_rng(list(seed.encode()))
    label = np.repeat([1, 0], [real, fake])
    return label, rng.normal(2 * label - 1, 2.0)


DEPLOYED = [
    ("baseline", "fp32", 94.3, 110.0, 0.862),
    ("l1-40", "fp16", 24.7, 111.0, 0.870),
    ("l1-40", "int8", 15.3, 112.0, 0.866),
    ("channels-50", "int8", 8.2, 40.0, 0.846),
    ("random-40", "int8", 15.4, 113.0, 0.845),
]
BRANCHES = ["baseline", "l1-00", "l1-10", "random-10"]
DRAW = {
    "samples.png": lambda path: samples.sample_grid(path, {"real": np.zeros((2, 8, 8, 3), np.uint8)}, "Title"),
    "confusion.svg": lambda path: confusion.confusion_matrices(
        path, {"baseline": predictions(5, 1, 2, 4)}, "Title"
    ),
    "curves.svg": lambda path: training.training_curves(
        path, {b: history([0.5, 0.9]) for b in BRANCHES}, dict.fromkeys(BRANCHES, 2), "Title"
    ),
    "search.svg": lambda path: search.search_trials(path, {b: trials([0.8, 0.9]) for b in BRANCHES[1:]}, "Title"),
    "sparsity.svg": lambda path: accuracy_by_sparsity(path, accuracy_table(BRANCHES), "Title"),
    "deployment.svg": lambda path: deployment.deployment(path, deployment_table(DEPLOYED), "Title"),
    "roc.svg": lambda path: ranking.roc_curves(path, {b: scored(b) for b in BRANCHES}, "Title"),
    "reliability.svg": lambda path: calibration.reliability_diagrams(
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
        accuracy_by_sparsity(path, accuracy_table(BRANCHES).drop(columns="n"))
    assert path.read_text() == "old"
    assert [found.name for found in tmp_path.iterdir()] == ["sparsity.svg"]


def texts(path: Path) -> list[str]:
    """The text elements of an SVG, in the order drawn."""
    return re.findall(r"<text[^>]*>([^<]+)</text>", path.read_text())


def test_confusion_shows_each_count_where_it_belongs(tmp_path: Path) -> None:
    path = tmp_path / "confusion.svg"
    shown = {"l1-10": predictions(9894, 106, 127, 9873), "fakes": predictions(7, 3, 0, 0)}
    confusion.confusion_matrices(path, shown, "Title")
    found = texts(path)
    cells = [text for text in found if re.fullmatch(r"[\d,]+|[\d.]+ %|no images", text)]
    cells = cells[: cells.index("no images") + 1]  # what follows is the scale of the shades
    first = ["9,894", "98.9 %", "106", "1.1 %", "127", "1.3 %", "9,873", "98.7 %"]
    assert cells == [*first, "7", "70.0 %", "3", "30.0 %", "no images"]
    assert "accuracy 98.83 %" in found


def test_curves_name_the_epoch_that_was_kept(tmp_path: Path) -> None:
    """While its pruning is under way a gradual branch can be better than ever after; such weights are not kept."""
    folder = tmp_path / "gradual-10"
    folder.mkdir()
    history([0.5, 0.9, 0.75, 0.6]).to_csv(folder / "history.csv", index=False)
    (folder / "meta.json").write_text('{"best_epoch": 3}')
    path = tmp_path / "curves.svg"
    script = load_script("figures/training")
    args = {"history": [("gradual-10", folder / "history.csv")], "title": "of one", "output": path}
    script.main(argparse.Namespace(**args))
    assert "75.00 % at epoch 3" in texts(path)
    assert not any("90.00 %" in text for text in texts(path))


def test_search_names_the_settings_of_the_best_trial(tmp_path: Path) -> None:
    path = tmp_path / "search.svg"
    search.search_trials(path, {"l1-10": trials([0.8, 0.9, 0.85]), "l1-20": trials([0.9, 0.8, 0.7])}, "Title")
    assert {"Adam, 1.00e-05", "SGD, 1.00e-06", "stopped early"} <= set(texts(path))


SHOWN = ["baseline", "l1-00", "l1-10", "l1-40", "l1-90", "matched-40", "random-40", "channels-40", "channels-80"]


def perturbed_table() -> pd.DataFrame:
    """robustness.csv of one run and test set."""
    rows = [(branch, kind) for branch in SHOWN for kind in ("clean", "jpeg")]
    table = pd.DataFrame(rows, columns=["branch", "kind"]).assign(perturbation=lambda t: t["kind"], value=50.0)
    return table.assign(accuracy=0.8, accuracy_low=0.7, accuracy_high=0.9)


def colours_of(draw, monkeypatch: pytest.MonkeyPatch, path: Path) -> dict[str, np.ndarray]:
    """Red, green and blue of each branch, or of a method where the legend has no branches, as the legend says."""
    entries = {}
    monkeypatch.setattr(samples.drawing, "legend", lambda figure, found, **_: entries.update(found))
    draw(path)
    named = {label.split()[-1].removesuffix(",") if label[0] == "0" else label: s for label, s in entries.items()}
    named = {label.removesuffix(", pruned"): style for label, style in named.items()}
    return {name: np.array(to_rgb(style["color"])) for name, style in named.items() if "color" in style}


def deployment_of(branches: list[str]) -> pd.DataFrame:
    return deployment_table([(name, "fp32", 10.0 + i, 5.0 + i, 0.8) for i, name in enumerate(branches)])


def test_a_method_has_one_colour_in_every_figure_and_what_is_pruned_more_is_darker(tmp_path, monkeypatch) -> None:
    draw = {
        "roc": lambda path: ranking.roc_curves(path, {b: scored(b) for b in SHOWN}, "T"),
        "deployment": lambda path: deployment.deployment(path, deployment_of(SHOWN)),
        "robustness": lambda path: robustness.robustness(path, perturbed_table(), "T"),
    }
    found = {name: colours_of(how, monkeypatch, tmp_path / f"{name}.svg") for name, how in draw.items()}
    sparsity = colours_of(
        lambda path: accuracy_by_sparsity(path, accuracy_table(SHOWN)),
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
        lambda path: accuracy_by_sparsity(path, accuracy_table(few)),
        monkeypatch,
        tmp_path / "a.svg",
    )
    second = colours_of(
        lambda path: deployment.deployment(path, deployment_of(few)), monkeypatch, tmp_path / "b.svg"
    )
    assert np.array_equal(first["l1"], second["l1-40"])
    assert np.array_equal(first["channels"], second["channels-40"])


def test_ten_branches_are_all_there(tmp_path: Path) -> None:
    path = tmp_path / "confusion.svg"
    branches = [f"l1-{percent}" for percent in range(10, 20)]
    confusion.confusion_matrices(path, {branch: predictions(1, 2, 3, 4) for branch in branches}, "Title")
    assert [text for text in texts(path) if text.startswith("l1-")] == branches


def test_a_sample_grid_keeps_the_pixels_and_says_what_it_left_out(tmp_path: Path) -> None:
    red = np.zeros((9, 4, 4, 3), np.uint8)
    red[..., 0] = 255
    samples.sample_grid(tmp_path / "one.png", {"real": red}, "")
    pixels = np.asarray(Image.open(tmp_path / "one.png").convert("RGB")).reshape(-1, 3)
    assert (pixels == (255, 0, 0)).all(axis=1).mean() > 0.5
    samples.sample_grid(tmp_path / "many.svg", {f"fake: {i}": red for i in range(15)}, "Many")
    assert "Many (first 12 of 15 rows)" in texts(tmp_path / "many.svg")
    with pytest.raises(DetectorError, match="no images"):
        samples.sample_grid(tmp_path / "none.png", {"real": red[:0]}, "")


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


def test_the_deployment_script_draws_the_run_that_it_is_asked_for(tmp_path: Path) -> None:
    table = deployment_table(DEPLOYED)
    pd.concat([table, table.assign(seed=1, branch="l1-99")]).to_csv(tmp_path / "deployment.csv", index=False)
    command = [sys.executable, SCRIPTS / "figures/deployment.py", "--table", tmp_path / "deployment.csv"]
    for seed, status in ((1, 0), (2, 2)):
        run = [
            *command,
            "--arch",
            "resnet50",
            "--batch",
            "1",
            "--seed",
            str(seed),
            "--output",
            tmp_path / f"{seed}.svg",
        ]
        done = subprocess.run(run, capture_output=True, text=True)
        assert done.returncode == status, done.stderr
    assert "deployment.csv: no row of resnet50, seed 2, batch 1" in done.stderr
    assert "l1-99 fp16" in texts(tmp_path / "1.svg")
    assert "l1-40 fp16" not in texts(tmp_path / "1.svg")


@pytest.mark.parametrize("seed", range(5))
def test_labels_keep_clear_of_each_other_of_bars_and_of_the_edge(seed: int) -> None:
    """On a front of twelve points with bars, as it lies on a page."""
    rng = np.random.default_rng(seed)
    points = np.sort(rng.uniform((80, 60), (420, 320), (12, 2)), axis=0)
    bars = np.hstack([points - (5, 30), points + (5, 30)])
    sizes = np.stack([rng.uniform(40, 80, 12), np.full(12, 12.0)], axis=1)
    centres = placement.labels(points, sizes, bars, np.empty((0, 4)), (0, 0, 500, 400))
    boxes = np.hstack([centres - sizes / 2, centres + sizes / 2])
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= (500, 400)).all()
    for i, (left, bottom, right, top) in enumerate(boxes):
        for other in [*bars, *boxes[:i]]:
            assert right <= other[0] or left >= other[2] or top <= other[1] or bottom >= other[3]


def test_a_label_with_room_lies_up_and_to_the_left_and_close() -> None:
    (centre,) = placement.labels(
        np.array([[50, 50]]), np.array([[20, 10]]), np.empty((0, 4)), np.empty((0, 4)), (0, 0, 99, 99)
    )
    assert centre[0] < 50 < centre[1]
    assert np.abs(centre - 50).max() < 25


def test_rules_are_drawn_from_a_second_snakemake_while_the_first_runs(tmp_path: Path) -> None:
    script = f"{sys.executable} {SCRIPTS / 'figures/rules.py'}"
    (tmp_path / "Snakefile").write_text(SNAKEFILE.replace("SCRIPT", script))
    command = [sys.executable, "-m", "snakemake", "fig.svg", "--cores", "1", "--config", "must_be_given=2"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert sorted(texts(tmp_path / "fig.svg")) == ["Workflow", "a_long_name", "draw", "one", "three_with_", "two"]
    dot = subprocess.run(
        [*command[:3], "--rulegraph", "dot", "--config", "must_be_given=2"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    nodes, edges = rules.parse_dot(dot.stdout)
    names = {(nodes[before], nodes[after]) for before, after in edges}
    assert sorted(nodes.values()) == ["all", "draw", "one", "three_with_a_long_name", "two"]
    assert names == {
        ("draw", "all"),
        ("three_with_a_long_name", "all"),
        ("one", "three_with_a_long_name"),
        ("one", "two"),
        ("two", "three_with_a_long_name"),
    }


def test_a_rule_graph_does_not_depend_on_ids_and_leaves_out_what_is_implied(tmp_path: Path) -> None:
    names = "abcd"
    edges = [("a", "b"), ("b", "c"), ("a", "c"), ("c", "d"), ("a", "d")]
    for file, ids in (("one.svg", "0123"), ("two.svg", "3102")):
        by_name = dict(zip(names, ids, strict=True))
        numbered = [(by_name[a], by_name[b]) for a, b in (edges if file == "one.svg" else reversed(edges))]
        rules.rule_graph(tmp_path / file, {by_name[name]: name for name in names}, numbered)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    rules.rule_graph(tmp_path / "chain.svg", {n: n for n in names}, [("a", "b"), ("b", "c"), ("c", "d")])
    assert (tmp_path / "chain.svg").read_bytes() == (tmp_path / "one.svg").read_bytes()


def test_what_is_no_graph_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match="rulegraph dot"):
        rules.parse_dot("MissingInputException")
    with pytest.raises(DetectorError, match="circle"):
        rules.rule_graph(tmp_path / "x.svg", {"0": "a", "1": "b"}, [("0", "1"), ("1", "0")])


def test_boxes_of_a_row_do_not_overlap_and_arrows_run_down() -> None:
    rng = np.random.default_rng(0)
    graph = nx.DiGraph((i, j) for i in range(25) for j in range(i + 1, 25) if rng.random() < 0.08)
    x, row, routes = placement.layered(graph, box=1.5)
    for level in set(row.values()):
        places = sorted(
            (x[place], 0.3 if isinstance(place, tuple) else 1.5) for place in row if row[place] == level
        )
        for (left, wide), (right, other) in zip(places, places[1:], strict=False):
            assert right - left > (wide + other) / 2 - 1e-9
    assert {(route[0], route[-1]) for route in routes} == set(graph.edges)
    assert all(
        row[below] == row[above] + 1 for route in routes for above, below in zip(route, route[1:], strict=False)
    )


def test_an_edge_over_many_rows_does_not_drift_away() -> None:
    """The workflow's own graph, as documented, is little wider than its widest row of boxes."""
    text = (ROOT / "docs/architecture.md").read_text().split("```mermaid")[1].split("```")[0]
    edges = [(start, end.split("[")[0]) for start, end in re.findall(r"(\w+) --> (\S+)", text)]
    graph = nx.DiGraph()
    graph.add_nodes_from(sorted({name for edge in edges for name in edge}))
    graph.add_edges_from(sorted(edges))
    graph = nx.transitive_reduction(graph)
    x, row, _ = placement.layered(graph, box=1.6)
    widest = max(sum(row[place] == level for place in graph) for level in row.values())
    assert max(x.values()) - min(x.values()) < 1.8 * (widest + 2)


def test_no_figure_script_imports_torch() -> None:
    scripts = sorted((SCRIPTS / "figures").glob("*.py"))
    assert len(scripts) == 11
    code = "import runpy, sys\nfor path in sys.argv[1:]: runpy.run_path(path)\nprint('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, *scripts], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_samples_are_spread_over_the_sorted_paths_with_real_first() -> None:
    script = load_script("figures/samples")
    table = pd.DataFrame(
        {
            "path": [f"{i:03d}" for i in range(32)][::-1],
            "label": [0] * 16 + [1] * 16,
            "generator": ["b", "a"] * 8 + [""] * 16,
            "row": range(32),
        }
    )
    chosen = script.choose(table)
    assert list(chosen) == ["real", "fake: a", "fake: b"]
    assert list(chosen["real"]) == [31, 29, 27, 25, 22, 20, 18, 16]
    assert list(chosen["fake: a"]) == [15, 13, 11, 9, 7, 5, 3, 1]


@pytest.mark.parametrize("path", sorted((SCRIPTS.parent / "report").glob("*.rst")), ids=lambda path: path.stem)
def test_captions_are_valid_and_short(path: Path) -> None:
    core = pytest.importorskip("docutils.core")
    core.publish_string(path.read_text(), settings_overrides={"halt_level": 2, "report_level": 5})
    assert len(path.read_text().split()) < 150


def test_combined_is_drawn_only_beside_several_test_sets(tmp_path):
    one = accuracy_table(BRANCHES)
    two = one.assign(testset="celebdf")
    combined = one.assign(testset="combined")  # of two architectures with several seeds: two panels each
    for name, parts, expected in (("one", [one, combined], 0), ("two", [one, two, combined], 4)):
        path = tmp_path / f"{name}.svg"
        accuracy_by_sparsity(path, pd.concat(parts, ignore_index=True))
        assert sum("combined" in text for text in texts(path)) == expected
