"""The wheel alone, in an environment of its own, judges images: no torch, no Snakemake, no Optuna. What other
commands need is named in one sentence, the extra `app` makes it a server, and `evaluate` a referee."""

import csv
import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from detector.core import extras
from tests.support import ROOT, served

# Nothing of the environment that runs the tests must reach the one that is tested.
ALONE = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}


def run(*command: object, **options) -> subprocess.CompletedProcess:
    return subprocess.run([*map(str, command)], env=ALONE, capture_output=True, text=True, **options)


def pip(*arguments: object) -> None:
    done = run(sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments)
    assert done.returncode == 0, done.stderr


def install(binaries: Path, what: str) -> None:
    options = ("--no-compile", "--constraint", ROOT / "constraints.txt")  # compiling all costs more than the test
    pip("--python", binaries / "python", "install", *options, what)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy: setuptools leaves files beside what it builds."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    pip("wheel", "--no-deps", "--wheel-dir", folder / "dist", folder)
    (built,) = (folder / "dist").iterdir()
    return built


def needs(wheel: Path) -> set[str]:
    """The names of what a plain install of the wheel brings, by its metadata."""
    with zipfile.ZipFile(wheel) as file:
        (name,) = [name for name in file.namelist() if name.endswith(".dist-info/METADATA")]
        requirements = HeaderParser().parsestr(file.read(name).decode()).get_all("Requires-Dist")
    found = map(Requirement, requirements)
    return {each.name for each in found if each.marker is None or each.marker.evaluate({"extra": ""})}


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The `bin` of an environment with the wheel and what it needs."""
    assert not needs(wheel) & {"torch", "snakemake", "optuna"}, "before they are downloaded"
    folder = tmp_path_factory.mktemp("alone") / "venv"
    venv.create(folder, symlinks=True)
    install(folder / "bin", str(wheel))
    return folder / "bin"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    return served.write_bundle(tmp_path_factory.mktemp("made") / "bundle")


def test_it_has_no_package_of_an_extra(installed):
    names = [name for packages in extras.EXTRAS.values() for name in packages]
    code = f"from importlib.util import find_spec; print([n for n in {names} if find_spec(n)])"
    assert run(installed / "python", "-c", code).stdout.strip() == "[]"


def test_it_judges_images_and_shows_why(installed, bundle, tmp_path):
    for name, data in {"a.png": served.REAL, "b.png": served.FAKE, "c.png": served.UNSURE}.items():
        (tmp_path / name).write_bytes(data)
    command = [
        installed / "detector",
        "predict",
        ".",
        "--model",
        bundle,
        "--format",
        "json",
        "--explain",
        "../maps",
    ]
    done = run(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [(row["path"], row["verdict"]) for row in rows] == [
        *(("./a.png", "real"), ("./b.png", "fake"), ("./c.png", "unsure")),
    ]
    assert all((tmp_path / row["explanation"]).is_file() for row in rows)


@pytest.mark.parametrize("cwd", [ROOT, Path("/")], ids=["in a copy of the project", "elsewhere"])
def test_the_doctor_looks_at_all_and_names_what_else_there_is(installed, cwd):
    done = run(installed / "detector", "doctor", cwd=cwd)
    assert done.returncode == 0, done.stderr
    assert "could not look" not in done.stdout
    assert "torch is not installed; it comes with the extra `pipeline`: pip install '.[pipeline]'" in done.stdout
    assert ("this installation judges images" in done.stdout) == (cwd != ROOT)


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (["demo-data", "data"], "pipeline"),
        (["summary", "results"], "pipeline"),
        (["serve"], "app"),
        (["evaluate", "data", "--model", "scores:mine.csv", "--out", "out"], "evaluate"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else value,
)
def test_what_it_lacks_is_one_sentence(installed, tmp_path, arguments, extra):
    done = run(installed / "detector", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert f"pip install '.[{extra}]'" in done.stderr
    assert not list(tmp_path.iterdir())


def test_with_the_extra_app_it_serves_its_page_and_judges(installed, wheel, bundle, tmp_path, monkeypatch):
    install(installed, f"{wheel}[app]")
    for name in set(os.environ) - set(ALONE):
        monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "executable", str(installed / "python"))
    with served.serving(bundle, folder=tmp_path) as (port, _):
        assert served.ask(port, "GET", "/")[0] == 200
        assert served.ask(port, "GET", "/openapi.json")[0] == 200
        status, answer = served.judge(port, {"a.png": served.FAKE})
    assert status == 200
    assert answer["results"][0]["verdict"] == "fake"


@pytest.mark.long
def test_with_the_extra_evaluate_it_compares_detectors_and_has_no_torch(installed, wheel, bundle, tmp_path):
    install(installed, f"{wheel}[evaluate]")
    for label, images in {"real": (served.REAL, served.UNSURE), "fake": (served.FAKE, served.FAKE)}.items():
        (tmp_path / "data" / label).mkdir(parents=True)
        for number, image in enumerate(images):
            (tmp_path / "data" / label / f"{number}.png").write_bytes(image)
    (tmp_path / "mine.csv").write_text(
        "path,score\nreal/0.png,0.1\nreal/1.png,0.9\nfake/0.png,0.8\nfake/1.png,0.7\n"
    )
    models = ["--model", f"{bundle},name=ours", "--model", "scores:mine.csv,threshold=0.5"]
    models += ["--model", "command:while read path; do echo 0.5; done,name=undecided"]
    command = [installed / "detector", "evaluate", "data", *models, "--perturb", "jpeg=50", "--out", "out"]
    done = run(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with open(tmp_path / "out/tables/metrics.csv", newline="") as file:
        found = {row["model"]: float(row["auc"]) for row in csv.DictReader(file)}
    assert found == {"ours": 1.0, "mine": 0.5, "undecided": 0.5}
    assert (tmp_path / "out/report.html").is_file()
    code = "from importlib.util import find_spec; print([n for n in ('torch', 'snakemake') if find_spec(n)])"
    assert run(installed / "python", "-c", code).stdout.strip() == "[]"
