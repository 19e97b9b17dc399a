"""Normalisation: the mean and deviation that pixels lose before a network sees them. No torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detector.core.errors import DetectorError
from detector.core.files import read_json

KEY = "normalisation"  # in meta.json, export.json and the metadata of exported files


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of each colour, as shares of 255.

    `interpolation`: how images were resized for the weights that a network started from, where that is known. It
    is on record alone: all networks of a run see the same packed pixels.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str | None = None

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> "Normalisation":
        """Normalisation that `facts` (of meta.json, of an exported file) have on record; ImageNet's where none.

        Raises `DetectorError` for what is none.
        """
        found = facts.get(KEY)
        if found is None:
            return IMAGENET
        try:
            mean, std = (tuple(float(value) for value in found[name]) for name in ("mean", "std"))
            if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
                raise ValueError("three numbers each, std above 0")
            return cls(mean, std, found.get("interpolation"))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DetectorError(
                f"{KEY}: found {found!r}, expected mean and std, three numbers each ({error!r}); use the version "
                "of the project that wrote it"
            ) from None

    @classmethod
    def beside(cls, weights: Path) -> "Normalisation":
        """Normalisation of the trained variant that these weights are of: what meta.json in their folder says.

        Raises `DetectorError` where it is not there.
        """
        meta = Path(weights).with_name("meta.json")
        if not meta.is_file():
            raise DetectorError(f"{meta}: not there; expected it beside {weights}, as the training wrote them")
        return cls.of(read_json(meta))

    def record(self) -> dict[str, Any]:
        """JSON values that `of` reads back."""
        return {"mean": list(self.mean), "std": list(self.std), "interpolation": self.interpolation}

    def alike(self, other: "Normalisation") -> bool:
        """Whether both give a network the same numbers."""
        return (self.mean, self.std) == (other.mean, other.std)

    def facts(self) -> dict[str, Any]:
        """Facts for an exported file: nothing where it is ImageNet's, as in all files made before."""
        return {} if self == IMAGENET else {KEY: self.record()}

    def __str__(self) -> str:
        if self.alike(IMAGENET):
            return "ImageNet's mean and standard deviation"
        return f"mean {_said(self.mean)} and standard deviation {_said(self.std)}"


def _said(values: tuple[float, ...]) -> str:
    return " / ".join(f"{value:g}" for value in values)


IMAGENET = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # as in the study
