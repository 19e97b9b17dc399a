"""Networks by name, with what each costs at an image size: for `detector networks`."""

import fnmatch
from collections.abc import Iterator, Sequence

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
            cost = networks.cost(name, size)
        except DetectorError as error:
            yield f"{name:{WIDTH}} {library:11} {str(error).splitlines()[0][:200]}"
        else:
            yield f"{name:{WIDTH}} {library:11} {cost.parameters:13,} {cost.macs:18,}"
