"""Modules that are found by their names: kinds of sources, steps of perturbations, pruning methods, metrics.

A new one is a new file (docs/extending.md). Nothing lists them and no import statement names them, so a stage
depends on those alone that its config asks for: the rules add these to its code (`code` in
`workflow/rules/common.smk`).
"""

import importlib
import pkgutil
from types import ModuleType

from detector.core.errors import DetectorError


def names(package: str) -> tuple[str, ...]:
    """Names of the modules of `package`, sorted. None of them is imported."""
    return tuple(sorted(name for _, name, _ in pkgutil.iter_modules(importlib.import_module(package).__path__)))


def load(package: str, name: str, what: str, contract: tuple[str, ...]) -> ModuleType:
    """Import the module `name` of a package.

    `what`: what such a module is, for messages; `contract`: the names that it must define. Raises `DetectorError`
    for an unknown name, and for a module that lacks a part of the contract.
    """
    if name not in (known := names(package)):
        raise DetectorError(f"unknown {what} {name!r}; expected one of {', '.join(known)}")
    module = importlib.import_module(f"{package}.{name}")
    if missing := [part for part in contract if not hasattr(module, part)]:
        raise DetectorError(
            f"{module.__file__}: a {what} has to define {', '.join(contract)}; found no {', '.join(missing)} "
            "(docs/extending.md has an example of each)"
        )
    return module
