"""A resume state is named by everything that shapes its result, and by nothing else: another setting, image, line
of code or library version gives another name; logs, comments, another card or other paths do not."""

import argparse
import ast
import importlib.util
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from detector.core import dependencies
from detector.data import packing
from detector.experiment import recipes
from detector.experiment.config import complete
from detector.models import checkpoints, devices
from detector.models import networks as networks_module
from detector.models.dataset import Images
from detector.pruning import start
from detector.training import pareto, resume, search
from tests.support import ROOT

SCRIPTS = ROOT / "workflow/scripts"
# The stages that go on from a half-done state.
FOLDERS = {
    **dict.fromkeys(("baseline", "search", "finetune", "search_pareto"), "training"),
    "pack": "data",
}
RESUMED = tuple(FOLDERS)
TRAINED = RESUMED[:4]
BRANCHES = TRAINED[1:3]  # stages of a branch


# The code and the libraries of a stage.


@pytest.fixture
def copied(tmp_path):
    """key(stage), of a copy of the library and the scripts that may be edited."""
    shutil.copytree(ROOT / "src/detector", tmp_path / "detector", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(SCRIPTS, tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__"))

    def key(stage: str) -> str:
        return dependencies.key(tmp_path / f"scripts/{FOLDERS[stage]}/{stage}.py", library=tmp_path / "detector")

    return tmp_path, key


def test_a_copy_elsewhere_has_the_same_key(copied):
    _, key = copied
    assert {stage: key(stage) for stage in RESUMED} == {
        stage: dependencies.key(SCRIPTS / f"{FOLDERS[stage]}/{stage}.py") for stage in RESUMED
    }
    assert len({key(stage) for stage in RESUMED}) == len(RESUMED)


@pytest.mark.parametrize("stage", RESUMED)
def test_each_file_that_a_stage_reaches_shapes_its_key(stage, copied):
    folder, key = copied
    before = key(stage)
    script = folder / f"scripts/{FOLDERS[stage]}/{stage}.py"
    reached = dependencies.library_files(script, library=folder / "detector")
    assert len(reached) >= 10
    for path in [script, *reached]:
        text = path.read_text()
        path.write_text(f"{text}\nADDED = 1\n")
        assert key(stage) != before, path.name
        path.write_text(f"# a comment\n{text}")
        assert key(stage) == before, f"a comment in {path.name}"
        path.write_text(text)


@pytest.mark.parametrize("stage", RESUMED)
def test_what_a_stage_does_not_reach_or_what_people_only_read_leaves_its_key(stage, copied):
    folder, key = copied
    before = key(stage)
    reached = dependencies.library_files(
        folder / f"scripts/{FOLDERS[stage]}/{stage}.py", library=folder / "detector"
    )
    others = set((folder / "detector").rglob("*.py")) - set(reached)
    assert {path.name for path in others} >= {"errors.py", "job.py", "signals.py", "locks.py", "significance.py"}
    for path in others:
        path.write_text(f"{path.read_text()}\nADDED = 1\n")
    assert key(stage) == before


def test_an_edited_docstring_is_no_other_code(copied):
    folder, key = copied
    path = folder / "detector/training/fit.py"
    before = key("baseline")
    path.write_text(path.read_text().replace('"""How to train.', '"""In which way to train.'))
    assert key("baseline") == before


@pytest.mark.parametrize(
    ("stage", "shapes", "modules"),
    [
        ("baseline", {"torch", "torchvision", "numpy"}, ["detector.models.libraries.torchvision"]),
        ("baseline", {"torch", "timm", "numpy"}, ["detector.models.libraries.timm"]),
        ("search", {"torch", "numpy", "optuna"}, []),
        ("finetune", {"torch", "numpy"}, []),
        ("finetune", {"torch", "numpy", "torch_pruning"}, ["detector.pruning.methods.channels"]),
        ("pack", {"PIL", "av", "cv2", "numpy"}, []),
    ],
)
def test_another_version_of_a_library_that_computes_is_another_key(stage, shapes, modules, monkeypatch):
    script = SCRIPTS / f"{FOLDERS[stage]}/{stage}.py"
    before, reached = dependencies.key(script, modules=modules), dependencies.packages(script, *modules)
    assert shapes <= set(reached)
    assert ("torch_pruning" in reached) == ("detector.pruning.methods.channels" in modules)
    assert ("timm" in reached) == ("detector.models.libraries.timm" in modules)
    assert not {"tqdm", "pandas", "matplotlib", "onnxruntime"} & set(reached)
    real = dependencies._version
    for name in reached:
        monkeypatch.setattr(
            dependencies, "_version", lambda other, name=name: "0.0" if other == name else real(other)
        )
        assert dependencies.key(script, modules=modules) != before, name


def test_an_import_is_found_wherever_a_statement_may_stand():
    places = (
        "def f():\n    class C:\n        async def g(self):\n            {}",
        "if x:\n    pass\nelif y:\n    {}\nelse:\n    {}",
        "for x in y:\n    {}\nelse:\n    {}",
        "while x:\n    {}\nelse:\n    {}",
        "try:\n    {}\nexcept E:\n    {}\nelse:\n    {}\nfinally:\n    {}",
        "try:\n    {}\nexcept* E:\n    {}",
        "with x:\n    {}",
        "async def h():\n    async with x:\n        {}\n    async for y in z:\n        {}",
        "match x:\n    case 1:\n        {}\n    case _:\n        {}",
    )
    expected, blocks = [], []
    for place in places:
        for _ in range(place.count("{}")):
            expected.append(f"module{len(expected)}")
            place = place.replace("{}", f"import {expected[-1]}", 1)
        blocks.append(place)
    assert list(dependencies._imported(ast.parse("\n".join(blocks)))) == expected


def test_versions_are_those_installed():
    found = dependencies.versions(["torch", "PIL", "torch_pruning", "no_such_package"])
    assert found["torch"] == importlib.metadata.version("torch")
    assert found["PIL"] == importlib.metadata.version("pillow")
    assert found["torch_pruning"] == importlib.metadata.version("torch-pruning")
    assert found["no_such_package"] == ""


# The settings and the images of a stage: each script runs up to the moment in which it would begin to work.


class Captured(Exception):
    """What a stage would have begun with: the name of its state."""


@pytest.fixture(scope="module")
def config():
    study = yaml.safe_load((ROOT / "config.yaml").read_text())
    study["search"] |= {"goals": ["accuracy", "latency"]}
    study["search"]["pareto"] |= {"methods": ["l1", "gradual"]}
    return complete(study, ROOT / "src/detector/experiment/config.schema.yaml")


@pytest.fixture(scope="module")
def images():
    """16 images of two sources, 8 for training, 4 for validation, 4 for testing."""
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(
        {
            "source": ["a"] * 8 + ["b"] * 8,
            "path": [f"{i}.png" for i in range(16)],
            "sha256": [f"{i:064d}" for i in range(16)],
            "frame": np.float32("nan"),
            "row": [*range(8), *range(8)],
            "label": np.arange(16) % 2,
            "generator": ["gan", ""] * 8,
            "split": (["train"] * 4 + ["valid"] * 2 + ["test"] * 2) * 2,
        }
    )
    stores = {name: rng.integers(0, 256, (8, 8, 8, 3), dtype=np.uint8) for name in ("a", "b")}
    return Images(rows, stores, {name: {"size": 8} for name in stores})


@pytest.fixture(scope="module")
def baseline_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("baseline") / "model.safetensors"
    path.write_bytes(b"weights")
    path.with_name("meta.json").write_text("{}")
    return path


@pytest.fixture
def named(tmp_path, config, images, baseline_file, monkeypatch):
    """named(stage, …): what the state of that stage is named by, with some of its inputs replaced."""
    (tmp_path / "best.json").write_text(json.dumps({"optimizer": "Adam", "learning_rate": 1e-4}))
    (tmp_path / "meta.json").write_text("{}")  # beside what tests put there

    def settings(stage: str) -> dict:
        """As the rules give them (`section` in common.smk)."""
        runtime = {"device": "cpu", "precision": "fp32", "memory": 16000, "evaluation_batch": "auto"}
        of = {"baseline": "train", "search_pareto": "search"}.get(stage, stage)
        knobs = recipes.recipe(config, of)
        more = {"search": recipes.space(config)} if stage == "search" else {}
        if stage == "finetune":
            more = {"distill": config["finetune"]["distill"]}
        if stage == "search_pareto":
            more = {"pareto": recipes.pareto(config), "latency": config["latency"]}
        return {"recipe": knobs, "runtime": runtime, **more}

    def name(stage: str, *, change=lambda settings: None, of=images, why="", **arguments: object) -> str:
        chosen = json.loads(json.dumps(settings(stage)))
        change(chosen)
        values = {
            **{"arch": "resnet18", "seed": 0, "threads": 1, "gpus": 1, "config": json.dumps(chosen)},
            **{"manifest": None, "packs": [], "state": tmp_path / "state", "log": None},
            **{"branch": "l1-40", "pruning": json.dumps({"method": "l1", "sparsity": 0.4})},
            **{"baseline": baseline_file, "best": tmp_path / "best.json", "worker": None},
            **{"journal": tmp_path / "journal.log", "model": tmp_path / "m", "meta": tmp_path / "n"},
            **arguments,
        }
        spec = importlib.util.spec_from_file_location(stage, SCRIPTS / f"{FOLDERS[stage]}/{stage}.py")
        script = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(script)

        def fit(*_: object, state: resume.ResumeState, **__: object) -> None:
            raise Captured(state.folder)

        def run(*_: object, key: str, **__: object) -> None:
            raise Captured(key)

        monkeypatch.setattr(Images, "open", lambda *_: of)
        plan = devices.plan
        with monkeypatch.context() as patch:
            patch.setattr(devices, "plan", lambda **given: replace(plan(**given), why=why))
            for networks, function in (
                (networks_module, "build"),
                (networks_module, "load"),
                (checkpoints, "load_weights"),
            ):
                patch.setattr(networks, function, lambda *_: None)
            patch.setattr(networks_module, "cost", lambda *_: networks_module.Cost(1, 1, 1))
            patch.setattr(start, "start", lambda *_: (None, None))
            patch.setattr(script, "fit", fit)
            patch.setattr(search, "run", run)
            patch.setattr(pareto, "run", run)
            with pytest.raises(Captured) as caught:
                script.main(argparse.Namespace(**values))
        return str(caught.value.args[0])

    name.settings = settings
    return name


def leaves(section: dict, path: tuple = ()):
    """Each setting of a section: the keys that lead to it, and its value."""
    for key, value in section.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), value


# Settings of which not every value of the same kind is one.
OTHERS = {"pruner": "median", "augment": {"steps": [{"blur": [1, 2]}]}, "crop": {"per_image": 2}}


def other(value: object) -> object:
    """Another value of the same kind."""
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, list):
        return value[::-1]
    return f"{value}2" if isinstance(value, str) else value + 1


@pytest.mark.parametrize("stage", TRAINED)
def test_each_setting_of_a_stage_shapes_its_key(stage, named):
    before = named(stage)
    assert before == named(stage), "the same twice"
    seen = []
    for path, value in leaves(named.settings(stage)):
        if path[0] == "runtime" or path in {("search", "trials"), ("pareto", "trials")}:
            continue  # below

        def change(settings, path=path, value=value):
            for key in path[:-1]:
                settings = settings[key]
            settings[path[-1]] = OTHERS.get(path[-1], other(value))

        if path[-1] in ("optimizer", "distill"):
            continue  # a name, or a teacher, that is not known ends before the key
        assert named(stage, change=change) != before, path
        seen.append(path)
    assert len(seen) >= 3


@pytest.mark.parametrize("stage", TRAINED)
def test_arguments_that_shape_a_result_shape_its_key_and_others_do_not(stage, named, tmp_path, baseline_file):
    before = named(stage)
    assert named(stage, seed=1) != before
    if stage in BRANCHES:
        for pruning in ({"method": "random", "sparsity": 0.4}, {"method": "l1", "sparsity": 0.3}):
            assert named(stage, pruning=json.dumps(pruning)) != before
    if stage != "baseline":
        parent = tmp_path / "other.safetensors"
        parent.write_bytes(b"others")
        assert named(stage, baseline=parent) != before
        same = shutil.copy(baseline_file, tmp_path / "same.safetensors")
        assert named(stage, baseline=Path(same)) == before, "where the same weights lie"
    assert named(stage, meta=tmp_path / "elsewhere.json", log=tmp_path / "a.log") == before
    assert named(stage, why="bf16: another card has it") == before, "the card's name"


@pytest.fixture
def modules_given(monkeypatch):
    """modules_given(): the modules imported by name that a stage last gave to its key."""
    real, given = dependencies.key, {}
    monkeypatch.setattr(dependencies, "key", lambda *parts, **more: given.update(more) or real(*parts, **more))
    return lambda: given["modules"]


@pytest.mark.parametrize("stage", BRANCHES)
def test_the_code_of_a_branch_s_method_is_part_of_its_key(stage, named, modules_given):
    for method in ("random", "channels"):
        named(stage, pruning=json.dumps({"method": method, "sparsity": 0.4}))
        assert modules_given()[1:] == [f"detector.pruning.methods.{method}"]


def test_the_code_of_all_methods_to_choose_from_is_part_of_the_key(named, modules_given):
    named("search_pareto")
    assert modules_given()[1:] == ["detector.pruning.methods.l1", "detector.pruning.methods.gradual"]


@pytest.mark.parametrize("stage", TRAINED)
def test_the_library_of_a_stage_s_network_is_part_of_its_key(stage, named, modules_given):
    for arch, library in (("resnet18", "torchvision"), ("convnext_atto", "timm")):
        named(stage, arch=arch)
        assert modules_given()[0] == f"detector.models.libraries.{library}"


def test_the_library_of_a_teacher_s_network_is_part_of_the_key(named, modules_given, tmp_path):
    weights = tmp_path / "teacher.safetensors"
    weights.write_bytes(b"weights")
    facts = {"arch": "convnext_atto", "seed": 0, "branch": "baseline", "image_size": 8}
    weights.with_name("meta.json").write_text(json.dumps(facts))

    def taught(settings):
        settings["distill"] = {"teacher": "file", "weight": 0.5, "temperature": 2.0}

    named("finetune", change=taught, teacher=weights)
    assert {f"detector.models.libraries.{name}" for name in ("torchvision", "timm")} <= set(modules_given())


def test_what_a_search_found_shapes_the_fine_tuning(named, tmp_path):
    before = named("finetune")
    (tmp_path / "best.json").write_text(json.dumps({"optimizer": "Adam", "learning_rate": 2e-4}))
    assert named("finetune") != before


@pytest.mark.parametrize("stage", TRAINED)
def test_images_that_train_or_validate_shape_the_key_and_test_images_do_not(stage, named, images):
    before = named(stage)

    def with_row(row: int, **values: object) -> Images:
        table = images.table.copy()
        for column, value in values.items():
            table.loc[row, column] = value
        return replace(images, table=table)

    trained, validated, tested = 0, 4, 6
    for row in (trained, validated):
        assert named(stage, of=with_row(row, sha256="f" * 64)) != before
        assert named(stage, of=with_row(row, label=1 - images.table["label"][row])) != before
        assert named(stage, of=with_row(row, split="test")) != before
    assert named(stage, of=with_row(tested, sha256="f" * 64, label=0)) == before
    other_pixels = replace(images, preprocessing={**images.preprocessing, "a": {"size": 9}})
    assert named(stage, of=other_pixels) != before


@pytest.mark.parametrize("stage", ["baseline", "finetune"])
def test_a_training_goes_on_in_the_same_arithmetic_only(stage, named):
    before = named(stage)
    assert named(stage, threads=2) != before, "sums are added up in another order"
    assert named(stage, change=lambda s: s["runtime"].update(precision="bf16")) != before
    assert named(stage, change=lambda s: s["runtime"].update(evaluation_batch=8)) != before, (
        "other validation sums"
    )


@pytest.mark.parametrize(("stage", "space"), [("search", "search"), ("search_pareto", "pareto")])
def test_workers_on_unlike_machines_share_one_study_and_resume_only_their_own_trials(stage, space, named):
    """One study, so that there are as many trials as were asked for. A half-done trial goes on only in the
    arithmetic that it began in."""
    before = named(stage)
    assert named(stage, threads=2) == before
    assert named(stage, worker=1) == before
    assert named(stage, change=lambda s: s[space].update(trials=10)) == before, "more trials, the same study"
    one = devices.plan("cpu", "fp32", 1, 32)
    assert replace(one, why="another card").arithmetic == one.arithmetic
    changes = ({"threads": 2}, {"precision": "bf16"}, {"device": "cuda"}, {"channels_last": True})
    assert len({one.arithmetic, *(replace(one, **change).arithmetic for change in changes)}) == 5


def test_packing_is_named_by_the_code_that_decodes(monkeypatch, tmp_path):
    """The rest of what packing depends on is its plan: scan, settings, size (tests/data/test_packing.py)."""
    spec = importlib.util.spec_from_file_location("pack", SCRIPTS / "data/pack.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    given = {}
    monkeypatch.setattr(packing, "pack", lambda *_, **named: given.update(named))
    monkeypatch.setattr(script.parquet, "read", lambda path: pd.DataFrame())
    names = ("scan", "root", "images", "index", "bad", "state", "workers", "max_bad", "pairs", "accepted")
    script.main(argparse.Namespace(how='{"size": 8, "max_pixels": 9}', **dict.fromkeys(names)))
    assert given["key"] == dependencies.key(SCRIPTS / "data/pack.py")
    assert given["meta"]["libraries"]["PIL"] == importlib.metadata.version("pillow")
