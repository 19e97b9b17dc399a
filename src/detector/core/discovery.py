"""Modules that are found by their names: kinds of sources, steps of perturbations, pruning methods, metrics.

A new one is a new file (docs/extending.md). Nothing lists them and no import statement names them, so a stage
depends on those alone that its config asks for: the rules add these to its code (`code` in
`workflow/rules/common.smk`).
"""

import ast
import importlib
import importlib.util
import pkgutil
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace

from detector.core.errors import DetectorError


def names(package: str) -> tuple[str, ...]:
    """Names of the modules of `package`, sorted. None of them is imported."""
    return tuple(sorted(name for _, name, _ in pkgutil.iter_modules(importlib.import_module(package).__path__)))


def load(package: str, name: str, what: str, contract: tuple[str, ...]) -> ModuleType:
    """Import the module `name` of a package.

    `what`: what such a module is, for messages; `contract`: the names that it must define. Raises `DetectorError`
    for an unknown name, and for a module that lacks a part of the contract.
    """
    file = _file(package, name, what)
    module = importlib.import_module(f"{package}.{name}")
    _require(contract, vars(module), what, file)
    return module


def literals(package: str, name: str, what: str, contract: tuple[str, ...]) -> SimpleNamespace:
    """The values that the module `name` of a package assigns to the names of `contract`, without importing it.

    what: what such a module is, for messages. Raises DetectorError for a name that is not there, and for a module
    that lacks a part of the contract or computes it.
    """
    file = _file(package, name, what)
    assigned: dict[str, ast.expr] = {}
    for node in ast.parse(file.read_bytes()).body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            assigned |= {target.id: node.value for target in targets if isinstance(target, ast.Name)}
    _require(contract, assigned, what, file)
    try:
        return SimpleNamespace(**{part: ast.literal_eval(assigned[part]) for part in contract})
    except ValueError as error:
        raise DetectorError(
            f"{file}: found {error}, expected literals for {', '.join(contract)}, which are read from the text"
        ) from None


def _file(package: str, name: str, what: str) -> Path:
    """The file of the module `name` of a package."""
    if name not in (known := names(package)):
        raise DetectorError(f"unknown {what} {name!r}; expected one of {', '.join(known)}")
    spec = importlib.util.find_spec(f"{package}.{name}")
    return Path(str(spec and spec.origin))


def _require(contract: tuple[str, ...], defined: Mapping, what: str, file: Path) -> None:
    if missing := [part for part in contract if part not in defined]:
        raise DetectorError(
            f"{file}: a {what} has to define {', '.join(contract)}; found no {', '.join(missing)} "
            "(docs/extending.md has an example of each)"
        )
