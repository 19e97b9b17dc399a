"""pyproject.toml is the only list of dependencies: environment.yml installs from it, constraints.txt
pins all of it. A plain install has what judges images; what an extra brings is named where it is missing."""

import ast
import itertools
import re
import shlex
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from detector.core import extras
from detector.core.errors import DetectorError
from detector.export import runtimes
from detector.imaging import faces
from tests.support import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DEPENDENCIES = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
EXTRAS = PROJECT["optional-dependencies"]
KNOWN = packages_distributions()  # as they are imported → as they are installed
OWN = "detector["  # an extra that is made of others
DIRECT = [
    *PROJECT["dependencies"],
    *(text for group in EXTRAS.values() for text in group if not text.startswith(OWN)),
]
PINS = [
    line.split("#")[0].strip()
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if line.split("#")[0].strip()
]


def test_conda_brings_python_and_pip_alone():
    names = [Requirement(entry).name for entry in DEPENDENCIES if isinstance(entry, str)]
    assert names == ["python", "pip"]


def test_python_is_bounded_as_in_the_project():
    python = Requirement(next(entry for entry in DEPENDENCIES if isinstance(entry, str)))
    assert python.specifier == SpecifierSet(PROJECT["requires-python"])


def test_pip_installs_the_project_with_all_extras_and_its_constraints():
    (section,) = [entry for entry in DEPENDENCIES if isinstance(entry, dict)]
    assert set(section) == {"pip"}
    constraint, project = section["pip"]
    assert constraint.split() == ["--constraint", "constraints.txt"]
    found = re.fullmatch(r"--editable \.\[([\w,]+)\]", project)
    assert found
    assert set(found.group(1).split(",")) == set(EXTRAS)


def test_every_constraint_is_a_name_and_one_version():
    """No URL, no path, no option, no range; and no name twice."""
    odd = [line for line in PINS if not re.fullmatch(r"[A-Za-z0-9][\w.-]*==[0-9][0-9A-Za-z.+!]*", line)]
    assert odd == []
    names = [canonicalize_name(line.split("==")[0]) for line in PINS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("text", sorted(set(DIRECT)))
def test_every_direct_dependency_is_pinned_within_its_bounds(text):
    wanted = Requirement(text)
    pins = (line.partition("==") for line in PINS)
    versions = {canonicalize_name(name): version for name, _, version in pins}
    assert versions[canonicalize_name(wanted.name)] in wanted.specifier


def test_dev_has_all_extras():
    (own,) = [text for text in EXTRAS["dev"] if text.startswith(OWN)]
    assert Requirement(own).extras == set(EXTRAS) - {"dev"}


def names(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(text).name) for text in requirements}


def distributions(packages: tuple[str, ...]) -> set[str]:
    """What installs these, given as they are imported."""
    return {canonicalize_name(name) for package in packages for name in KNOWN[package]}


@pytest.mark.parametrize("extra", sorted(set(EXTRAS) - {"dev"}))
def test_a_missing_package_is_looked_for_in_the_extra_that_brings_it(extra):
    assert distributions(extras.EXTRAS[extra]) == names(EXTRAS[extra])


def imports(path: Path) -> set[str]:
    """The packages that a file imports, itself and the standard library left out."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    found = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    found |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name.split(".")[0] for name in found} - set(sys.stdlib_module_names) - {"detector"}


def test_everything_that_is_imported_is_installed_or_of_an_extra():
    files = [*(ROOT / "src").rglob("*.py"), *(ROOT / "workflow/scripts").rglob("*.py")]
    others = {package for path in files for package in imports(path) if not extras.of(package)}
    assert distributions(tuple(others)) == names(PROJECT["dependencies"])


def test_what_the_config_asks_for_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setitem(sys.modules, "cv2", None)
    monkeypatch.setitem(sys.modules, "cmaes", None)
    with pytest.raises(DetectorError, match=r"search\.sampler needs; it comes with the extra `cmaes`"):
        extras.check("cmaes", "search.sampler")
    with pytest.raises(DetectorError, match=r"deploy\.runtimes needs; it comes with the extra `openvino`"):
        runtimes.load(Path("model.onnx"), "openvino", 1)
    with pytest.raises(DetectorError, match=r"face_crop needs; it comes with the extra `faces`"):
        faces._load_cascade()


def test_ci_runs_each_test_once_and_the_numeric_ones_again():
    """Whatever its markers: what `make test` leaves out, `.ci/run` runs all the same."""
    targets = re.findall(r"^make (test.*)$", (ROOT / ".ci/run").read_text(), re.MULTILINE)
    told = subprocess.run(
        ["make", "--dry-run", "--assume-old", ".venv/installed", *targets],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.replace("\\\n", " ")
    runs = {True: [], False: []}  # as with AVX2 alone, or as the processor is
    for line in told.splitlines():
        if "pytest" in line:
            words = shlex.split(line)
            runs["ONEDNN_MAX_CPU_ISA=AVX2" in words].append(words[words.index("pytest") + 2])
    names = ("alone", "numeric", "long")
    for values in itertools.product((True, False), repeat=len(names)):
        markers = dict(zip(names, values, strict=True))
        times = {avx2: sum(eval(chosen, {}, markers) for chosen in runs[avx2]) for avx2 in runs}
        assert times == {False: 1, True: markers["numeric"]}, markers
