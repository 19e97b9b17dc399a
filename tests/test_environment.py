"""pyproject.toml is the only list of dependencies: environment.yml installs from it, constraints.txt
pins all of it."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DEPENDENCIES = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
EXTRAS = PROJECT["optional-dependencies"]
DIRECT = [*PROJECT["dependencies"], *(text for group in EXTRAS.values() for text in group)]
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
