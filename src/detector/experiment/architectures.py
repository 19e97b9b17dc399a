"""Networks by name: the library that has each, and which names there are. Nothing is imported for it.

A library is a module of `detector.models.libraries`, found by its name, with

* `create(name, size)`: the network with one logit for images of `size` pixels, its weights drawn from torch's
  generator;
* `synchronised(model)`: the network with batch normalisation over all processes on CUDA.

A stage depends on the library of its own network alone (`code` in the rules, `dependencies.key`).
"""

import difflib
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from detector.core import extras

PACKAGE, WHAT, CONTRACT = "detector.models.libraries", "library of networks", ("create", "synchronised")
STUDY = ("resnet10", "resnet18", "resnet34", "resnet50")  # torchvision's, also where timm has the name too
# The library's own mark of a network; its list of names takes a second, and torch.
_REGISTERED = re.compile(r"^@register_model[^\n]*\ndef (\w+)\(", re.MULTILINE)


def library(name: str) -> str:
    """Name of the library, and of its module, that a network comes from."""
    return "torchvision" if name in STUDY else "timm"


def module(name: str) -> str:
    """Name of the module that creates a network, which a stage imports by name."""
    return f"{PACKAGE}.{library(name)}"


def known() -> tuple[str, ...]:
    """Names of all networks, the study's first; those alone where timm is not installed."""
    return (*STUDY, *sorted(_timm() - set(STUDY)))


def problem(name: str) -> str | None:
    """A sentence on a name that is no network's: what is near, what to do; None for one that is."""
    if name in STUDY or name in _timm():
        return None
    if not _timm():
        return f"{name!r} is none of {', '.join(STUDY)}; for another network, {extras.missing('timm', 'it')}"
    near = difflib.get_close_matches(name, known(), n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"expected one of {', '.join(STUDY)}, or of timm's"
    return f"no network is called {name!r}; {hint} docs/networks.md says which there are"


@cache
def _timm() -> frozenset[str]:
    spec = find_spec("timm")
    if spec is None or not spec.submodule_search_locations:
        return frozenset()
    files = (Path(spec.submodule_search_locations[0]) / "models").glob("*.py")
    return frozenset(name for file in files for name in _REGISTERED.findall(file.read_text(encoding="utf-8")))
