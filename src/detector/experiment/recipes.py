"""Recipes by stage: the knobs of `train`, what `search.recipe` and `finetune.recipe` put in their place."""

from collections.abc import Mapping
from typing import Any

from detector.experiment import methods, spaces

STAGES = ("train", "search", "finetune")
OWN = ("batch_size", "epochs", "patience")  # each stage has its own, beside its `recipe`
# How many GPUs or jobs share the work, and whether branches share a search: no reason to do one again.
SHARING = ("gpus", "workers", "share")
STARTING = ("freeze", "body_rate", "head")  # of a training that starts from weights, the first one of an `@`


def searched(config: Mapping) -> tuple[str, ...]:
    """Knobs whose values the searches choose, for their trials and for fine-tuning."""
    return tuple(spaces.space(config))


def recipe(config: Mapping, stage: str, *, started: bool = False) -> dict[str, Any]:
    """Knobs of a stage by name, as `detector.training.recipe.Recipe` takes them.

    `stage`: one of `STAGES`. Those of `train` hold in all of them, unless the stage's `recipe` says otherwise; in
    trials and fine-tuning SGD's momentum is `search.momentum` unless there is a `search.space`. What the search
    chooses is left out. `started`: whether the network starts from weights, as it can in the stage `train` alone.
    """
    left_out = SHARING if started else (*SHARING, *STARTING)
    knobs = {name: value for name, value in config["train"].items() if name not in left_out}
    if stage == "train":
        return knobs
    section = config[stage]
    if config["search"]["space"] is None:
        knobs["momentum"] = config["search"]["momentum"]
    knobs |= section["recipe"] or {}
    own = {name: section[name] for name in OWN if name in section}
    return {
        name: value
        for name, value in ({n: v for n, v in knobs.items() if n not in OWN} | own).items()
        if name not in searched(config)
    }


def degradations(config: Mapping, stage: str) -> list[Mapping[str, Any] | None]:
    """Values that `augment` can have in a stage: that of its recipe, or those that the searches choose from."""
    found = spaces.space(config).get("augment") if stage != "train" else None
    return [recipe(config, stage).get("augment")] if found is None else list(found)


def space(config: Mapping) -> dict[str, Any]:
    """What a search is by name, beside the `recipe` of its trials."""
    left_out = (*OWN, *SHARING, *spaces.REPLACED, "recipe", "goals", "pareto")
    part = {name: value for name, value in config["search"].items() if name not in left_out}
    return {**part, "space": spaces.space(config)}


def pareto(config: Mapping) -> dict[str, Any]:
    """What the search for two goals is by name, beside the `recipe` of its trials; its goal is None by default.

    `methods`: settings by pruning method; `percent`: the lowest and the highest; `goal`: that beside accuracy.
    """
    section, goals = config["search"]["pareto"], config["search"]["goals"]
    settings = {name: methods.facts(name).SETTINGS for name in section["methods"]}
    return {
        "space": spaces.space(config),
        "goal": goals[1] if goals else None,
        "methods": {name: {key: config["prune"][key] for key in keys} for name, keys in settings.items()},
        "percent": [round(100 * share) for share in section["sparsity"]],
        "trials": section["trials"],
    }


def problems(config: Mapping) -> list[str]:
    """What is wrong with the recipes of a config beyond what a schema can say: one line for each knob."""
    return list(dict.fromkeys(line for stage in STAGES for line in _problems(config, stage)))


def _problems(config: Mapping, stage: str) -> list[str]:
    own = _own(config, stage)
    if chosen := [name for name in own if stage != "train" and name in searched(config)]:
        return [f"{stage}.recipe.{name}: the search chooses it; drop it here" for name in chosen]
    knobs, lines = _values(config, stage), []
    if "SGD" not in knobs["optimizer"]:
        lines += [
            f"{_place(config, stage, name)}: found {', '.join(map(str, knobs[name]))}, which only SGD knows; the "
            f"optimizer is {' or '.join(knobs['optimizer'])}"
            for name in ("momentum", "nesterov")
            if own.get(name) or _chosen(config, stage, name)
        ]
    elif True in knobs["nesterov"] and knobs["momentum"] == [0]:
        nesterov, momentum = (_place(config, stage, name) for name in ("nesterov", "momentum"))
        switch = nesterov if _chosen(config, stage, "nesterov") else _switch(stage, "nesterov")
        value = "[false]" if nesterov == switch == "search.space.nesterov" else "false"
        lines.append(
            f"{nesterov}: true needs momentum, found {momentum}: 0; raise that, or set {switch} to {value}"
        )
    warmup, (epochs,) = max(knobs["warmup"]), knobs["epochs"]
    if warmup and warmup >= epochs:
        place, switch = _place(config, stage, "warmup"), _switch(stage, "warmup")
        here = place == switch or _chosen(config, stage, "warmup")
        lines.append(
            f"{place}: found {warmup}, expected less than {stage}.epochs, found {epochs}; "
            f"lower it{'' if here else f' or set {switch}'}"
        )
    return lines


def _values(config: Mapping, stage: str) -> dict[str, list]:
    """Values that each knob can have in a stage; of a range that is searched, its two ends."""
    fixed = {name: [value] for name, value in recipe(config, stage).items()}
    chosen = spaces.space(config) if stage != "train" else {}
    return fixed | {name: spaces.extent(how) for name, how in chosen.items()}


def _chosen(config: Mapping, stage: str, knob: str) -> bool:
    """Whether the search chooses the knob of a stage."""
    return stage != "train" and knob in searched(config)


def _own(config: Mapping, stage: str) -> Mapping[str, Any]:
    """Knobs that are set in this stage's part of the config."""
    own: Mapping[str, Any] = config["train"] if stage == "train" else config[stage]["recipe"] or {}
    return own


def _place(config: Mapping, stage: str, knob: str) -> str:
    """Key that the value of a knob in a stage comes from."""
    if _chosen(config, stage, knob):
        return f"search.space.{knob}"
    if stage != "train" and knob in _own(config, stage):
        return _switch(stage, knob)
    plain = knob != "momentum" or stage == "train" or config["search"]["space"] is not None
    return f"train.{knob}" if plain else "search.momentum"


def _switch(stage: str, knob: str) -> str:
    """Key that sets a knob for one stage alone."""
    return f"train.{knob}" if stage == "train" else f"{stage}.recipe.{knob}"
