"""What `train` says of a recipe holds in each stage; a stage's `recipe` and what a search finds come before it."""

from dataclasses import fields

import pytest
import yaml

from detector.experiment import config, recipes
from detector.training import search
from detector.training.recipe import Recipe, found
from tests.support import ROOT

OTHER = {"optimizer": "SGD", "learning_rate": 0.5, "momentum": 0.5}


def complete(**sections):
    return config.complete({"data": yaml.safe_load((ROOT / "config.yaml").read_text())["data"], **sections})


@pytest.mark.parametrize("stage", recipes.STAGES)
def test_the_study_s_recipe_is_that_of_a_training_without_knobs(stage):
    plain = Recipe("Adam", 1e-4, 16, 100, 3, flip=0.5, seed=0)
    own = {"patience": 3, **recipes.recipe(complete(), stage), "seed": 0}
    built = Recipe(**{"optimizer": "Adam", "learning_rate": 1e-4, **own})
    for field in fields(Recipe):
        if field.name not in recipes.OWN:
            assert getattr(built, field.name) == getattr(plain, field.name), field.name


def test_a_stage_has_the_knobs_of_train_unless_it_says_otherwise():
    full = complete(
        train={"weight_decay": 0.1, "flip": 0.25},
        search={"momentum": 0.9, "recipe": {"weight_decay": 0.2}},
        finetune={"recipe": {"momentum": 0.8}},
    )
    train, search, finetune = (recipes.recipe(full, stage) for stage in recipes.STAGES)
    assert [part["weight_decay"] for part in (train, search, finetune)] == [0.1, 0.2, 0.1]
    assert [part["flip"] for part in (train, search, finetune)] == [0.25] * 3
    assert [part["momentum"] for part in (train, search, finetune)] == [0.0, 0.9, 0.8]
    assert [part["epochs"] for part in (train, search, finetune)] == [100, 10, 100]
    assert [part["batch_size"] for part in (train, search, finetune)] == [16, 64, 64]
    assert ("optimizer" in train, "optimizer" in search, "optimizer" in finetune) == (True, False, False)


def test_what_a_search_found_is_what_its_file_says_of_knobs():
    best = {"branch": "l1-40", "trial": 3, "trials": 5, "valid_accuracy": 0.5, **OTHER}
    assert found(best) == OTHER


def test_each_knob_of_the_config_is_one_of_a_recipe_and_each_stage_can_set_it():
    schema = config.schema_of()
    train = set(schema["properties"]["train"]["properties"]) - set(recipes.SHARING)
    knobs = {field.name for field in fields(Recipe)} - {"seed", "stream"}
    assert train == knobs
    others = {*recipes.OWN, *recipes.STARTING, "learning_rate"}
    assert set(schema["$defs"]["recipe"]["properties"]) == knobs - others


def test_a_space_stands_in_place_of_the_three_keys_of_a_search():
    plain = recipes.space(complete())
    assert plain["space"] == {
        "optimizer": ["Adam", "SGD"],
        "learning_rate": {"low": 1e-6, "high": 1e-4, "log": True},
    }
    written = {"learning_rate": {"low": 1e-6, "high": 1e-4, "log": True}, "optimizer": ["Adam", "SGD"]}
    assert recipes.space(complete(search={"space": written})) == plain, "what is asked for is the same study"
    knobs = {"weight_decay": {"low": 0.0, "high": 0.1}, "batch_size": [8, 16], "momentum": [0.0, 0.9]}
    full = complete(
        train={"optimizer": "SGD", "learning_rate": 0.1, "momentum": 0.5}, search={"space": knobs, "epochs": 4}
    )
    assert recipes.space(full)["space"] == knobs
    for stage in ("search", "finetune"):
        recipe = recipes.recipe(full, stage)
        assert (recipe["optimizer"], recipe["learning_rate"]) == ("SGD", 0.1), (
            "what is not searched is the baseline's"
        )
        assert not set(recipe) & set(knobs)
    fixed = complete(train={"optimizer": "SGD", "momentum": 0.5}, search={"space": {"flip": [0.0, 0.5]}})
    assert recipes.recipe(fixed, "search")["momentum"] == recipes.recipe(fixed, "finetune")["momentum"] == 0.5


def test_every_knob_can_be_searched_but_how_long_and_by_what_trials_are_judged():
    schema = config.schema_of()
    can = set(schema["properties"]["search"]["properties"]["space"]["properties"])
    cannot = {"seed", "stream", "epochs", "patience", "select", *recipes.STARTING}
    assert can == {field.name for field in fields(Recipe)} - cannot


def test_whole_numbers_of_the_schema_are_those_of_the_recipe():
    space = config.schema_of()["properties"]["search"]["properties"]["space"]["properties"]
    whole = {
        name
        for name, part in space.items()
        if "properties" in part and part["properties"]["low"]["type"] == "integer"
    }
    assert whole == search.WHOLE & set(space)


def test_how_many_share_the_work_is_no_part_of_a_stage():
    one = complete()
    many = complete(train={"gpus": 2}, search={"workers": 3})
    assert [recipes.recipe(one, stage) for stage in recipes.STAGES] == [
        recipes.recipe(many, stage) for stage in recipes.STAGES
    ]
    assert recipes.space(one) == recipes.space(many)


def test_a_search_of_one_branch_does_not_hang_on_that_for_two_goals():
    plain = complete()
    other = complete(search={"goals": ["accuracy", "bytes"], "pareto": {"trials": 3}})
    assert recipes.space(plain) == recipes.space(other)
    assert recipes.recipe(plain, "search") == recipes.recipe(other, "search")


def test_the_search_for_two_goals_has_each_method_s_settings_and_whole_percents():
    full = complete(
        search={
            "trials": 7,
            "goals": ["accuracy", "bytes"],
            "pareto": {"methods": ["gradual", "l1"], "sparsity": [0.29, 0.57], "trials": 3},
        },
        prune={"ramp": 4},
    )
    got = recipes.pareto(full)
    assert got["methods"] == {"gradual": {"ramp": 4}, "l1": {}}
    assert (got["percent"], got["goal"], got["trials"]) == ([29, 57], "bytes", 3)
    assert got["space"] == recipes.space(full)["space"]
    assert recipes.pareto(complete())["goal"] is None
