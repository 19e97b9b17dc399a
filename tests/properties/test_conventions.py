"""The house rules that no linter knows: names that say what a thing is, and one place for each."""

import ast
import builtins
import inspect

from detector.experiment import variants
from tests.support import ROOT

FILES = sorted((ROOT / "src/detector").rglob("*.py"))
TREES = {path.relative_to(ROOT / "src/detector").as_posix(): ast.parse(path.read_text("utf-8")) for path in FILES}


def classes(tree: ast.Module) -> dict[str, list[str]]:
    """Names of the bases, without their modules, of each class."""
    found = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    return {node.name: [ast.unparse(base).rsplit(".", 1)[-1] for base in node.bases] for node in found}


def test_exceptions_end_in_error():
    bases = {name: above for tree in TREES.values() for name, above in classes(tree).items()}

    def is_exception(name: str) -> bool:
        if name in bases:
            return any(map(is_exception, bases[name]))
        known = getattr(builtins, name, None)
        return inspect.isclass(known) and issubclass(known, BaseException)

    exceptions = {name for name in bases if is_exception(name)}
    assert {"DetectorError", "BadImageError"} <= exceptions  # else nothing was found
    assert {name for name in exceptions if not name.endswith("Error")} == set()


PAPER = {("tables/baseline_performance.py", "baseline")}  # a section of paper.yaml


def test_names_of_branches_and_sets_are_written_in_one_place():
    names = {variants.BASELINE, variants.DENSE_CONTROL, variants.COMBINED, variants.MATCHED}
    found = {
        (name, node.value)
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in names
    }
    home = {("experiment/variants.py", name) for name in names}
    assert found == home | PAPER


def test_functions_of_the_library_take_values():
    """The frame of a script and the commands of the program aside, which are where arguments are read."""
    takers = {
        f"{name}: {node.name}"
        for name, tree in TREES.items()
        if name not in ("core/job.py", "cli/main.py")
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
        if argument.annotation and "Namespace" in ast.unparse(argument.annotation)
    }
    assert takers == set()
