"""Recipes by stage: the knobs of `train`, what `search.recipe` and `finetune.recipe` put in their place."""

from collections.abc import Mapping
from typing import Any

from detector.experiment import methods

STAGES = ("train", "search", "finetune")
OWN = ("batch_size", "epochs", "patience")  # each stage has its own, beside its `recipe`
# How many GPUs or jobs share the work, and whether branches share a search: no reason to do one again.
SHARING = ("gpus", "workers", "share")


def searched(config: Mapping) -> tuple[str, ...]:
    """Knobs whose values the searches choose, for their trials and for fine-tuning."""
    return ("optimizer", "learning_rate")


def recipe(config: Mapping, stage: str) -> dict[str, Any]:
    """Knobs of a stage by name, as `detector.training.recipe.Recipe` takes them.

    `stage`: one of `STAGES`. Those of `train` hold in all of them, unless the stage's `recipe` says otherwise; in
    trials and fine-tuning SGD's momentum is `search.momentum`, and what the search chooses is left out.
    """
    knobs = {name: value for name, value in config["train"].items() if name not in SHARING}
    if stage == "train":
        return knobs
    section = config[stage]
    knobs |= {"momentum": config["search"]["momentum"], **(section["recipe"] or {})}
    left_out = (*OWN, *searched(config))
    return {
        **{name: value for name, value in knobs.items() if name not in left_out},
        **{name: section[name] for name in OWN if name in section},
    }


def space(config: Mapping) -> dict[str, Any]:
    """What a search is by name, beside the `recipe` of its trials."""
    left_out = (*OWN, *SHARING, "momentum", "recipe", "goals", "pareto")
    return {name: value for name, value in config["search"].items() if name not in left_out}


def pareto(config: Mapping) -> dict[str, Any]:
    """What the search for two goals is by name, beside the `recipe` of its trials; its goal is None by default.

    `methods`: settings by pruning method; `percent`: the lowest and the highest; `goal`: that beside accuracy.
    """
    section, goals = config["search"]["pareto"], config["search"]["goals"]
    settings = {name: methods.facts(name).SETTINGS for name in section["methods"]}
    return {
        **{name: value for name, value in space(config).items() if name != "pruner"},
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
    knobs, lines = recipe(config, stage), []
    optimizers = [knobs["optimizer"]] if "optimizer" in knobs else config["search"]["optimizers"]
    if "SGD" not in optimizers:
        lines += [
            f"{_place(config, stage, name)}: found {own[name]}, which only SGD knows; the optimizer is "
            f"{' or '.join(optimizers)}"
            for name in ("momentum", "nesterov")
            if own.get(name)
        ]
    elif knobs["nesterov"] and knobs.get("momentum") == 0:
        nesterov, momentum = (_place(config, stage, name) for name in ("nesterov", "momentum"))
        lines.append(
            f"{nesterov}: true needs momentum, found {momentum}: 0; raise that, or set "
            f"{_switch(stage, 'nesterov')} to false"
        )
    if knobs["warmup"] and knobs["warmup"] >= knobs["epochs"]:
        place, switch = _place(config, stage, "warmup"), _switch(stage, "warmup")
        lines.append(
            f"{place}: found {knobs['warmup']}, expected less than {stage}.epochs, found {knobs['epochs']}; "
            f"lower it{'' if place == switch else f' or set {switch}'}"
        )
    return lines


def _own(config: Mapping, stage: str) -> Mapping[str, Any]:
    """Knobs that are set in this stage's part of the config."""
    own: Mapping[str, Any] = config["train"] if stage == "train" else config[stage]["recipe"] or {}
    return own


def _place(config: Mapping, stage: str, knob: str) -> str:
    """Key that the value of a knob in a stage comes from."""
    if stage != "train" and knob in _own(config, stage):
        return _switch(stage, knob)
    return "search.momentum" if knob == "momentum" and stage != "train" else f"train.{knob}"


def _switch(stage: str, knob: str) -> str:
    """Key that sets a knob for one stage alone."""
    return f"train.{knob}" if stage == "train" else f"{stage}.recipe.{knob}"
