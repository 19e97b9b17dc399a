"""config.yaml is the study, number for number, and whatever is wrong with a config is said in one error."""

import copy
from pathlib import Path

import pytest
import yaml

from detector import config
from detector.errors import DetectorError
from detector.files import canonical

ROOT = Path(__file__).parents[1]
SCHEMA = ROOT / "workflow/schemas/config.schema.yaml"


@pytest.fixture
def study():
    return yaml.safe_load((ROOT / "config.yaml").read_text())


def test_the_plain_config_is_the_study(study):
    full = config.complete(study, SCHEMA)
    assert full["data"]["use"] == ["faces140k", "celebdf", "synthbuster"]
    assert full["data"]["fractions"] == [0.8, 0.1, 0.1]
    assert full["images"]["size"] == 224
    assert full["architectures"] == ["resnet50"]
    assert full["train"] == {
        **{
            "optimizer": "Adam",
            "learning_rate": 1e-4,
            "batch_size": 16,
            "epochs": 100,
            "patience": 3,
            "flip": 0.5,
        },
        "gpus": 1,
    }
    assert full["prune"]["methods"] == {"l1": [0.1, 0.2, 0.3, 0.4]}
    assert full["search"]["trials"] == 5
    assert full["search"]["epochs"] == 10
    assert full["search"]["batch_size"] == 64
    assert full["search"]["optimizers"] == ["Adam", "SGD"]
    assert full["search"]["learning_rate"] == [1e-6, 1e-4]
    assert (full["finetune"]["epochs"], full["finetune"]["patience"]) == (100, 3)


def test_the_schema_s_defaults_are_the_same_study(study):
    """Leaving a section out changes nothing: config.yaml and the defaults cannot drift apart."""
    sparse = {"data": study["data"]}
    assert config.complete(sparse, SCHEMA) == config.complete(study, SCHEMA)


def test_every_overlay_is_valid(study):
    for path in sorted((ROOT / "configs").glob("*.yaml")):
        config.complete(merge(study, yaml.safe_load(path.read_text())), SCHEMA)


def test_the_dense_control_comes_first(study):
    assert list(config.branches(config.complete(study, SCHEMA))) == ["l1-00", "l1-10", "l1-20", "l1-30", "l1-40"]
    full = config.complete(merge(study, {"prune": {"methods": {"random": [0.4]}}}), SCHEMA)
    assert config.branches(full)["random-40"] == {"method": "random", "sparsity": 0.4}
    assert "gradual-90" not in config.branches(full)
    full = config.complete(merge(study, {"prune": {"methods": {"gradual": [0.9]}, "ramp": 3}}), SCHEMA)
    assert config.branches(full)["gradual-90"] == {"method": "gradual", "sparsity": 0.9, "ramp": 3}
    full = config.complete(merge(study, {"prune": {"methods": {"matched": [0.4]}}}), SCHEMA)
    matched, dense = config.branches(full)["matched-40"], config.branches(full)["l1-00"]
    assert matched == {**dense, "hyperparameters_of": "l1-40"}, "pruned as the dense control is"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"trian": {}}, "trian: unknown key; did you mean 'train'?"),
        ({"train": {"epoch": 3}}, "train.epoch: unknown key; did you mean 'epochs'?"),
        ({"train": {"epochs": "ten"}}, 'train.epochs: found "ten", expected integer'),
        ({"train": {"learning_rate": "1e-4"}}, "write a decimal point"),
        ({"train": {"epochs": 0}}, "train.epochs: found 0, expected at least 1"),
        ({"prune": {"methods": {"l1": [1.0]}}}, "prune.methods.l1.0: found 1.0, expected less than 1"),
        ({"prune": {"methods": {"l1": [-0.1]}}}, "prune.methods.l1.0: found -0.1, expected at least 0"),
        ({"prune": {"methods": {"l1": [0.123]}}}, "expected whole percents"),
        ({"prune": {"methods": {"l1": []}}}, "prune.methods.l1: found [], expected at least 1 item"),
        ({"prune": {"methods": {"l2": [0.1]}}}, "l2"),
        (
            {"prune": {"methods": {"matched": [0.4, 0.5]}}},
            "prune.methods.matched: [0.5], expected shares that l1 has",
        ),
        ({"seeds": []}, "seeds: found [], expected at least 1 item"),
        ({"architectures": ["vgg"]}, "expected one of resnet18, resnet34, resnet50"),
        ({"data": {"use": ["nothing"]}}, "data.use: 'nothing' has no section"),
        ({"data": {"fractions": [0.8, 0.1, 0.2]}}, "expected 1"),
        ({"data": {"sources": {"celebdf": {"split": "offical"}}}}, "expected one of paper, official, identity"),
        ({"data": {"sources": {"mine": {"root": "x"}}}}, "data.sources.mine: no `type`"),
        (
            {"data": {"use": ["valid"], "sources": {"valid": {"type": "folder", "root": "x"}}}},
            "cannot be called 'valid'",
        ),
        ({"search": {"learning_rate": [1.0e-3, 1.0e-5]}}, "swap them"),
        ({"deploy": {"branches": ["l1-41"]}}, "deploy.branches: no l1-41; there are baseline, l1-00, l1-10"),
        (
            {"deploy": {"branches": "l1-40"}},
            '"l1-40", which is none of what it can be: Branches that are exported',
        ),
        ({"images": {"resize_to": 200}}, "images.resize_to: 200 is below images.size, 224"),
        ({"images": {"resize_to": "no"}}, 'images.resize_to: found "no", expected integer or null'),
        ({"images": {"preprocess": "crop"}}, "expected one of resize, center_crop, random_crop, texture_crop"),
        (
            yaml.safe_load("images: {recompress: {subsampling: 4:2:0}}"),
            "found 14520, expected one of 4:4:4, 4:2:2",
        ),
        (yaml.safe_load("images: {recompress: {subsampling: 4:2:0}}"), "in quotes: YAML reads 4:2:0"),
        ({"images": {"recompress": {"quality": [90, 60]}}}, "lowest 90 is above highest 60; swap them"),
        (
            {"images": {"recompress": {"quality": [0, 60]}}},
            "images.recompress.quality.0: found 0, expected at least 1",
        ),
        ({"images": {"recompress": {"format": "WEBP", "subsampling": "4:4:4"}}}, "WEBP knows 4:2:0 alone"),
        ({"deploy": {"runtimes": ["tensorrt"]}}, "expected one of onnxruntime, openvino"),
    ],
)
def test_what_is_wrong_is_named(study, change, expected):
    with pytest.raises(DetectorError) as caught:
        config.complete(merge(study, change), SCHEMA)
    assert expected in str(caught.value)


def test_recompression_is_off_unless_it_is_asked_for(study):
    assert config.complete(study, SCHEMA)["images"]["recompress"] is None
    full = config.complete(merge(study, {"images": {"recompress": {}}}), SCHEMA)
    assert full["images"]["recompress"] == {"format": "JPEG", "quality": [60, 90], "subsampling": "4:2:0"}


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ("all", ["baseline", "l1-00", "l1-10", "l1-20", "l1-30", "l1-40"]),
        (["l1-40"], ["baseline", "l1-40"]),
        (["l1-40", "baseline", "l1-10"], ["baseline", "l1-10", "l1-40"]),
        ([], []),
    ],
)
def test_the_baseline_is_exported_with_any_branch(study, chosen, expected):
    full = config.complete(merge(study, {"deploy": {"branches": chosen}}), SCHEMA)
    assert config.deployed(full) == expected


def test_all_errors_come_at_once(study):
    with pytest.raises(DetectorError, match="2 errors") as caught:
        config.complete(merge(study, {"train": {"epoch": 3}, "seeds": []}), SCHEMA)
    assert "train.epoch" in str(caught.value)
    assert "seeds" in str(caught.value)


def test_every_key_has_a_description():
    schema = yaml.safe_load(SCHEMA.read_text())

    def keys(part, where):
        for key, value in part.get("properties", {}).items():
            if "$ref" in value:
                value = {**schema["$defs"][value["$ref"].removeprefix("#/$defs/")], **value}
            yield f"{where}{key}", value
            yield from keys(value, f"{where}{key}.")

    found = [*keys(schema, ""), *keys(schema["$defs"]["source"], "source.")]
    assert len(found) > 40
    assert [name for name, value in found if "description" not in value and ".limit." not in name] == []


def test_the_order_of_keys_does_not_matter(study):
    reordered = dict(reversed(list(study.items())))
    assert list(reordered) != list(study)
    assert canonical(config.complete(reordered, SCHEMA)) == canonical(config.complete(study, SCHEMA))


def merge(base, change):
    """Deep merge, as Snakemake does with --configfile."""
    result = copy.deepcopy(base)
    for key, value in change.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merge(result[key], value) if both else value
    return result
