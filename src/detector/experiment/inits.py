"""Starts by name: what comes after the `@` of an architecture, and whether the config has it. No torch."""

import difflib
from collections.abc import Mapping
from typing import Any

from detector.experiment import architectures

PRETRAINED = "pretrained"  # the weights that the network's library offers itself


def entry(config: Mapping, name: str) -> str | dict[str, Any] | None:
    """What `inits` says of an architecture's start; None for the library's own weights."""
    init = architectures.start(name)
    found: str | dict[str, Any] | None = None if init == PRETRAINED else config["inits"][init]
    return found


def whole(config: Mapping, name: str) -> bool:
    """Whether an architecture starts from weights that its head is taken of too."""
    how = config["inits"].get(architectures.start(name))
    return isinstance(how, Mapping) and bool(how["whole"])


def unknown(config: Mapping, name: str) -> list[str]:
    """What is wrong with the name of an architecture's start: a sentence, or none."""
    known, init = [PRETRAINED, *config["inits"]], architectures.start(name)
    if init is None or init in known:
        return []
    near = difflib.get_close_matches(init, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(known)}"
    return [f"inits has no {init!r}; {hint}"]


def problems(config: Mapping) -> list[str]:
    """What is wrong with the starts of a config beyond what a schema can say, without a look at files."""
    lines = []
    if PRETRAINED in config["inits"]:
        lines.append(f"inits.{PRETRAINED}: the name of the libraries' own weights; choose another")
    for name in config["architectures"]:
        lines += [f"architectures: {name}: {why}" for why in unknown(config, name)]
    for name, how in config["inits"].items():
        if isinstance(how, Mapping) and (how["mean"] is None) != (how["std"] is None):
            lines.append(f"inits.{name}: found one of mean and std, expected both or neither")
    train = config["train"]
    members = [how["mean_of"] for how in config["systems"].values() if "mean_of" in how]
    if not any(map(architectures.start, [*config["architectures"], *members])):
        lines += [
            f"train.{knob}: found {train[knob]}, but every network is trained from scratch; name a start, such as "
            f"{config['architectures'][0]}@{PRETRAINED} in architectures, or set it to {default}"
            for knob, default in (("freeze", 0), ("body_rate", 1), ("head", "drawn"))
            if train[knob] != default
        ]
    if not train["epochs"]:
        lines += [
            f"train.epochs: found 0, expected at least 1, since {name} starts without a head; or set "
            "inits.NAME.whole to true for what it starts from"
            for name in [*config["architectures"], *members]
            if not whole(config, name)
        ]
    elif train["freeze"] > train["epochs"]:
        lines.append(
            f"train.freeze: found {train['freeze']}, expected no more than train.epochs, found {train['epochs']}"
        )
    return lines
