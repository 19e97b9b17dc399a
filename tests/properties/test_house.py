"""The house rules that no linter knows: names that say what a thing is, and one place for each."""

import ast
import builtins
import inspect

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
