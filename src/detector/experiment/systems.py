"""Systems by name: variants that are no single network. No torch, no scikit-learn.

A system has a baseline alone, runs/{system}/seed{seed}/baseline. It is either a classifier on `features` of
images, or the mean logit of several networks, each trained on a part of the training images (`mean_of`). Features
are radial spectra, what a network of this run has learned (its baseline of the same seed), or what the weights
give that a network starts from (NETWORK@INIT), which nothing here trains.
"""

import difflib
from collections.abc import Mapping
from typing import Any

from detector.experiment import architectures, inits

SPECTRUM = "spectrum"
EXPECTED = "expected features and classifier, or mean_of and parts"


def classifiers(config: Mapping) -> list[str]:
    """Names of the systems that classify features."""
    return [name for name, how in config["systems"].items() if "features" in how]


def ensembles(config: Mapping) -> list[str]:
    """Names of the systems that are means of networks."""
    return [name for name, how in config["systems"].items() if "mean_of" in how]


def network(how: Mapping[str, Any]) -> str | None:
    """The architecture whose features a system takes, or whose networks it is the mean of; None for spectra."""
    named: str = how.get("mean_of") or how["features"]
    return None if named == SPECTRUM else named


def frozen(how: Mapping[str, Any]) -> bool:
    """Whether a system takes the features of start weights, which nothing here trains."""
    return "features" in how and architectures.start(how["features"]) is not None


def networks(config: Mapping) -> list[str]:
    """Architectures that systems need beside those of the config."""
    named = (network(how) for how in config["systems"].values())
    return list(dict.fromkeys(name for name in named if name and name not in config["architectures"]))


def problems(config: Mapping) -> list[str]:
    """What is wrong with the systems of a config beyond what a schema can say, without a look at files."""
    lines = []
    for name, how in config["systems"].items():
        where = f"systems.{name}"
        if name in config["architectures"] or architectures.problem(name) is None:
            lines.append(f"{where}: {name} is the name of a network; choose another for the system")
        kinds = [{"features", "classifier"}, {"mean_of", "parts"}]
        if not any(needed <= set(how) for needed in kinds) or all(needed & set(how) for needed in kinds):
            lines.append(f"{where}: found {', '.join(how) or 'nothing'}, {EXPECTED}")
        elif "images" in how and "mean_of" in how:
            lines.append(f"{where}.images: networks see all images of their part; take it out")
        else:
            lines += _network_problems(config, where, how)
    return lines


def _network_problems(config: Mapping, where: str, how: Mapping[str, Any]) -> list[str]:
    key = f"{where}.mean_of" if "mean_of" in how else f"{where}.features"
    named = network(how)
    if named is None:
        return []
    if "features" in how and not frozen(how):
        known = [SPECTRUM, *(name for name in config["architectures"])]
        if named in known:
            return []
        near = difflib.get_close_matches(named, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(known)}, or NETWORK@INIT"
        return [f"{key}: {named!r} is not among the architectures, whose baselines a run trains; {hint}"]
    if wrong := architectures.problem(named):
        return [f"{key}: {wrong}"]
    return [f"{key}: {why}" for why in inits.unknown(config, named)]
