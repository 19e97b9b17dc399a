"""Contenders: what is evaluated, as the command line names it, and what identifies it.

A contender is a bundle or its ONNX file, `python:PACKAGE.MODULE:FUNCTION[:batch]`, `command:PROGRAM` or
`scores:FILE.csv`; `,threshold=NUMBER` and `,name=NAME` may follow. More means more fake.
"""

import hashlib
import importlib.machinery
import math
import re
import shlex
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from detector.core.errors import DetectorError
from detector.core.files import canonical, sha256
from detector.experiment.formats import FILES

BUNDLE, PYTHON, COMMAND, SCORES = "bundle", "python", "command", "scores"
OPTION = re.compile(r",(threshold|name)=([^,]*)$")
ODD_OPTION = re.compile(r",\s*(\w+)\s*=[^,]*$")
FUNCTION = re.compile(r"([^\W\d]\w*(?:\.[^\W\d]\w*)*):([^\W\d]\w*)(:batch)?")
HALF = 0.5  # the threshold of a bundle


@dataclass(frozen=True)
class Contender:
    """Contender as the command line names it."""

    text: str  # without options
    kind: str
    target: str  # what follows the kind
    name: str
    threshold: float | None  # scores above it mean fake

    @property
    def batched(self) -> bool:
        """Whether a Python function takes a list of paths."""
        return self.kind == PYTHON and self.target.endswith(":batch")

    @property
    def files(self) -> list[Path]:
        """Files that make it what it is, as far as they are known."""
        if self.kind == BUNDLE:
            return [_model_file(Path(self.target))]
        if self.kind == PYTHON:
            return _package(self.target.split(":")[0])
        if self.kind == SCORES:
            return [Path(self.target)]
        try:
            words = shlex.split(self.target)
        except ValueError:
            words = self.target.split()
        return [path for path in map(Path, words) if path.is_file()]

    @property
    def key(self) -> str:
        """Identity: another one where text or files are others."""
        known = [(str(path), sha256(path)) for path in self.files]
        return hashlib.sha256(canonical([self.text, known]).encode()).hexdigest()[:12]


def parse(text: str) -> Contender:
    """Contender of one `--model`. Raises `DetectorError` where it is none of the forms."""
    rest, options = text, {}
    while found := OPTION.search(rest):
        options[found[1]] = found[2]
        rest = rest[: found.start()]
    kind, _, target = rest.partition(":")
    if kind not in (PYTHON, COMMAND, SCORES):
        kind, target = BUNDLE, rest
    try:
        _check(text, kind, target)
    except DetectorError as error:
        if odd := ODD_OPTION.search(target):
            raise DetectorError(
                f"--model {text}: found the option {odd[1]}, expected threshold or name, as in ,threshold=0.5"
            ) from error
        raise
    names = {BUNDLE: target, PYTHON: target, COMMAND: target.strip()[:60], SCORES: Path(target).stem}
    threshold = _threshold(text, options["threshold"]) if "threshold" in options else None
    if threshold is None and kind == BUNDLE:
        threshold = HALF
    return Contender(rest, kind, target, options.get("name") or names[kind], threshold)


def parse_all(texts: Iterable[str]) -> list[Contender]:
    """Contenders of all `--model`s. Raises `DetectorError` as `parse`, and where two have one name."""
    found = [parse(text) for text in texts]
    names = [contender.name for contender in found]
    for name in names:
        if names.count(name) > 1:
            raise DetectorError(f"--model: found two that are called {name}; name one with ,name=NAME after it")
    return found


def _check(text: str, kind: str, target: str) -> None:
    if kind == PYTHON and not FUNCTION.fullmatch(target):
        raise DetectorError(
            f"--model {text}: expected python:PACKAGE.MODULE:FUNCTION, with :batch after it or not"
        )
    if kind == COMMAND and not target.strip():
        raise DetectorError(f"--model {text}: found no program, expected command:PROGRAM")
    if kind == SCORES and not Path(target).is_file():
        raise DetectorError(
            f"--model {text}: found no file {target}, expected a CSV with the columns path and score"
        )
    if kind == BUNDLE and not _model_file(Path(target)).is_file():
        raise DetectorError(
            f"--model {text}: found no such bundle, expected its folder or an ONNX file in one, "
            "python:PACKAGE.MODULE:FUNCTION, command:PROGRAM or scores:FILE.csv"
        )


def _threshold(text: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise DetectorError(f"--model {text}: found threshold {value!r}, expected a number")
    return number


def _model_file(path: Path) -> Path:
    return path / FILES["onnx-fp32"] if path.is_dir() else path


def _package(module: str) -> list[Path]:
    """Source files of the package that holds a module, found without importing it; [] where there is none."""
    spec = importlib.machinery.PathFinder.find_spec(module.split(".")[0], ["", *sys.path])
    if spec is None:
        return []
    folders = spec.submodule_search_locations
    if folders is None:
        return [Path(spec.origin)] if spec.origin and Path(spec.origin).is_file() else []
    files = (path for folder in folders for path in Path(folder).rglob("*") if "__pycache__" not in path.parts)
    return sorted(path for path in files if path.is_file())
