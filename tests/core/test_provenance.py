"""A result names its code: the commit at the start of its stage, and whether there were edits on it."""

import argparse
import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from detector.core import provenance
from detector.models import dataset
from detector.training import stage
from tests.support.samples import SCRIPTS, load_script


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    return subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def commit(folder: Path) -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "state")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository with one committed file, src/library.py, beside which the library is taken to lie."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    git(folder, "init", "--quiet")
    (folder / "src").mkdir()
    (folder / "src/library.py").write_text("one")
    commit(folder)
    monkeypatch.setattr(provenance, "__file__", str(folder / "src/library.py"))
    return folder


def test_edits_without_a_commit_are_told(checkout):
    head = git(checkout, "rev-parse", "HEAD")
    (checkout / "results").write_text("git does not know it, no code reads it")
    found = provenance.record()
    assert (found["git_commit"], found["dirty"]) == (head, False)
    (checkout / "src/library.py").write_text("two")
    assert provenance.record()["dirty"] is True
    git(checkout, "add", "src/library.py")
    assert provenance.record()["dirty"] is True
    assert provenance.record()["git_commit"] == head
    assert (provenance.record()["git_commit"], commit(checkout)) == (head, git(checkout, "rev-parse", "HEAD"))
    assert provenance.record()["dirty"] is False
    (checkout / "src/kind.py").write_text("a new kind of source, which the library finds by its name")
    assert provenance.record()["dirty"] is True


def test_outside_a_checkout_nothing_is_claimed(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "library.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert (provenance.record()["git_commit"], provenance.record()["dirty"]) == ("", None)


def test_a_commit_made_while_it_trains_is_not_the_one_that_trained(checkout, monkeypatch):
    script, written, first = load_script("training/baseline"), {}, git(checkout, "rev-parse", "HEAD")

    def fit(*args, **options):
        (checkout / "src/library.py").write_text("two")
        return commit(checkout)

    images = where = SimpleNamespace(arithmetic={}, fingerprint=lambda: "", size=8)
    train = {"optimizer": "SGD", "learning_rate": 0.1, "batch_size": 1, "epochs": 1, "patience": None, "flip": 0}
    monkeypatch.setattr(script.stage, "prepare", lambda *_: (images, where, None, None))
    monkeypatch.setattr(script.networks, "build", lambda *_: None)
    monkeypatch.setattr(script, "fit", fit)
    monkeypatch.setattr(
        script.stage, "write_variant", lambda *args, **facts: written.update(facts, result=args[3])
    )
    config = json.dumps({"recipe": train, "runtime": {}})
    given = {"gpus": 0, "config": config, "arch": "resnet18", "seed": 0, "state": checkout / "state", "threads": 1}
    files = dict.fromkeys(("manifest", "packs", "model", "meta", "history"))
    script.main(argparse.Namespace(**given, **files))
    assert (written["git_commit"], written["dirty"]) == (first, False)
    assert written["result"] == git(checkout, "rev-parse", "HEAD") != first


NOTING = [
    path.relative_to(SCRIPTS).with_suffix("").as_posix()
    for path in sorted(SCRIPTS.rglob("*.py"))
    if "provenance.record()" in path.read_text()
]


@pytest.mark.parametrize("name", NOTING)
def test_each_stage_that_notes_it_reads_it_before_it_opens_an_image(name, monkeypatch, tmp_path):
    """Checking the store can take minutes."""
    read = []

    class Opened(Exception):
        pass

    def opened(*args):
        raise Opened

    monkeypatch.setattr(provenance, "record", lambda: read.append("read") or {})
    monkeypatch.setattr(stage, "prepare", opened)
    monkeypatch.setattr(dataset.Images, "open", opened)
    script = load_script(name)
    if hasattr(script, "read_json"):
        monkeypatch.setattr(script, "read_json", lambda path: {})
    given = {"gpus": 0, "threads": 1, "pruning": "{}", "system": "{}", "seed": 0}
    given["arch"] = "resnet18"
    given |= {"models": [tmp_path / "model.safetensors"]}
    given["config"] = '{"runtime": {}, "system": {"features": "spectrum"}}'
    given |= dict.fromkeys(("model", "baseline"), tmp_path / "model.safetensors")
    (tmp_path / "meta.json").write_text("{}")
    with pytest.raises(Opened):
        script.main(argparse.Namespace(**given, **dict.fromkeys(("best", "meta", "manifest", "packs"))))
    assert read == ["read"]


def test_the_stages_that_note_it_are_those_that_run_a_network_once():
    expected = {
        *("training/baseline", "training/finetune", "inference/predict", "export/export"),
        *("export/predict_exported", "training/classifier", "inference/predict_classifier"),
        "inference/predict_mean",
    }
    assert expected <= {*NOTING}
