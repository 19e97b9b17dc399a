"""Networks by name, with what each costs at an image size: for `detector networks`."""

import fnmatch
import importlib
from collections.abc import Iterator, Sequence

import torch

from detector.core.errors import DetectorError
from detector.experiment import architectures
from detector.models import networks

WIDTH = 44  # of the longest names, nearly


def matching(pattern: str) -> list[str]:
    """Names that hold `pattern`, or match it where it has `*` or `?`, the study's first; all names for "".

    Raises `DetectorError` where there is none, with the nearest names.
    """
    wanted = pattern.lower() if set(pattern) & set("*?[") else f"*{pattern.lower()}*"
    if not (found := fnmatch.filter(architectures.known(), wanted)):
        raise DetectorError(architectures.problem(pattern) or f"no network is called {pattern!r}")
    return found


def lines(names: Sequence[str], size: int) -> Iterator[str]:
    """Lines of a table for images of `size` pixels, each as soon as its network is built."""
    yield f"{'network':{WIDTH}} {'library':11} {'parameters':>13} {f'MACs at {size} px':>18}"
    for name in names:
        library = architectures.library(name)
        try:
            parameters, macs = _cost(name, size)
        except DetectorError as error:
            yield f"{name:{WIDTH}} {library:11} {str(error).splitlines()[0][:200]}"
        else:
            yield f"{name:{WIDTH}} {library:11} {parameters:13,} {macs:18,}"


def _cost(name: str, size: int) -> tuple[int, int]:
    """Parameters, and multiply-accumulates of one image. Raises `DetectorError` where it takes no such images."""
    importlib.import_module(architectures.module(name))  # not below: tensors of its own are no shapes alone
    try:
        with torch.device("meta"):  # shapes alone: nothing is drawn, and nothing computed
            network = networks.build(name, size=size)
            return networks.parameter_count(network), networks.macs(network, size)
    except Exception:  # of any library: some networks look at their weights when they are built
        network = networks.build(name, size=size)
    try:
        return networks.parameter_count(network), networks.macs(network, size)
    except Exception as error:  # of any library, about any network
        said = str(error).strip().split("\n")[0] or type(error).__name__
        raise DetectorError(f"takes no images of {size} px: {said}") from None
