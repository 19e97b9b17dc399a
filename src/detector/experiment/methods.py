"""Pruning methods by name: what the config, tables and model cards know of them without importing one.

A method is a module of `detector.pruning.methods`, found by its name. It holds as literals, which are read from
its text, so that planning and tables import no torch,

* `PERCENT_OF`: what its percents are a share of, `weights` (conv and fc) or `parameters` (all, removed),
* `SETTINGS`: names of the keys of `prune` in the config that it takes beside its share,
* `CARD`: what a model card says was done, with `{zeros}`, `{channels}` and `{parameters}` for percents;

and

* `start(model, pruning, seed)`: the network that a branch starts from and what `fit` is to keep at zero: masks, a
  rule by which they grow (`pruning.masks.Gradual`), or None. pruning: `sparsity` and the settings by name.

A stage depends on the modules of the methods of its branches (`code` in the rules).
"""

from functools import cache
from types import SimpleNamespace

from detector.core import discovery

PACKAGE = "detector.pruning.methods"
FACTS = ("PERCENT_OF", "SETTINGS", "CARD")
CONTRACT = (*FACTS, "start")
WHAT = "pruning method"


def known() -> tuple[str, ...]:
    """Names of all pruning methods."""
    return discovery.names(PACKAGE)


@cache
def facts(method: str) -> SimpleNamespace:
    """`FACTS` of a method as attributes. Raises `DetectorError` for an unknown method or one without them."""
    return discovery.literals(PACKAGE, method, WHAT, FACTS)


def module(method: str) -> str:
    """Name of a method's module, which a stage that prunes by it imports by name."""
    return f"{PACKAGE}.{method}"
