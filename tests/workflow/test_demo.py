"""`make demo` does what the README says, and its detector has learned: on shuffled labels it is at chance.

The demo is run in this checkout, to results/demo, unless it is there and current: then Make and Snakemake find
nothing to do.
"""

import os
import re
import subprocess
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from detector.cli import summary
from detector.experiment import config
from detector.models import dataset, devices, networks
from detector.training.fit import fit
from detector.training.recipe import Recipe
from tests.support import ROOT, chapter

pytestmark = pytest.mark.long
RESULTS = ROOT / "results/demo"
SETTINGS = yaml.safe_load((ROOT / "configs/demo.yaml").read_text())
(ARCHITECTURE,) = SETTINGS["architectures"]


def make_demo():
    done = subprocess.run(
        ["make", "demo"],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "PYTHONPATH")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    return done.stdout


@pytest.fixture(scope="module")
def demo():
    return make_demo()


def test_it_says_what_it_does_and_ends_with_three_results_and_one_command(demo):
    assert "The demo makes its own images" in demo
    assert "rule baseline:" not in demo
    *_, detection, pruning, shipping, _, report, command = demo.splitlines()
    for line, name in ((detection, "Detection"), (pruning, "Pruning"), (shipping, "Shipping")):
        assert line.startswith(name)
    assert report == "All tables and figures: results/demo/report.html"
    assert (ROOT / "results/demo/report.html").is_file()
    assert re.search(r": \.venv/bin/detector serve --model results/demo/\S+/bundle$", command)


def test_the_summary_has_the_tables_and_paths(demo):
    said = summary.text(RESULTS)
    for name in ("dataset_composition", "final_accuracy", "efficiency"):
        assert name in said
    assert "metadata alone separates synthbuster from the real images of the other sources" in said
    assert str(RESULTS / "figures/rules.svg") in said


def test_every_command_of_the_page_on_use_runs(demo, tmp_path):
    pictures = sorted((ROOT / "data/demo/synthbuster").rglob("*.png"))[:2]
    done = chapter.run(ROOT, "configs/demo.yaml", "results/demo", pictures, tmp_path / "work")
    assert [(command, output) for command, (code, output) in done.items() if code != 0] == []
    assert len(list((tmp_path / "work/maps").glob("*.png"))) == 2


def test_a_second_run_does_nothing(demo):
    before = {path: path.stat().st_mtime_ns for path in RESULTS.rglob("*") if path.is_file()}
    again = make_demo()
    assert "Nothing to be done" in again
    after = {path: path.stat().st_mtime_ns for path in RESULTS.rglob("*") if path.is_file()}
    assert {p: t for p, t in after.items() if p.parts[-2] != "logs"} == {
        p: t for p, t in before.items() if p.parts[-2] != "logs"
    }


def test_every_variant_has_learned(demo):
    table = pd.read_csv(RESULTS / "tables/final_accuracy.csv")
    faces = table[table["testset"] == "faces140k"].set_index("branch")["accuracy"]
    assert set(faces.index) == {"baseline", "l1-00", "l1-10", "l1-20", "l1-30", "l1-40"}
    assert faces.min() >= 0.85, faces
    fakes = table[table["testset"] == "synthbuster"].set_index("branch")["accuracy"]
    assert fakes.min() > 0.5, "what it learned of faces says nothing of the other sources"


def test_brightness_contrast_and_size_of_a_file_tell_little_and_sharpness_much(demo):
    """What docs/datasets.md says of the demo's faces: AUC of a cross-validated logistic regression."""
    paths = sorted((ROOT / "data/demo/faces140k").rglob("*.jpg"))
    real = np.array([path.parent.name == "real" for path in paths])
    pictures = np.stack([np.asarray(Image.open(path)) / 255 for path in paths])
    colours = np.hstack([pictures.mean((1, 2)), pictures.std((1, 2))])
    size = np.array([[path.stat().st_size] for path in paths])
    edges = [np.diff(pictures.mean(3), axis=axis).reshape(len(paths), -1) for axis in (1, 2)]
    sharpness = np.hstack([np.stack([np.abs(edge).mean(1), edge.std(1)], 1) for edge in edges])

    def auc(*features: np.ndarray) -> float:
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
        chance = cross_val_predict(model, np.hstack(features), real, cv=5, method="predict_proba")[:, 1]
        return roc_auc_score(real, chance)

    assert auc(colours) < 0.6
    assert auc(colours, size) < 0.7
    assert auc(sharpness) > 0.95


def test_exported_files_are_as_right_as_what_was_trained_and_smaller(demo):
    table = pd.read_csv(RESULTS / "tables/deployment.csv").set_index(["branch", "format", "precision"])
    assert set(table.index.get_level_values("branch")) == {"baseline", "l1-40"}
    trained = table.xs("safetensors", level="format")["accuracy"].droplevel("precision")
    lost = trained.reindex(table.index, level="branch") - table["accuracy"]
    assert lost.xs(("onnx", "fp32"), level=("format", "precision")).abs().max() < 0.002, "a logit near 0 at most"
    assert lost.max() < 0.03, lost
    smaller = table["times_smaller"]
    assert smaller["l1-40", "onnx", "fp32"] < 1.01, "zeros are stored like other numbers"
    assert smaller["l1-40", "sparse", "fp16"] > 3.4
    assert smaller["l1-40", "sparse", "int8"] > 5.8
    assert table["macs"]["l1-40", "onnx", "fp32"] == table["macs"]["baseline", "onnx", "fp32"]
    sums = RESULTS / f"runs/{ARCHITECTURE}/seed0/l1-40/bundle"
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=sums, check=True)


def test_at_chance_with_shuffled_labels(demo):
    """The same images, budget and network; only the training and validation labels are shuffled."""
    study = yaml.safe_load((ROOT / "config.yaml").read_text())
    settings = config.complete(merged(study, SETTINGS), ROOT / "src/detector/experiment/config.schema.yaml")
    images = dataset.Images.open(
        RESULTS / "data/manifest.parquet", [RESULTS / "data" / name for name in settings["data"]["use"]]
    )
    where = devices.plan("cpu", "fp32", 1, images.size)
    # faces alone: with the fake-only source in, calling everything fake beats chance without seeing anything
    parts = {name: images.part(name, "faces140k") for name in ("train", "valid", "test")}
    rng = np.random.default_rng(0)
    shuffled = {
        name: parts[name].assign(label=rng.permutation(parts[name]["label"])) for name in ("train", "valid")
    }
    train, valid = (images.batches(shuffled[name], where.torch_device) for name in ("train", "valid"))
    schedule = {key: value for key, value in settings["train"].items() if key != "gpus"}
    recipe = replace(Recipe(**schedule, seed=0), patience=None)
    model = networks.build(ARCHITECTURE, 0)
    fit(model, train, valid, recipe, where)
    truth = images.batches(parts["test"], where.torch_device)
    from detector.models.inference import logits

    accuracy = float(((logits(model, truth, where) >= 0) == (parts["test"]["label"].to_numpy() == 1)).mean())
    # four standard deviations of a fair coin
    assert abs(accuracy - 0.5) < 4 * 0.5 / np.sqrt(len(parts["test"])), accuracy


def merged(base, change):
    both = {
        k: merged(base[k], v) for k, v in change.items() if isinstance(v, dict) and isinstance(base.get(k), dict)
    }
    return {**base, **change, **both}
