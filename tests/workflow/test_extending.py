"""The examples of docs/extending.md work, and in a finished study each makes stale what uses it, no more."""

import copy
import importlib
import re
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from detector.data import kinds
from detector.experiment import methods
from detector.imaging import perturbations
from detector.models import networks
from detector.pruning.start import start
from detector.stats import metric_modules
from tests.support import ROOT
from tests.support.samples import write_picture
from tests.support.workspace import TINY, Workspace

PAGE = (ROOT / "docs/extending.md").read_text()


def examples() -> dict[str, tuple[Path, str, dict]]:
    """By the section's last word: the path of the new file, its text, and what the config gets."""
    found = {}
    for section in PAGE.split("\n## ")[1:]:
        code = re.search(r"```python\n# (\S+)\n(.*?)```", section, re.DOTALL)
        config = re.search(r"```yaml\n(.*?)```", section, re.DOTALL)
        word = section.split("\n")[0].split()[-1]
        found[word] = Path(code[1]), code[2], yaml.safe_load(config[1]) if config else {}
    return found


EXAMPLES = examples()


def test_there_is_an_example_of_each():
    assert list(EXAMPLES) == ["set", "perturbation", "metric", "method", "figure"]


# --- what becomes stale ---


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A workspace whose tiny study Snakemake takes for finished: its files hold their names."""
    workspace = Workspace(tmp_path_factory.mktemp("extended"))
    summary = workspace.snakemake("--summary")
    assert summary.returncode == 0, summary.stdout
    rows = (line.split("\t") for line in summary.stdout.splitlines() if line.startswith("results/"))
    for name, *_ in rows:
        path = workspace.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    touched = workspace.snakemake("--touch", "--forceall")
    assert touched.returncode == 0, touched.stdout
    assert workspace.stale() == {}
    return workspace


@contextmanager
def added(workspace: Workspace, *names: str, configured: bool = False):
    """The files of these examples, and if `configured` what they put into the config."""
    config = copy.deepcopy(TINY)
    paths = []
    for name in names:
        path, text, change = EXAMPLES[name]
        assert not (ROOT / path).exists(), f"{path} is there: the example is none any more"
        paths.append(workspace.folder / path)
        paths[-1].write_text(text)
        if configured:
            merge(config, change)
    for name in config["robustness"].get("perturbations", {}):
        config["robustness"]["use"].append(name)
    workspace.configure(config)
    try:
        yield
    finally:
        workspace.configure(TINY)
        for path in paths:
            path.unlink()


def merge(config: dict, change: dict) -> None:
    """Put `change` into `config`; lists grow."""
    for key, value in change.items():
        if isinstance(value, dict):
            merge(config.setdefault(key, {}), value)
        elif isinstance(value, list) and isinstance(config.get(key), list):
            config[key] += value
        else:
            config[key] = value


def test_what_no_config_names_makes_nothing_stale(done):
    with added(done, "set", "perturbation", "method"):
        assert done.stale() == {}


def test_a_metric_makes_its_table_stale_and_what_quotes_it(done):
    with added(done, "metric"):
        assert done.stale() == {"metrics": 1, "audit_metadata": 1}


def test_a_figure_makes_itself_stale_and_the_picture_of_the_rules(done):
    with added(done, "figure"):
        assert done.stale() == {"figure_recall": 1, "figure_rules": 1}


def test_a_perturbation_makes_stale_what_perturbs(done):
    with added(done, "perturbation", configured=True):
        stale = done.stale()
    assert {"probe", "robustness", "figure_robustness", "figure_brittleness"} <= set(stale)
    assert set(stale) <= {"probe", "robustness", "figure_robustness", "figure_brittleness", "figure_gradcam"}


def test_a_method_runs_its_own_branch_and_what_compares_branches(done):
    with added(done, "method", configured=True):
        stale = done.stale()
    assert {rule: stale[rule] for rule in ("search", "finetune", "predict")} == {
        "search": 1,
        "finetune": 1,
        "predict": 1,
    }
    assert {"scan", "pack", "split", "audit", "manifest", "baseline", "export", "bundle"}.isdisjoint(stale)


def test_a_data_set_is_scanned_alone(done):
    for folder in ("camera", "one"):
        write_picture(done.folder / f"data/scraped/{folder}/a.jpg")
    with added(done, "set", configured=True):
        stale = done.stale()
    assert (stale["scan"], stale["pack"]) == (1, 1)
    assert stale["baseline"] == 1, "the images of the study are others now"


# --- that they work ---


@pytest.fixture
def module(tmp_path, monkeypatch):
    """module(example): its name, once its file lies beside those of its package."""

    def put(name: str) -> str:
        path, text, _ = EXAMPLES[name]
        package = importlib.import_module(".".join(path.parts[1:-1]))
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
        (tmp_path / path.name).write_text(text)
        return path.stem

    return put


def test_the_data_set_is_read(module, tmp_path):
    kind = module("set")
    for name in ("camera/a.jpg", "camera/b.jpg", "one/a.jpg", "two/a.jpg"):
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).touch()
    source = kinds.module(kind)
    records = source.scan(tmp_path / "root", {})
    assert [(r.path, r.label, r.generator) for r in records] == [
        *(("camera/a.jpg", 1, ""), ("camera/b.jpg", 1, ""), ("one/a.jpg", 0, "one"), ("two/a.jpg", 0, "two"))
    ]
    assert set(source.split(records, "random", (1.0, 0.0, 0.0), 0)) == {"train"}


def test_the_perturbation_leaves_so_many_levels(module):
    name = module("perturbation")
    image = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    for levels in (2, 16):
        assert len(np.unique(perturbations.apply(image, [{name: levels}]))) == levels
    assert perturbations.strength(name, 2) > perturbations.strength(name, 16)


def test_the_metric_is_a_correlation(module):
    module("metric")
    label, logit = np.array([1, 1, 0, 0]), np.array([1.0, 2.0, -1.0, -2.0])
    assert metric_modules.measure(label, logit)["matthews"] == pytest.approx(1)
    assert metric_modules.measure(label, -logit)["matthews"] == pytest.approx(-1)
    assert np.isnan(metric_modules.measure(label[:2], logit[:2])["matthews"])


def test_the_method_prunes_each_layer_alike(module):
    name = module("method")
    model = networks.build("resnet10")
    network, kept = start(model, {"method": name, "sparsity": 0.4}, seed=0)
    assert network is model
    for mask, weight in zip(kept, networks.prunable(model), strict=True):
        assert mask.dtype == torch.bool
        assert int((~mask).sum()) == round(0.4 * weight.numel())
    assert methods.facts(name).PERCENT_OF == "weights"


def test_the_figure_is_drawn(module, tmp_path):
    figure = importlib.import_module(f"detector.figures.{module('figure')}")
    row = {"arch": "resnet18", "seed": 0, "branch": "l1-40", "testset": "combined", "recall": 0.5}
    figure.draw(tmp_path / "recall.svg", pd.DataFrame([row]), "resnet18", 0)
    assert "l1-40" in (tmp_path / "recall.svg").read_text()
