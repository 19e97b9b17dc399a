"""Discovery of figures whose modules declare what they are drawn from; planned without importing them.

Such a module has, as literals, `FILE`, the figure's name in figures/, and `FROM`, paths below the results by
parameter of its function `draw(path, …)`. Its docstring is the title and the caption in the report. A figure with
{arch} and {seed} in its name is drawn for each run. Other wildcards in FILE are further figures of the same job;
those in FROM are the levels of a dictionary whose leaves are files, read by their suffix.
"""

import ast
import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from detector.core.errors import DetectorError

FOLDER = Path(__file__).parent
RUN = ("arch", "seed")
# What a path may leave open; `searched`: the folders of searches below their run's, by branch, or by `all` where
# the branches share one; `set`: valid and the sources; `testset`: the sources and, where several, `combined`.
WILDCARDS = (*RUN, "branch", "searched", "set", "source", "testset")
SUFFIXES = (".csv", ".parquet", ".json")
# By wildcard, its values; where what they are called is not what stands in paths, a map from the one to the other.
Values = Mapping[str, Sequence | Mapping[str, str]]


@dataclass(frozen=True)
class Figure:
    """Declaration of a figure: module name, title and caption, `FILE` and `FROM`."""

    name: str
    title: str
    caption: str
    file: str
    inputs: Mapping[str, str]

    @property
    def per_run(self) -> bool:
        """Whether the figure is drawn for each architecture and seed."""
        return set(RUN) <= set(_wildcards(self.file))

    def files(self, values: Values) -> dict[str, dict]:
        """Names of the figures that one job draws, each with the values of its wildcards other than the run's."""
        return {
            path: dict(zip(levels, keys, strict=True))
            for levels in [self._levels(self.file)]
            for keys, path in _expanded(self.file, levels, {name: list(found) for name, found in values.items()})
        }

    def sources(self, values: Values) -> list[str]:
        """Paths of all files that one job reads, in the order in which `nested` takes them."""
        return [
            path
            for pattern in self.inputs.values()
            for _, path in _expanded(pattern, self._levels(pattern), values)
        ]

    def nested(self, paths: Sequence[str], values: Values) -> dict:
        """Arrange `paths`, in the order of `sources`, by parameter and by the values of their wildcards."""
        left = iter(paths)
        found: dict = {}
        for name, pattern in self.inputs.items():
            for keys, _ in _expanded(pattern, self._levels(pattern), values):
                place = found
                for key in (name, *keys)[:-1]:
                    place = place.setdefault(key, {})
                place[(name, *keys)[-1]] = next(left)
        return found

    def _levels(self, pattern: str) -> list[str]:
        bound = RUN if self.per_run else ()
        return [name for name in _wildcards(pattern) if name not in bound]


def figures(folder: Path = FOLDER) -> dict[str, Figure]:
    """Figures that the modules of a folder declare, by name.

    Raises `DetectorError` where a declaration is no literal, has an unknown wildcard or suffix, or does not fit
    the module's `draw`.
    """
    found = (_declared(path) for path in sorted(folder.glob("*.py")))
    return {figure.name: figure for figure in found if figure is not None}


def _declared(path: Path) -> Figure | None:
    tree = ast.parse(path.read_bytes(), str(path))
    values = {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    if "FILE" not in values:
        return None
    try:
        file, inputs = ast.literal_eval(values["FILE"]), ast.literal_eval(values["FROM"])
        open_in = {pattern: _wildcards(pattern) for pattern in (file, *inputs.values())}
    except (KeyError, ValueError, TypeError, AttributeError):
        raise DetectorError(
            f'{path}: expected FILE = "name" and FROM = {{"parameter of draw": "path below results"}}, as literals'
        ) from None
    if not file.startswith(path.stem) or not file.endswith((".svg", ".png")):
        raise DetectorError(f"{path}: FILE is {file!r}, expected {path.stem}….svg or {path.stem}….png")
    if wrong := [pattern for pattern in inputs.values() if not pattern.endswith(SUFFIXES)]:
        raise DetectorError(f"{path}: FROM has {wrong[0]!r}, expected a file of {', '.join(SUFFIXES)}")
    if unknown := sorted({name for names in open_in.values() for name in names} - set(WILDCARDS)):
        raise DetectorError(f"{path}: found {{{unknown[0]}}}, expected one of {', '.join(WILDCARDS)} in braces")
    takes = [
        [argument.arg for argument in (*node.args.args, *node.args.kwonlyargs)]
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name == "draw"
    ]
    given = ["path", *inputs, *open_in[file]]
    if takes != [given]:
        raise DetectorError(f"{path}: expected one function draw({', '.join(given)}), by FROM and FILE")
    title, _, caption = (ast.get_docstring(tree) or "").partition("\n\n")
    if not title:
        raise DetectorError(f"{path}: expected a docstring: title, empty line and caption in the report")
    return Figure(path.stem, title.rstrip("."), caption or title, file, inputs)


def _wildcards(pattern: str) -> list[str]:
    """Names in braces, each once, in their order."""
    return list(dict.fromkeys(name for _, name, _, _ in string.Formatter().parse(pattern) if name is not None))


def _expanded(pattern: str, levels: Sequence[str], values: Values) -> Iterator[tuple[tuple, str]]:
    """Each combination of values of the wildcards in `levels`, and the pattern with them filled in."""
    if not levels:
        yield (), pattern
        return
    names = values[levels[0]]
    for value in names:
        filled = pattern.replace(f"{{{levels[0]}}}", str(names[value] if isinstance(names, Mapping) else value))
        for keys, path in _expanded(filled, levels[1:], values):
            yield (value, *keys), path
