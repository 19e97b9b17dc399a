"""Search spaces: knobs of the recipe by name, each with the values to choose from or a range of numbers."""

import copy
from collections.abc import Mapping
from typing import Any

# What a search chooses where `search.space` says nothing, and SGD's momentum in its trials.
REPLACED = ("optimizers", "learning_rate", "momentum")
NUMBERS = ("integer", "number")
# How trials are compared is the same for all of them.
FIXED = ("select",)


def space(config: Mapping) -> dict[str, Any]:
    """Knobs that the searches choose, by name: a list of values, or a map of `low`, `high` and whether `log`."""
    search = config["search"]
    if search["space"] is not None:
        given: dict[str, Any] = search["space"]
        return given
    low, high = search["learning_rate"]
    return {"optimizer": search["optimizers"], "learning_rate": {"low": low, "high": high, "log": True}}


def schema(train: Mapping, recipe: Mapping) -> dict[str, dict]:
    """Schema of each knob of `search.space`, made of those of one value of it.

    `train`: properties of the config's section, of which the rate and the batch size can be searched too;
    `recipe`: those that stages can set.
    """
    knobs = {name: train[name] for name in ("learning_rate", "batch_size")} | dict(recipe)
    return {name: _knob(one) for name, one in knobs.items() if name not in FIXED}


def _knob(one: Mapping) -> dict[str, Any]:
    """Schema of a list of such values and, if they are numbers, of a range."""
    value = {key: part for key, part in copy.deepcopy(dict(one)).items() if key != "default"}
    listed = {"items": value, "minItems": 1, "uniqueItems": True}
    types = [one["type"]] if isinstance(one.get("type"), str) else one.get("type", [])
    if not (numbers := [name for name in types if name in NUMBERS]):
        return {"description": "Values to choose from.", "type": "array", **listed}
    bound = {**value, "type": numbers[0]}
    return {
        "description": "Values to choose from, or a range: its numbers as likely, or with log their logarithms.",
        "type": ["array", "object"],
        **listed,
        "required": ["low", "high"],
        "additionalProperties": False,
        "properties": {"low": bound, "high": bound, "log": {"type": "boolean"}},
    }


def problems(config: Mapping, defaults: Mapping) -> list[str]:
    """What is wrong with the search space of a config beyond what a schema can say; `defaults`: of `search`."""
    lines, search = [], config["search"]
    chosen = space(config)
    if search["space"] is None:
        low, high = search["learning_rate"]
        if low > high:
            lines.append(f"search.learning_rate: lowest {low:g} is above highest {high:g}; swap them")
    else:
        lines += [
            f"search.{name}: found {search[name]}, in whose place search.space stands; set it back to "
            f"{defaults[name]}, or drop search.space"
            for name in REPLACED
            if search[name] != defaults[name]
        ]
        for name, how in search["space"].items():
            if isinstance(how, Mapping):
                lines += _range_problems(f"search.space.{name}", how)
    if search["sampler"] == "cmaes" and (count := sum(isinstance(how, Mapping) for how in chosen.values())) < 2:
        lines.append(
            f"search.sampler: cmaes is for two ranges or more, and there is {count or 'none'}; choose another, or "
            "add ranges"
        )
    return lines


def _range_problems(where: str, how: Mapping) -> list[str]:
    lines = []
    if how["low"] > how["high"]:
        lines.append(f"{where}: low {how['low']:g} is above high {how['high']:g}; swap them")
    if how.get("log") and how["low"] <= 0:
        lines.append(f"{where}: log is for numbers above 0, found low: {how['low']:g}; raise it, or drop log")
    return lines


def extent(how: list | Mapping) -> list:
    """Values of a knob to choose from, of a range its two ends."""
    return [how["low"], how["high"]] if isinstance(how, Mapping) else list(how)
