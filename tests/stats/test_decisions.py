"""Whether an image was called what it is gets decided in one place; a logit that is no number is an error that
names the variant and the image, and so is a comparison of models that saw other images."""

import argparse
import ast
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from detector.cli import summary
from detector.core import tabular
from detector.core.errors import DetectorError
from detector.experiment.formats import KEY, LATENCY_COLUMNS, TRAINED
from detector.experiment.variants import Variant
from detector.figures import confusion, reliability, roc
from detector.models import inference
from detector.predict.model import Model, _Seen
from detector.stats import classification, predictions
from detector.stats.decisions import doubt, real
from detector.tables import (
    ablation,
    baseline_performance,
    deployment,
    final_accuracy,
    metrics,
    per_generator,
    significance,
)
from detector.tables.robustness import robustness
from tests.support import ROOT
from tests.support.samples import load_script
from tests.tables.test_deployment import FACTS
from tests.tables.test_robustness import SIZES, TABLE, logits

BASELINE, BRANCH = Variant("resnet18", 3, "baseline"), Variant("resnet18", 3, "l1-40")
PAPER = {"baseline": {}, "accuracy": {}}
NO_NUMBERS = [np.nan, np.inf, -np.inf]


def images(n: int = 6) -> pd.DataFrame:
    label = np.arange(n) % 2
    names = {"source": "faces", "path": [f"sub/{i}.png" for i in range(n)], "generator": "", "group": ""}
    return pd.DataFrame({**names, "label": label, "logit": np.where(label == 1, 1.0, -1.0)})


def study() -> dict:
    return {variant: {"valid": images(), "faces": images()} for variant in (BASELINE, BRANCH)}


def deployed(found: dict) -> list:
    """deployment.csv of the trained models alone, with the test images of `found`."""
    row = {"format": "safetensors", "runtime": "torch", "precision": "fp32", "batch": 1, "threads": 1}
    times = {"latency_ms_median": 1.0, "latency_ms_p90": 1.0, "device": "", "cpu_flags": ""}
    rows = [{"branch": variant.branch, **row, **times} for variant in found]
    assert {*KEY} <= {*row, "branch"}
    return deployment.deployment(
        dict.fromkeys(found, FACTS),
        dict.fromkeys(found, ROOT / "tests"),
        {variant: {f"torch/{TRAINED}": sets["faces"]} for variant, sets in found.items()},
        {BASELINE.run: pd.DataFrame(rows, columns=LATENCY_COLUMNS)},
    )


SETTINGS = {"hyperparameters": {"optimizer": "SGD", "learning_rate": 1e-5}}
BUILDERS = {
    "baseline_performance": lambda found: baseline_performance.baseline_performance(found, PAPER),
    "final_accuracy": lambda found: final_accuracy.final_accuracy(found, PAPER),
    "significance": lambda found: significance.significance(found, 0.1),
    "metrics": metrics.metrics,
    "per_generator": per_generator.per_generator,
    "ablation": lambda found: ablation.ablation(found, dict.fromkeys(found, SETTINGS), 0.1),
    "deployment": deployed,
}


@pytest.fixture(autouse=True)
def a_file(monkeypatch):
    monkeypatch.setattr(deployment, "file", lambda folder, name: Path(__file__))


@pytest.mark.parametrize("value", NO_NUMBERS)
@pytest.mark.parametrize("name", BUILDERS)
def test_a_table_is_not_built_of_what_is_no_number(name, value):
    found = study()
    assert BUILDERS[name](found)
    found[BRANCH]["faces"].loc[4, "logit"] = value
    with pytest.raises(DetectorError, match=r"resnet18, seed 3, l1-40.* found -?(nan|inf) .*faces: sub/4\.png"):
        BUILDERS[name](found)


@pytest.mark.parametrize("name", sorted({*BUILDERS} - {"metrics", "per_generator", "baseline_performance"}))
def test_what_is_compared_is_of_the_same_images(name):
    for change in (lambda table: table.iloc[::-1], lambda table: table.iloc[1:]):
        found = study()
        found[BRANCH]["faces"] = change(found[BRANCH]["faces"])
        with pytest.raises(DetectorError, match=r"l1-40, .*images\) and .*baseline, .*not shown the same images"):
            BUILDERS[name](found)


@pytest.mark.parametrize("column", ["clean", "chat"])
def test_perturbed_images_too(column):
    run = logits()
    row = run.index[run["branch"] == "l1-40"][7]
    run.loc[row, column] = np.nan
    with pytest.raises(DetectorError, match=rf"seed 0, l1-40, .*found nan as the {column} of faces: 7\.png"):
        robustness({("resnet18", 0): run}, TABLE, 0.02, SIZES)


@pytest.mark.parametrize("figure", [confusion, reliability, roc])
def test_a_figure_of_logits_refuses_both(figure, tmp_path):
    of = {confusion: ("faces",), roc: ("combined",)}.get(figure, ())
    for change, said in (
        (lambda table: table.assign(logit=np.nan), r"seed 0, l1-40, faces: found nan .*sub/0\.png"),
        (lambda table: table.iloc[::-1], "not shown the same images"),
    ):
        found = {"baseline": {"valid": images(), "faces": images()}}
        found["l1-40"] = {"valid": images(), "faces": change(images())}
        with pytest.raises(DetectorError, match=said):
            figure.draw(tmp_path / "figure.svg", found, "resnet18", 0, *of)
        assert not (tmp_path / "figure.svg").exists()


def test_nothing_is_saved_of_a_network_that_gives_no_number(tmp_path, monkeypatch):
    script = load_script("inference/predict")

    class Packed:
        size, stores = 8, {"faces": None}

        def part(self, split, source=None):
            return images().drop(columns="logit")

        def batches(self, rows, device):
            return self

        def looking(self, looks):
            return self

    values = np.array([1, -1, np.nan, 1, 1, 1], np.float32)
    monkeypatch.setattr(script.Images, "open", lambda *_: Packed())
    monkeypatch.setattr(script.checkpoints, "load_weights", lambda _: None)
    monkeypatch.setattr(script.networks, "load", lambda *_: None)
    monkeypatch.setattr(inference, "logits", lambda *_: values)
    runtime = '{"device": "cpu"}'
    args = {"manifest": None, "packs": None, "arch": "resnet18", "runtime": runtime, "threads": 1, "looks": None}
    args |= {"model": tmp_path / "seed3/l1-40/model.safetensors", "folder": tmp_path / "predictions"}
    args["folder"].mkdir()
    args["model"].parent.mkdir(parents=True)
    args["model"].with_name("meta.json").write_text("{}")
    with pytest.raises(DetectorError, match=r"seed3/l1-40/model\.safetensors, valid: found nan .*sub/2\.png"):
        script.main(argparse.Namespace(**args))
    assert list(args["folder"].iterdir()) == []


def test_counts_of_what_is_no_number_are_none():
    with pytest.raises(DetectorError, match="image 2 of 3"):
        classification.confusion(np.array([0, 0, 1]), np.array([-1.0, np.nan, 1.0]))


def test_a_logit_of_zero_is_called_real_by_all():
    label, logit = np.array([1, 0]), np.zeros(2)
    assert real(0.0)
    assert classification.confusion(label, logit) == {"tp": 0, "fp": 0, "tn": 1, "fn": 1}
    assert predictions.right(pd.DataFrame({"label": label, "logit": logit})).tolist() == [True, False]
    model = Model.__new__(Model)
    object.__setattr__(model, "band", None)
    object.__setattr__(model, "temperature", 1.0)
    assert model._answer("x", [0.0, -0.0], 1, _Seen(np.empty(0), None, "")).verdict == "real"


def decisions(path: Path) -> list[str]:
    """Comparisons of something that is called a logit with 0."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            zero = any(isinstance(side, ast.Constant) and side.value == 0 for side in sides)
            text = ast.unparse(node)
            ordered = any(isinstance(sign, ast.Lt | ast.LtE | ast.Gt | ast.GtE) for sign in node.ops)
            if zero and ordered and "logit" in text:
                found.append(f"{path.name}: {text}")
    return found


def test_no_other_place_decides_it():
    files = [*(ROOT / "src/detector").rglob("*.py"), *(ROOT / "workflow/scripts").rglob("*.py")]
    files = [path for path in files if path.parent.name != "templates"]  # programs that need no library
    assert [text for path in files for text in decisions(path)] == ["decisions.py: logit >= 0"]


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        (
            (10, 30, 0, 30),
            "it never calls one of the 40 test images real: all are fake to it (75.0 % of these are fake)",
        ),
        (
            (30, 10, 40, 30),
            "it never calls one of the 40 test images fake: all are real to it (75.0 % of these are real)",
        ),
        ((10, 30, 4, 30), "it is right about 75.0 % of the 40 test images, while 75.0 % of these are fake"),
        ((20, 20, 20, 20), "it is right about 50.0 % of the 40 test images, while 50.0 % of these are real"),
        ((10, 30, 4, 31), ""),
        ((0, 30, 0, 20), ""),
        ((0, 0, 0, 0), ""),
    ],
)
def test_when_there_is_reason_to_doubt_a_network(counts, said):
    assert doubt(*counts, "test images") == said


def test_the_summary_names_what_never_calls_a_class(tmp_path):
    found = study()
    for table in found[BRANCH].values():
        table["logit"] = -1.0
    folder = tmp_path / "tables"
    tabular.write_csv(
        final_accuracy.final_accuracy(found, PAPER), final_accuracy.COLUMNS, folder / "final_accuracy.csv"
    )
    for name in ("dataset_composition", "efficiency"):
        tabular.write_csv([], summary._SHOWN[name], folder / f"{name}.csv")
    said = summary.text(tmp_path).split("\n\n")[0].splitlines()
    assert said[0] == "not learned to tell real from fake"
    assert said[1].startswith("  resnet18, seed 3, l1-40: it never calls one of the 6 test images real")
    assert len(said) == 3, "the baseline is right, and the last line says what to do"
    del found[BRANCH]
    tabular.write_csv(
        final_accuracy.final_accuracy(found, PAPER), final_accuracy.COLUMNS, folder / "final_accuracy.csv"
    )
    assert "learned" not in summary.text(tmp_path)
