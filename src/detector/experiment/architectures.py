"""Networks by name: the library that has each, and which names there are. Nothing is imported for it.

An architecture is NETWORK, or NETWORK@INIT where it starts from weights (`detector.experiment.inits`); behind
either stands +STEP where its images are made another way than those of the run (`STEPS`). A library is a module of
`detector.models.libraries`, found by the network's name, with

* `create(name, size)`: the network with one logit for images of `size` pixels, its weights drawn from torch's
  generator;
* `synchronised(model)`: the network with batch normalisation over all processes on CUDA;
* `head(model)`: names of the layers that make logits of features;
* `attentions(model)`: its modules of self-attention that go on working with fewer heads: each has the layers `qkv`
  and `proj`, and notes `num_heads`, `head_dim` and `attn_dim`, the product of these;
* `described(name)`: `mean`, `std`, `interpolation` and `licence` of the library's weights, as far as it says;
* `PACKAGES`: packages that hold weights, below `models/`, by network;
* `address(name)`: where the library's weights can be had, None where it has none;
* `converted(name, size, weights)`: weights of a file by the names of the network, with whatever head they have, or
  none; torch's `RuntimeError` where one is missing, left over or of another shape.

A stage depends on the library of its own network alone (`code` in the rules, `dependencies.key`).
"""

import difflib
import re
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from detector.core import extras

PACKAGE, WHAT = "detector.models.libraries", "library of networks"
CONTRACT = ("create", "synchronised", "head", "attentions", "described", "PACKAGES", "address", "converted")
AT = "@"  # between a network and what it starts from
PLUS = "+"  # before a step of preprocessing of its own
# Steps of preprocessing that an architecture can have of its own, with what `imaging.preprocessing` calls them and
# their settings: error levels, of the quality that is theirs.
STEPS: dict[str, dict] = {"ela": {"ela": {}}}
STARTS = "detector.models.starts"  # the module that reads start weights, imported by name
STUDY = ("resnet10", "resnet18", "resnet34", "resnet50")  # torchvision's, also where timm has the name too
OWN = ("resnet18_attention", "resnet18_gram", "small_cnn", "small_cnn_attention", "small_resnet")
# The library's own mark of a network; its list of names takes a second, and torch.
_REGISTERED = re.compile(r"^@register_model[^\n]*\ndef (\w+)\(", re.MULTILINE)


def identity(entry: str | Mapping[str, str]) -> str:
    """The name of an architecture as the config has it: that name, or a map of `name` and `preprocess`."""
    if isinstance(entry, str):
        return entry
    return f"{entry['name']}{PLUS}{entry['preprocess']}" if "preprocess" in entry else entry["name"]


def step(name: str) -> str | None:
    """The step of preprocessing that an architecture has of its own; None where it sees what others see."""
    _, plus, found = name.partition(PLUS)
    return found if plus else None


def scratch(name: str) -> str:
    """The architecture that sees the same pixels from scratch."""
    found = step(name)
    return network(name) if found is None else f"{network(name)}{PLUS}{found}"


def network(name: str) -> str:
    """The network of an architecture, without what it starts from and how its images are made."""
    return name.partition(PLUS)[0].partition(AT)[0]


def start(name: str) -> str | None:
    """What an architecture starts from, by name; None from scratch."""
    _, at, init = name.partition(PLUS)[0].partition(AT)
    return init if at else None


def library(name: str) -> str:
    """Name of the library, and of its module, that the network of an architecture comes from."""
    if network(name) in OWN:
        return "detector"
    return "torchvision" if network(name) in STUDY else "timm"


def module(name: str) -> str:
    """Name of the module that creates the network of an architecture, which a stage imports by name."""
    return f"{PACKAGE}.{library(name)}"


def modules(name: str) -> list[str]:
    """Names of the modules that the first training of an architecture imports by name."""
    return [module(name), *([STARTS] if start(name) is not None else [])]


def known() -> tuple[str, ...]:
    """Names of all networks, the study's first, then our own; those alone where timm is not installed."""
    return (*STUDY, *OWN, *sorted(_timm() - {*STUDY, *OWN}))


def problem(name: str) -> str | None:
    """A sentence on an architecture of no known network or step: what is near, what to do; None for any other."""
    own = step(name)
    if own is not None and own not in STEPS:
        near = difflib.get_close_matches(own, STEPS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(STEPS)}"
        return f"{name}: no step of preprocessing is called {own!r}; {hint}"
    name = network(name)
    ours = (*STUDY, *OWN)
    if name in ours or name in _timm():
        return None
    if not _timm():
        return f"{name!r} is none of {', '.join(ours)}; for another network, {extras.missing('timm', 'it')}"
    near = difflib.get_close_matches(name, known(), n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"expected one of {', '.join(ours)}, or of timm's;"
    return f"no network is called {name!r}; {hint} docs/networks.md says which there are"


@cache
def _timm() -> frozenset[str]:
    spec = find_spec("timm")
    if spec is None or not spec.submodule_search_locations:
        return frozenset()
    files = (Path(spec.submodule_search_locations[0]) / "models").glob("*.py")
    return frozenset(name for file in files for name in _REGISTERED.findall(file.read_text(encoding="utf-8")))
