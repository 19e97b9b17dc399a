"""Dependencies of a stage: the library files and packages that its script reaches through its imports.

Snakemake watches a rule's text and inputs, not what a script imports; the rules name what is found here as inputs
(`library_files`). A state from which a killed job goes on is named by the same code and by the versions of what it
imports (`key`), so that nothing is begun by one program and finished by another.
"""

import ast
import hashlib
import importlib.metadata
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from detector.core.files import canonical

LIBRARY = Path(__file__).parents[1]

# Bars, logs, error texts, locks, stops, where a result comes from, this module: they change what people read and
# when a job runs, and never a result.
NO_RESULT = frozenset(
    f"detector.{name}"
    for name in (
        *("core.dependencies", "core.errors", "core.extras", "core.job", "core.locks", "core.progress"),
        *("core.provenance", "core.signals", "models.gpus"),
    )
)
# Packages that show progress, or store what they are given; what they store is in a key by its content.
NO_RESULT_PACKAGES = frozenset({"tqdm", "pandas", "pyarrow", "safetensors"})
# Names of distributions by the name of their import, where the two differ; of several, the one that is installed.
DISTRIBUTIONS = {
    "PIL": ("pillow",),
    "cv2": ("opencv-python-headless", "opencv-python", "opencv-contrib-python"),
    "pillow_heif": ("pillow-heif",),
    "sklearn": ("scikit-learn",),
    "torch_pruning": ("torch-pruning",),
    "yaml": ("pyyaml",),
}


def library_files(script: Path | str, *modules: str, library: Path = LIBRARY) -> list[Path]:
    """Library files that shape what `script` computes, sorted.

    They are those that the script reaches through absolute imports of `detector`, anywhere in the file, and
    through `modules`, which it imports by name (such as `detector.data.sources.folder`). `NO_RESULT` and the
    `__init__.py` of packages, which hold docstrings alone, are left out. Nothing is imported. `library`: the
    folder of the package.
    """
    found: set[Path] = set()
    waiting = [Path(script), *(_file(name, library) for name in modules)]
    while waiting:
        path = waiting.pop()
        if path is None:
            continue
        if path.is_relative_to(library):
            found.add(path)
        for name in _imports(path):
            file = _file(name, library) if name not in NO_RESULT else None
            if file is not None and file not in found:
                found.add(file)
                waiting.append(file)
    return sorted(found)


def packages(script: Path | str, *modules: str, library: Path = LIBRARY) -> list[str]:
    """Import names of the third-party packages that `script` and its library files import, sorted."""
    files = [Path(script), *library_files(script, *modules, library=library)]
    roots = {name.split(".")[0] for path in files for name in _imports(path)}
    return sorted(roots - {"detector"} - sys.stdlib_module_names - NO_RESULT_PACKAGES)


def versions(names: list[str]) -> dict[str, str]:
    """Installed version of each imported package by its import name; "" where it is not installed."""
    return {name: _version(name) for name in names}


def key(script: Path | str, *parts: object, modules: Sequence[str] = (), library: Path = LIBRARY) -> str:
    """Name of a resume state: a hash of everything that the work of `script` depends on.

    That is `parts` (JSON values: settings, seeds, hashes of data), the code of the script and of its library files
    without comments and docstrings, and the versions of Python (major and minor) and of its packages.
    """
    script = Path(script)
    digest = hashlib.sha256(canonical(parts).encode())
    for path in [script, *library_files(script, *modules, library=library)]:
        digest.update(f"{path.name}\n{_code(path)}\n".encode())
    digest.update(
        canonical([sys.version_info[:2], versions(packages(script, *modules, library=library))]).encode()
    )
    return digest.hexdigest()[:16]


def _imports(path: Path) -> tuple[str, ...]:
    """Names of all modules that a file imports, and of the packages that hold them."""
    return _imports_of(path, *_stamp(path))


def _code(path: Path) -> str:
    """The syntax tree of a file as text: what is left when comments, docstrings and layout are gone."""
    return _code_of(path, *_stamp(path))


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size


# Read once while a file stays the same. Two functions: a workflow asks for the imports of all files at each start,
# and text of their trees takes longer than the trees.
@cache
def _imports_of(path: Path, _changed: int, _size: int) -> tuple[str, ...]:
    names = set(_imported(ast.parse(path.read_bytes())))
    return tuple(sorted({name.rsplit(".", depth)[0] for name in names for depth in range(name.count(".") + 1)}))


@cache
def _code_of(path: Path, _changed: int, _size: int) -> str:
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return ast.dump(tree)


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """The statements within a node, without a look into expressions, which are nine tenths of a tree."""
    for field in ("body", "handlers", "orelse", "finalbody", "cases"):
        for inner in getattr(node, field, ()):
            yield inner
            yield from _statements(inner)


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module
            if node.module.split(".")[0] == "detector":  # what is imported may be a module itself
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _file(name: str, library: Path) -> Path | None:
    """The file of a module of the library; None for a package, another module, or a name inside one."""
    if name.split(".")[0] != library.name:
        return None
    path = (library.parent / name.replace(".", "/")).with_suffix(".py")
    return path if path.is_file() else None


def _version(name: str) -> str:
    for distribution in DISTRIBUTIONS.get(name, (name,)):
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    return ""
