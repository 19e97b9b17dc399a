"""Every public module, class and function of the library says what it is; who raises `DetectorError` says so."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import ROOT

LIBRARY = ROOT / "src/detector"
MODULES = [path for path in sorted(LIBRARY.rglob("*.py")) if path.parent.name != "templates"]
LINE = 115
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def public(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, Definition]]:
    """Public functions, classes and methods with their dotted names, `@overload`s and inner functions left out."""
    for node in body:
        if isinstance(node, Definition) and not node.name.startswith("_") and not is_overload(node):
            yield prefix + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body, f"{prefix}{node.name}.")


def is_overload(node: Definition) -> bool:
    return any(isinstance(item, ast.Name) and item.id == "overload" for item in node.decorator_list)


def own_statements(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function's body, those of functions and classes defined in it left out."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, Definition | ast.Lambda):
            yield child
            yield from own_statements(child)


def raises_detector_error(node: Definition) -> bool:
    return not isinstance(node, ast.ClassDef) and any(
        isinstance(statement, ast.Raise)
        and isinstance(statement.exc, ast.Call)
        and isinstance(statement.exc.func, ast.Name)
        and statement.exc.func.id == "DetectorError"
        for statement in own_statements(node)
    )


def faults(source: str) -> list[str]:
    """What is missing in the docstrings of one module, given its text."""
    tree = ast.parse(source)
    first = (ast.get_docstring(tree) or "").split("\n\n")[0]
    wrong = []
    if not first.endswith(".") or "\n" in first or len(first) > LINE:
        wrong.append("the module's first line is no sentence of one line")
    for name, node in public(tree.body):
        text = ast.get_docstring(node) or ""
        if not text:
            wrong.append(f"{name} has no docstring")
        elif raises_detector_error(node) and not re.search(r"\b[Rr]aises?\b.*DetectorError", text, re.DOTALL):
            wrong.append(f"{name} raises DetectorError and does not say so")
    return wrong


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(LIBRARY).as_posix())
def test_public_names_are_documented(path: Path):
    assert faults(path.read_text()) == []


def test_each_fault_is_found():
    """The check itself: of nine definitions it reports the four that say too little."""
    source = '''"""A riddle
on two lines."""

def bare(): ...

@overload
def open_about_it(one): ...

def silent():
    """Does something."""
    raise DetectorError("no")

def open_about_it():
    """Does something. Raises `DetectorError` where it cannot."""
    raise DetectorError("no")

def outer():
    """Makes a function that fails."""
    def inner():
        raise DetectorError("no")
    return inner

def _private(): ...

class Model:
    """A model."""

    def __init__(self): ...

    def method(self): ...
'''
    assert faults(source) == [
        "the module's first line is no sentence of one line",
        "bare has no docstring",
        "silent raises DetectorError and does not say so",
        "Model.method has no docstring",
    ]
