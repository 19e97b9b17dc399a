"""Perturbations: chains of steps that images meet on the web, applied to packed pixels. No torch.

A perturbation is a list of steps, each a map of one name to one number, as `robustness.perturbations` in the
config has them: `[{scale: 0.5}, {jpeg: 75}]` is a picture that was shrunk, enlarged again and compressed. Steps
take and give uint8 (height, width, 3). They act on what the network sees, a square after the resizing of packing,
not on the file: JPEG of 64 pixels a side takes more of the content than the same of 1,024 (docs/robustness.md).
`detector evaluate` has them act on pictures as they are in their files, of any proportions.

A kind of step is a module of `steps`, found by its name. It holds

* `LABEL`: the name of an axis of its numbers, with their unit,
* `BOUNDS`: which numbers it takes, as JSON Schema,
* `LARGER_IS_STRONGER`: whether a larger number is further from doing nothing,
* `apply(image, number, seed) -> image`: uint8 (height, width, 3) both; `image` is not written to; seed: two ints,
  the image's own and the step's place.

A stage that applies or draws steps depends on the modules of those that its config uses (`code` in the rules).
"""

import zlib
from collections.abc import Mapping, Sequence
from functools import cache
from types import ModuleType

import numpy as np

from detector.core import discovery

CLEAN = "clean"  # the name of no perturbation at all
CHAIN = "chain"  # the kind of a perturbation of several steps
PACKAGE = "detector.imaging.steps"
CONTRACT = ("LABEL", "BOUNDS", "LARGER_IS_STRONGER", "apply")

Steps = Sequence[Mapping[str, float]]


def known() -> tuple[str, ...]:
    """Names of all kinds of steps."""
    return discovery.names(PACKAGE)


@cache
def step(name: str) -> ModuleType:
    """Module of a kind of step. Raises `DetectorError` for an unknown one, and for a module that lacks a part."""
    return discovery.load(PACKAGE, name, "step of perturbations", CONTRACT)


def modules(table: Mapping[str, Steps]) -> list[str]:
    """Names of the modules of all steps in the perturbations, sorted."""
    return sorted({f"{PACKAGE}.{name}" for steps in table.values() for step in steps for name in step})


def kind(steps: Steps) -> str:
    """Kind of the only step, or `chain`."""
    return next(iter(steps[0])) if len(steps) == 1 else CHAIN


def value(steps: Steps) -> float:
    """Number of the only step; NaN for a chain."""
    return float(next(iter(steps[0].values()))) if len(steps) == 1 else float("nan")


def strength(kind: str, value: float) -> float:
    """Strength of a step among those of its kind: the larger, the more it changes."""
    return value if kind == CHAIN or step(kind).LARGER_IS_STRONGER else -value


def axis_label(kind: str) -> str:
    """Label of an axis with the numbers of a kind of step, or of chains."""
    return "chains of steps" if kind == CHAIN else step(kind).LABEL


def text(steps: Steps) -> str:
    """Steps in words, such as `scale 0.5, jpeg 75`."""
    return ", ".join(f"{name} {value:g}" for step in steps for name, value in step.items())


def seed_of(source: str, path: str) -> int:
    """Seed of an image's noise, independent of other draws and their order."""
    return zlib.crc32(f"{source}/{path}".encode())


def apply(image: np.ndarray, steps: Steps, seed: int = 0) -> np.ndarray:
    """Apply all steps in turn to `image`, uint8 (height, width, 3); returns a new array of the same dtype.

    A square stays one of the same size; of other pictures quarter turns may swap the sides.

    The same image, steps and seed give the same bytes. Raises `DetectorError` for an unknown kind of step; the
    config's checks keep such steps out.
    """
    for place, one in enumerate(steps):
        ((name, number),) = one.items()
        image = step(name).apply(image, number, (seed, place))
    return np.array(image)
