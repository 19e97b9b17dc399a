"""config.yaml is the study, number for number, and whatever is wrong with a config is said in one error."""

import copy
import os
import re
from dataclasses import replace

import pytest
import torch
import yaml
from pandas._libs.parsers import STR_NA_VALUES
from snakemake import cli

from detector.core.errors import DetectorError
from detector.core.files import canonical, write_json
from detector.experiment import architectures, branches, config, cross_checks, recipes, systems, teachers
from detector.imaging.looks import CROPS, Looks
from detector.imaging.preprocessing import ErrorLevels, Preprocessing
from detector.models import networks
from tests.support import ROOT

SCHEMA = ROOT / "src/detector/experiment/config.schema.yaml"


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
            "momentum": 0.0,
            "nesterov": False,
            "weight_decay": 0.0,
            "schedule": "constant",
            "warmup": 0.0,
            "label_smoothing": 0.0,
            "clip": None,
            "ema": None,
            "balance": "none",
            "select": "accuracy",
            "augment": None,
            "crop": None,
        },
        "freeze": 0,
        "body_rate": 1.0,
        "head": "drawn",
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
    assert list(branches.branches(config.complete(study, SCHEMA))) == ["l1-00", "l1-10", "l1-20", "l1-30", "l1-40"]
    full = config.complete(merge(study, {"prune": {"methods": {"random": [0.4]}}}), SCHEMA)
    assert branches.branches(full)["random-40"] == {"method": "random", "sparsity": 0.4}
    assert "gradual-90" not in branches.branches(full)
    full = config.complete(merge(study, {"prune": {"methods": {"gradual": [0.9]}, "ramp": 3}}), SCHEMA)
    assert branches.branches(full)["gradual-90"] == {"method": "gradual", "sparsity": 0.9, "ramp": 3}
    full = config.complete(merge(study, {"prune": {"methods": {"matched": [0.4]}}}), SCHEMA)
    matched, dense = branches.branches(full)["matched-40"], branches.branches(full)["l1-00"]
    assert matched == {**dense, "hyperparameters_of": "l1-40"}, "pruned as the dense control is"


def test_each_branch_has_a_search_but_matched_controls_or_all_have_one(study):
    full = config.complete(merge(study, {"prune": {"methods": {"l1": [0.4], "matched": [0.4]}}}), SCHEMA)
    assert branches.searches(full) == {"l1-00": "l1-00/hpo", "l1-40": "l1-40/hpo"}
    # An overlay cannot take a key away, but say that there is nothing in it.
    shared = {"prune": {"methods": {"l1": [0.4], "matched": []}}, "search": {"share": "all"}}
    full = config.complete(merge(merge(study, {"prune": {"methods": {"matched": [0.4]}}}), shared), SCHEMA)
    assert branches.searches(full) == {"all": "hpo"}
    assert list(branches.branches(full)) == ["l1-00", "l1-40"]
    alone = {"prune": {"methods": {"l1": [], "matched": []}, "dense_control": False}}
    full = config.complete(merge(merge(study, shared), alone), SCHEMA)
    assert branches.branches(full) == branches.searches(full) == {}, "baselines alone"


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
        (
            {"prune": {"methods": {"matched": [0.4]}}, "search": {"share": "all"}},
            "prune.methods.matched: with search.share: all the dense control is trained as each branch is",
        ),
        ({"prune": {"methods": {"l2": [0.1]}}}, "l2"),
        (
            {"prune": {"methods": {"matched": [0.4, 0.5]}}},
            "prune.methods.matched: [0.5], expected shares that l1 has",
        ),
        ({"seeds": []}, "seeds: found [], expected at least 1 item"),
        ({"architectures": ["resnet51"]}, "architectures: no network is called 'resnet51'; did you mean resnet"),
        ({"architectures": ["?"]}, "or of timm's; docs/networks.md says which there are"),
        (
            {"architectures": [{"name": "resnet18", "preprocess": "ella"}]},
            "architectures: resnet18+ella: no step of preprocessing is called 'ella'; did you mean 'ela'?",
        ),
        (
            {"architectures": [{"name": "resnet81", "preprocess": "ela"}]},
            "no network is called 'resnet81'; did you",
        ),
        (
            {"architectures": ["resnet18", {"name": "resnet18", "process": "ela"}]},
            "process: unknown key; did you mean",
        ),
        ({"architectures": [{"preprocess": "ela"}]}, "architectures.0: missing name"),
        (
            {"architectures": ["resnet18+ela", {"name": "resnet18", "preprocess": "ela"}]},
            "architectures: found resnet18+ela twice",
        ),
        (
            {"architectures": ["resnet18+ela"], "images": {"recompress": {}}},
            "architectures: resnet18+ela: error levels show how files were compressed, which images.recompress is",
        ),
        (
            {
                "architectures": ["resnet18+ela"],
                "finetune": {"recipe": {"augment": {"steps": [{"jpeg": [40, 90]}]}}},
            },
            "finetune.recipe.augment: degrades packed pixels, which are error levels for resnet18+ela",
        ),
        ({"data": {"use": ["nothing"]}}, "data.use: 'nothing' has no section"),
        ({"data": {"fractions": [0.8, 0.1, 0.2]}}, "expected 1"),
        ({"data": {"sources": {"celebdf": {"split": "offical"}}}}, "expected one of paper, official, identity"),
        ({"data": {"sources": {"mine": {"root": "x"}}}}, "data.sources.mine: no `type`"),
        (
            {"data": {"sources": {"mine": {"root": "x", "type": "cifak"}}}},
            'data.sources.mine.type: found "cifak", expected one of celebdf, cifake, faces140k, folder',
        ),
        (
            {"data": {"sources": {"mine": {"root": "x", "type": "list"}}}},
            "data.sources.mine: missing list, the name of the file in the root that names the images",
        ),
        (
            {"data": {"sources": {"mine": {"root": "x", "type": "list", "list": "x/a.csv"}}}},
            'data.sources.mine.list: found "x/a.csv", expected the name of a file',
        ),
        (
            {"data": {"sources": {"mine": {"root": "x", "type": "folder", "list": "a.csv"}}}},
            "data.sources.mine.list: the kind folder takes no such key; take it out",
        ),
        (
            {"data": {"sources": {"mine": {"root": "x", "type": "folder", "frames": 4}}}},
            "data.sources.mine.frames: the kind folder takes no such key; take it out",
        ),
        (
            {"data": {"sources": {"celebdf": {"frames": 4, "frame": 0.25}}}},
            "data.sources.celebdf.frames: found 4, and frame: 0.25 beside it, expected one of them",
        ),
        ({"data": {"sources": {"celebdf": {"frames": 0}}}}, "data.sources.celebdf.frames: "),
        (
            {"data": {"sources": {"mine": {"root": "x", "type": "tar", "labels": {"real": [0, 1], "fake": [1]}}}}},
            "data.sources.mine.labels: found 1 as real and as fake, expected each value once",
        ),
        (
            {"data": {"sources": {"mine": {"root": "x", "type": "parquet", "columns": {"images": "a"}}}}},
            "data.sources.mine.columns.images: unknown key; did you mean 'image'?",
        ),
        (
            {"data": {"sources": {"mine": {"root": "x", "type": "folder", "groups": "id("}}}},
            "data.sources.mine.groups: found 'id(', expected parent or a regular expression (missing ), unt",
        ),
        (
            {"data": {"sources": {"mine": {"root": "x", "type": "folder", "groups": "id[0-9]+"}}}},
            "data.sources.mine.groups: found 'id[0-9]+' with 0 groups, expected parent or a regular expression",
        ),
        (
            {"data": {"use": ["valid"], "sources": {"valid": {"type": "folder", "root": "x"}}}},
            "cannot be called 'valid'",
        ),
        ({"search": {"learning_rate": [1.0e-3, 1.0e-5]}}, "swap them"),
        (
            {"protocol": "leave_one_out"},
            'protocol: found "leave_one_out", expected leave_one_generator_out or temporal',
        ),
        ({"protocol": {"generators": ["glide"]}}, "protocol: missing kind"),
        ({"protocol": "temporal"}, "protocol: temporal needs edges, the days that time is cut at, such as {kind:"),
        ({"protocol": {"kind": "temporal"}}, "protocol: temporal needs edges"),
        (
            {"protocol": {"kind": "temporal", "edges": ["2024"]}},
            'edges.0: found "2024", expected a day such as 2025-01-31',
        ),
        ({"protocol": {"kind": "temporal", "edges": ["2024-02-30"]}}, "edges: found '2024-02-30', expected a day"),
        (
            {"protocol": {"kind": "temporal", "edges": ["2025-01-01", "2024-01-01"]}},
            "protocol.edges: found 2025-01-01, 2024-01-01, expected them in ascending order; sort them",
        ),
        (
            {"protocol": {"kind": "temporal", "edges": ["2025-01-01"], "generators": ["gan"]}},
            "protocol.generators: temporal takes no such key; take it out",
        ),
        (
            {"protocol": {"kind": "leave_one_generator_out", "edges": ["2025-01-01"]}},
            "protocol.edges: leave_one_generator_out takes no such key; take it out",
        ),
        ({"protocol": {"kind": "leave_one_generator_out", "generators": []}}, "expected at least 1 item"),
        (
            {"protocol": {"kind": "leave_one_generator_out", "branches": ["l1-41"]}},
            "protocol.branches: no l1-41; there are baseline, l1-00, l1-10",
        ),
        (
            {
                "protocol": {"kind": "leave_one_generator_out", "generators": ["gan", "glide"]},
                "data": {"hold_out": ["glide"]},
            },
            "protocol.generators: found glide, which data.hold_out keeps from all training; take it out of one",
        ),
        (
            {"search": {"space": {"optimiser": ["Adam"]}}},
            "search.space.optimiser: unknown key; did you mean 'opti",
        ),
        ({"search": {"space": {"select": ["auc"]}}}, "search.space.select: unknown key"),
        ({"search": {"space": {"epochs": [3]}}}, "search.space.epochs: unknown key"),
        ({"search": {"space": {}}}, "search.space: found {}, expected at least 1 key"),
        ({"search": {"space": {"optimizer": ["Adm"]}}}, 'search.space.optimizer.0: found "Adm", expected one of'),
        ({"search": {"space": {"schedule": {"low": 1, "high": 2}}}}, "search.space.schedule: found {"),
        ({"search": {"space": {"momentum": {"low": 0.1, "high": 2}}}}, "search.space.momentum.high: found 2, exp"),
        (
            {"search": {"space": {"batch_size": {"low": 1.5, "high": 4}}}},
            "batch_size.low: found 1.5, expected int",
        ),
        ({"search": {"space": {"clip": {"low": None, "high": 4}}}}, "clip.low: found null, expected number"),
        ({"search": {"space": {"flip": {"low": 0.1}}}}, "search.space.flip: missing high"),
        ({"search": {"space": {"flip": {"low": 0.1, "high": 0.2, "step": 1}}}}, "search.space.flip.step: unknown"),
        (
            {"search": {"space": {"flip": [0.1, 0.1]}}},
            "search.space.flip: found [0.1, 0.1], expected no item twice",
        ),
        ({"search": {"space": {"flip": []}}}, "search.space.flip: found [], expected at least 1 item"),
        (
            {"search": {"space": {"flip": {"low": 0.3, "high": 0.2}}}},
            "search.space.flip: low 0.3 is above high 0.2",
        ),
        (
            {"search": {"space": {"flip": {"low": 0, "high": 1, "log": True}}}},
            "search.space.flip: log is for numbers above 0, found low: 0",
        ),
        (
            {"search": {"space": {"flip": [0.0, 0.5]}, "optimizers": ["SGD"]}},
            "search.optimizers: found ['SGD'], in whose place search.space stands; set it back to ['Adam', 'SGD']",
        ),
        (
            {"search": {"space": {"flip": [0.0, 0.5]}, "momentum": 0.9}},
            "search.momentum: found 0.9, in whose place search.space stands; set it back to 0.0",
        ),
        (
            {"search": {"space": {"flip": [0.0, 0.5]}, "recipe": {"flip": 0.1}}},
            "search.recipe.flip: the search chooses it; drop it here",
        ),
        (
            {"search": {"space": {"flip": [0.0, 0.5]}}, "finetune": {"recipe": {"flip": 0.1}}},
            "finetune.recipe.flip: the search chooses it; drop it here",
        ),
        (
            {"search": {"space": {"optimizer": ["Adam"], "nesterov": [True, False]}}},
            "search.space.nesterov: found True, False, which only SGD knows; the optimizer is Adam",
        ),
        (
            {"search": {"space": {"optimizer": ["Adam", "SGD"], "nesterov": [True, False]}}},
            "search.space.nesterov: true needs momentum, found train.momentum: 0; raise that, or set search.spa",
        ),
        (
            {"search": {"space": {"warmup": {"low": 0, "high": 10}}}},
            "search.space.warmup: found 10, expected less than search.epochs, found 10; lower it",
        ),
        (
            {"images": {"size": 32}, "search": {"space": {"batch_size": [1, 8]}}},
            "search.space.batch_size: found 1, expected at least 2 where images.size is 32",
        ),
        (
            {"train": {"gpus": 16}, "search": {"space": {"batch_size": {"low": 8, "high": 64}}}},
            "train.gpus: found 16, expected no more than search.space.batch_size, found 8",
        ),
        (
            {"search": {"sampler": "cmaes"}},
            "search.sampler: cmaes is for two ranges or more, and there is 1; choose another, or add ranges",
        ),
        ({"search": {"startup_trials": 0}}, "search.startup_trials: found 0, expected at least 1"),
        ({"deploy": {"branches": ["l1-41"]}}, "deploy.branches: no l1-41; there are baseline, l1-00, l1-10"),
        (
            {"deploy": {"branches": "l1-40"}},
            '"l1-40", which is none of what it can be: Branches that are exported',
        ),
        (
            {"deploy": {"branches": ["l1-40", "l1-40"]}},
            'deploy.branches: found ["l1-40", "l1-40"], expected no item twice',
        ),
        *(
            ({"results": bad}, f'results: found "{bad}", expected a path')
            for bad in ("/", ".", "../", "-x", "a//b")
        ),
        ({"images": {"resize_to": 200}}, "images.resize_to: 200 is below images.size, 224"),
        (
            {"images": {"pack_size": 256, "resize_to": 240}},
            "images.resize_to: 240 is below images.pack_size, 256: images would be enlarged again",
        ),
        (
            {"images": {"pack_size": 200}},
            "images.pack_size: found 200, expected at least images.size, 224, which is cut from it",
        ),
        ({"images": {"pack_size": 1025}}, "images.pack_size: found 1025, expected at most 1024"),
        ({"images": {"pack_size": "no"}}, 'images.pack_size: found "no", expected integer or null'),
        *(
            (
                {"images": {**images, "looks": {"crops": 4}}},
                "images.looks: there is one look, as images are packed at images.size, 224; set images.pack_size",
            )
            for images in ({}, {"pack_size": 224})
        ),
        (
            {"images": {"pack_size": 256, "looks": {"crops": 4, "sizes": [200, 240, 257]}}},
            "images.looks.sizes: found 200, 257, expected sides from images.size, 224, to images.pack_size, 256",
        ),
        (
            {"images": {"pack_size": 256, "looks": {"crops": 5}}},
            "images.looks.crops: found 5, expected one of 1, 4, 9, 16, 25",
        ),
        ({"images": {"pack_size": 256, "looks": {"sizes": [224]}}}, "images.looks: missing crops"),
        (
            {"images": {"pack_size": 256, "looks": {"crops": 4, "sizes": []}}},
            "images.looks.sizes: found [], expected at least 1 item",
        ),
        (
            {"images": {"pack_size": 256, "looks": {"crops": 4, "sizes": [224, 224]}}},
            "images.looks.sizes: found [224, 224], expected no item twice",
        ),
        ({"images": {"pack_size": 256, "looks": 4}}, "images.looks: found 4, expected object or null"),
        *(
            ({"images": images, "train": {"crop": {"side": [0.5, 1.0]}}}, "train.crop: there is nothing to crop")
            for images in ({}, {"pack_size": 224})
        ),
        (
            {"images": {"pack_size": 256}, "train": {"crop": {"side": [0.9, 0.5]}}},
            "train.crop.side: lowest 0.9 is above highest 0.5; swap them",
        ),
        (
            {"images": {"pack_size": 256}, "finetune": {"recipe": {"crop": {"side": [0.9, 0.5]}}}},
            "finetune.recipe.crop.side: lowest 0.9 is above highest 0.5; swap them",
        ),
        (
            {"search": {"space": {"crop": [None, {"per_image": 2}]}}},
            "search.space.crop.1: there is nothing to crop",
        ),
        ({"train": {"crop": {"side": [0.0, 0.5]}}}, "train.crop.side.0: found 0.0, expected more than 0"),
        ({"train": {"crop": {"per_image": 0}}}, "train.crop.per_image: found 0, expected at least 1"),
        ({"train": {"crop": {"scale": [0.5, 1]}}}, "train.crop.scale: unknown key"),
        (
            {"architectures": ["resnet50@lite"], "inits": {"lite0": "w.pth"}},
            "architectures: resnet50@lite: inits has no 'lite'; did you mean 'lite0'?",
        ),
        (
            {"architectures": ["resnet50@"]},
            "architectures: resnet50@: inits has no ''; expected one of pretrained",
        ),
        ({"architectures": ["resnet51@pretrained"]}, "no network is called 'resnet51'; did you mean resnet"),
        ({"inits": {"pretrained": "w.pth"}}, "inits.pretrained: the name of the libraries' own weights"),
        ({"inits": {"a@b": "w.pth"}}, 'inits: found "a@b", expected a name of letters, digits'),
        ({"inits": {"mine": 3}}, "inits.mine: found 3, expected string or object"),
        ({"inits": {"mine": {"mean": [0, 0, 0]}}}, "inits.mine: missing file"),
        (
            {"inits": {"mine": {"file": "w.pth", "std": [1, 1, 1]}}},
            "inits.mine: found one of mean and std, expected both or neither",
        ),
        (
            {"inits": {"mine": {"file": "w.pth", "std": [1, 0, 1]}}},
            "inits.mine.std.1: found 0, expected more than 0",
        ),
        (
            {"architectures": ["resnet50@mine"], "inits": {"mine": {"file": "w"}}, "train": {"epochs": 0}},
            "train.epochs: found 0, expected at least 1, since resnet50@mine starts without a head",
        ),
        ({"finetune": {"epochs": 0}}, "finetune.epochs: found 0, expected at least 1"),
        (
            {"train": {"freeze": 2}},
            "train.freeze: found 2, but every network is trained from scratch; name a start, such as "
            "resnet50@pretrained",
        ),
        ({"train": {"head": "zero"}}, "train.head: found zero, but every network is trained from scratch"),
        ({"train": {"body_rate": 0.1}}, "train.body_rate: found 0.1, but every network is trained from scratch"),
        (
            {"architectures": ["resnet50@pretrained"], "train": {"freeze": 101}},
            "train.freeze: found 101, expected no more than train.epochs, found 100",
        ),
        ({"finetune": {"recipe": {"freeze": 1}}}, "finetune.recipe.freeze: unknown key"),
        (
            {"systems": {"one": {"features": "resnet15", "classifier": "svm"}}},
            "systems.one.features: 'resnet15' is not among the architectures, whose baselines a run trains; did "
            "you mean 'resnet50'?",
        ),
        (
            {"systems": {"one": {"features": "resnet18", "classifier": "svm"}}},
            "systems.one.features: 'resnet18' is not among the architectures",
        ),
        (
            {"systems": {"one": {"features": "fourier", "classifier": "mlp"}}},
            "systems.one.features: 'fourier' is not among the architectures, whose baselines a run trains; "
            "expected one of spectrum, resnet50, or NETWORK@INIT",
        ),
        (
            {"systems": {"one": {"features": "spectrum", "classifier": "forest"}}},
            'systems.one.classifier: found "forest", expected one of bilstm, logistic, mlp, svm',
        ),
        (
            {"systems": {"one": {"features": "resnet51@pretrained", "classifier": "svm"}}},
            "systems.one.features: no network is called 'resnet51'; did you mean resnet",
        ),
        (
            {"systems": {"one": {"features": "resnet50@lite", "classifier": "svm"}}, "inits": {"lite0": "w.pth"}},
            "systems.one.features: inits has no 'lite'; did you mean 'lite0'?",
        ),
        ({"systems": {"one": {"mean_of": "resnet51", "parts": 3}}}, "systems.one.mean_of: no network is called"),
        (
            {"systems": {"one": {"mean_of": "resnet18", "parts": 1}}},
            "systems.one.parts: found 1, expected at least 2",
        ),
        (
            {"systems": {"one": {"mean_of": "resnet18", "parts": 3, "images": 9}}},
            "systems.one.images: networks see all images of their part; take it out",
        ),
        *(
            ({"systems": {"one": how}}, f"systems.one: found {', '.join(how) or 'nothing'}, expected features and")
            for how in (
                {},
                {"features": "spectrum"},
                {"classifier": "svm"},
                {"parts": 3},
                {"features": "spectrum", "classifier": "svm", "parts": 3},
                {"features": "spectrum", "classifier": "svm", "mean_of": "resnet18", "parts": 3},
            )
        ),
        *(
            (
                {"systems": {name: {"features": "spectrum", "classifier": "svm"}}},
                f"systems.{name}: {name} is the name of",
            )
            for name in ("resnet50", "resnet18", "vgg16_bn")
        ),
        (
            {"systems": {"a@b": {"features": "spectrum", "classifier": "svm"}}},
            'systems: found "a@b", expected a name of lower-case letters',
        ),
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
        ({"seeds": [4294967296]}, "seeds.0: found 4294967296, expected at most 4294967295"),
        ({"data": {"seed": -1}}, "data.seed: found -1, expected at least 0"),
        ({"train.epochs": 2}, "train.epochs: unknown key; write sections as maps, as in train: {epochs: …}"),
        ({"images": {"size": 32}, "train": {"batch_size": 1}}, "train.batch_size: found 1, expected at least 2"),
        ({"images": {"size": 32}, "search": {"batch_size": 1}}, "search.batch_size: found 1, expected at least 2"),
        ({"images": {"size": 8}, "finetune": {"batch_size": 1}}, "finetune.batch_size: found 1, expected at leas"),
        (
            {"train": {"momentum": 0.9}},
            "train.momentum: found 0.9, which only SGD knows; the optimizer is Adam",
        ),
        (
            {"search": {"optimizers": ["AdamW"], "recipe": {"nesterov": True}}},
            "search.recipe.nesterov: found True, which only SGD knows; the optimizer is AdamW",
        ),
        (
            {"train": {"optimizer": "SGD", "nesterov": True}, "search": {"momentum": 0.9}},
            "train.nesterov: true needs momentum, found train.momentum: 0; raise that, or set train.nesterov to",
        ),
        (
            {"train": {"optimizer": "SGD", "momentum": 0.9, "nesterov": True}},
            "train.nesterov: true needs momentum, found search.momentum: 0; raise that, or set search.recip",
        ),
        (
            {"finetune": {"recipe": {"optimizer": "SGD"}}},
            "finetune.recipe.optimizer: the search chooses it; drop it here",
        ),
        ({"search": {"recipe": {"epochs": 3}}}, "search.recipe.epochs: unknown key; known keys: optimizer, flip"),
        (
            {"search": {"goals": ["accuracy", "size"]}},
            'search.goals: found ["accuracy", "size"], which is none of what it can be: Null, or two goals',
        ),
        ({"search": {"goals": ["accuracy"]}}, "[accuracy, parameters], [accuracy, bytes] or [accuracy, latency]"),
        (
            {"search": {"pareto": {"methods": ["l2"]}}},
            'search.pareto.methods.0: found "l2", expected one of channels, gradual, l1, lamp, random',
        ),
        ({"search": {"pareto": {"methods": []}}}, "search.pareto.methods: found [], expected at least 1 item"),
        (
            {"search": {"pareto": {"sparsity": [0.9, 0.3]}}},
            "search.pareto.sparsity: lowest 0.9 is above highest 0.3; swap them",
        ),
        (
            {"search": {"pareto": {"sparsity": [0.333, 0.9]}}},
            "search.pareto.sparsity: [0.333], expected whole percents such as 0.4 or 0.95",
        ),
        ({"search": {"pareto": {"sparsity": [0.3, 1.0]}}}, "search.pareto.sparsity.1: found 1.0, expected less t"),
        ({"search": {"pareto": {"trials": 0}}}, "search.pareto.trials: found 0, expected at least 1"),
        ({"train": {"weight_decay": -1}}, "train.weight_decay: found -1, expected at least 0"),
        (
            {"train": {"schedule": "step"}},
            'train.schedule: found "step", expected one of constant, cosine, one_cycle',
        ),
        ({"train": {"label_smoothing": 1}}, "train.label_smoothing: found 1, expected less than 1"),
        ({"train": {"clip": 0}}, "train.clip: found 0, expected more than 0"),
        ({"train": {"ema": 1.0}}, "train.ema: found 1.0, expected less than 1"),
        (
            {"train": {"balance": "weight"}},
            'train.balance: found "weight", expected one of none, weights, sampling, generators',
        ),
        (
            {"train": {"select": "f1"}},
            'train.select: found "f1", expected one of accuracy, balanced_accuracy, generators, auc, loss',
        ),
        ({"train": {"warmup": -1}}, "train.warmup: found -1, expected at least 0"),
        (
            {"train": {"warmup": 10}},
            "train.warmup: found 10, expected less than search.epochs, found 10; lower it or set search.recipe.wa",
        ),
        (
            {"finetune": {"epochs": 2, "recipe": {"warmup": 2}}},
            "finetune.recipe.warmup: found 2, expected less than finetune.epochs, found 2; lower it",
        ),
        ({"train": {"gpus": 20}}, "train.gpus: found 20, expected no more than train.batch_size, found 16"),
    ],
)
def test_what_is_wrong_is_named(study, change, expected):
    with pytest.raises(DetectorError) as caught:
        config.complete(merge(study, change), SCHEMA)
    assert expected in str(caught.value)


def numeric_keys(part, schema, where=()):
    """The place and the kind of each number of the config; of lists and maps of any length the first item.

    What can be a list or a map is a map here: one value cannot be both.
    """
    if "$ref" in part:
        part = {**schema["$defs"][part["$ref"].removeprefix("#/$defs/")], **part}
    kinds = part["type"] if isinstance(part.get("type"), list) else [part.get("type")]
    if found := {"integer", "number"} & set(kinds):
        yield where, found.pop()
    for key, inner in part.get("properties", {}).items():
        yield from numeric_keys(inner, schema, (*where, key))
    for key, inner in (
        ("l1" if "methods" in where else "some", part.get("additionalProperties")),
        (0, part.get("items") if "object" not in kinds else None),
    ):
        if isinstance(inner, dict):
            yield from numeric_keys(inner, schema, (*where, key))


def at(where, value):
    """A config that has nothing but `value` at this place."""
    for part in reversed(where):
        value = [value] if part == 0 else {part: value}
    return value


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 16.0], ids=["nan", "inf", "16.0"])
def test_a_number_is_one_that_can_be_worked_with(study, monkeypatch, value):
    """16.0 passes for an integer in JSON Schema, and NaN for a number within any bounds; both end in a job."""
    schema = config.schema_of(SCHEMA)
    keys = [where for where, kind in numeric_keys(schema, schema) if kind == "integer" or value != 16]
    # A name for each: of a list only the last one that is put there would be left.
    places = [tuple(f"some{n}" if part == "some" else part for part in where) for n, where in enumerate(keys)]
    # Of a list in which several could stand, only the last one that is put there would be left.
    places = list({where[: where.index(0)] if 0 in where else where: where for where in places}.values())
    for where in places:
        study = merge(study, at(where, value))
    monkeypatch.setattr(config, "listing", "\n".join)  # all of them
    with pytest.raises(DetectorError) as caught:
        config.complete(study, SCHEMA)
    found = {"nan": "NaN", "inf": "Infinity", "16.0": "16.0"}[str(value)]
    said = str(caught.value)
    for where in places:
        assert f"{'.'.join(map(str, where))}: found {found}, expected " in said
    assert said.count(f"found {found}, expected number") + said.count(f"found {found}, expected int") >= len(
        places
    )
    assert {("images", "size"), ("seeds", 0), ("search", "batch_size"), ("data", "seed")} <= set(places)
    assert len(places) > 25


def test_a_home_is_found_in_every_path(study, monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    mine = {"root": "~/set", "pairs": "~/photos", "type": "folder"}
    change = {"results": "~/out", "data": {"use": ["mine"], "sources": {"mine": mine}}}
    full = config.complete(merge(study, change), SCHEMA)
    assert full["results"] == "/home/somebody/out"
    assert full["data"]["sources"]["mine"]["root"] == "/home/somebody/set"
    assert full["data"]["sources"]["mine"]["pairs"] == "/home/somebody/photos"
    assert mine["root"] == "~/set", "what was given is left as it is"
    schema = yaml.safe_load(SCHEMA.read_text())
    folders = [
        key
        for part in (schema, schema["$defs"]["source"])
        for key, value in part["properties"].items()
        if value.get("description", "").startswith("Folder ")
    ]
    assert folders == ["results", "root", "pairs"], "another path needs its home, too"


def spoken(*entries):
    """What Snakemake makes of `--config`."""
    return cli.parse_config(entries)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ('train={"epochs": 2}', {"train": {"epochs": 2}}),
        ("train={epochs: 2, learning_rate: 1e-3}", {"train": {"epochs": 2, "learning_rate": 1e-3}}),
        ("seeds=[1, 2]", {"seeds": [1, 2]}),
        ("prune={dense_control: false}", {"prune": {"dense_control": False}}),
        ("images={resize_to: null}", {"images": {"resize_to": None}}),
        ("prune={methods: {l1: [0.5]}}", {"prune": {"methods": {"l1": [0.5]}}}),
        ("architectures=[resnet18]", {"architectures": ["resnet18"]}),
        ("data={hold_out: [2024]}", {"data": {"hold_out": ["2024"]}}),
        ("results=out", {"results": "out"}),
    ],
)
def test_what_is_said_on_the_command_line_is_what_it_would_be_in_a_file(study, entry, expected):
    given = spoken(entry)
    assert config.complete(merge(study, given), SCHEMA, given) == config.complete(merge(study, expected), SCHEMA)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: 2\na: 3\n", "found a twice, in lines 1 and 3; write it once"),
        ("a: {b: 1,\n c: 2, b: 3}\n", "found b twice, in lines 1 and 2"),
        ("a: [1\nb: 2\n", "it cannot be read as YAML: .*line 2"),
        ("# no more\n", "found nothing in it, expected keys and values"),
        ("- a\n", "found list in it, expected keys and values"),
    ],
)
def test_a_file_that_says_no_configuration_is_named(tmp_path, text, expected):
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(DetectorError, match=re.compile(f"{file}: {expected}", re.DOTALL)):
        config.read(file)


def test_of_maps_that_share_an_anchor_each_may_say_it_otherwise(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("a: &one {x: 1, y: 2}\nb: {<<: *one, x: 3}\nc: {x: 1}\n")
    assert config.read(file) == {"a": {"x": 1, "y": 2}, "b": {"x": 3, "y": 2}, "c": {"x": 1}}


def test_text_stays_text_where_it_was_written_so(study):
    """In a file `epochs: "2"` is a mistake, also beside something that was said on the command line."""
    with pytest.raises(DetectorError, match='train.epochs: found "2", expected integer'):
        config.complete(merge(study, {"train": {"epochs": "2"}}), SCHEMA, spoken("train={patience: 2}"))
    given = spoken("train={epochs: two}")
    with pytest.raises(DetectorError, match='train.epochs: found "two", expected integer'):
        config.complete(merge(study, given), SCHEMA, given)


@pytest.mark.parametrize("architecture", ["resnet18", "resnet34", "resnet50"])
def test_one_image_trains_where_its_last_layers_see_more_than_a_pixel(architecture):
    network = networks.build(architecture).train()
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        network(torch.zeros(1, 3, cross_checks.ONE_PIXEL, cross_checks.ONE_PIXEL))
    network(torch.zeros(1, 3, cross_checks.ONE_PIXEL + 1, cross_checks.ONE_PIXEL + 1))
    network(torch.zeros(2, 3, 8, 8))


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
    assert branches.deployed(full) == expected


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


def test_each_pattern_of_the_schema_is_said_in_words():
    def found(tree) -> list[dict]:
        inner = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
        here = [tree] if isinstance(tree, dict) and isinstance(tree.get("pattern"), str) else []
        return here + [one for part in inner for one in found(part)]

    patterns = found(yaml.safe_load(SCHEMA.read_text()))
    assert len(patterns) > 5
    for one in patterns:
        assert re.match(r"an? |the |leave_", one.get("$comment", "")), f"{one['pattern']}: no $comment for errors"


def read_as_nothing() -> list[str]:
    """Names that the schema takes and that pandas reads in a CSV as a missing value."""
    schema = yaml.safe_load(SCHEMA.read_text())
    odd = sorted(STR_NA_VALUES)
    assert "NULL" in odd
    return [name for name in odd if re.search(schema["$defs"]["name"]["pattern"], name)]


@pytest.mark.parametrize("name", [*cross_checks.RESERVED, *read_as_nothing()])
def test_no_source_has_the_name_of_another_row_or_of_nothing(name, study):
    study["data"] |= {"use": [name], "sources": {name: {"type": "folder", "root": "data/mine"}}}
    with pytest.raises(DetectorError, match=f"data.use: a source cannot be called '{name}'.*rename it"):
        config.complete(study, SCHEMA)


@pytest.mark.parametrize("name", [*cross_checks.NO_PERTURBATION, *read_as_nothing()])
def test_no_perturbation_has_the_name_of_another_column_or_of_nothing(name, study):
    study["robustness"]["perturbations"][name] = [{"jpeg": 50}]
    with pytest.raises(DetectorError, match=rf"robustness\.perturbations: {name}: .*choose others"):
        config.complete(study, SCHEMA)


@pytest.mark.parametrize(
    ("augment", "said"),
    [
        ({}, "'steps'|steps"),
        ({"steps": []}, "steps"),
        ({"steps": [{"jpg": [40, 95]}]}, "jpg"),
        ({"steps": [{"jpeg": [40, 101]}]}, "steps.0.jpeg.1: found 101, .*100"),
        ({"steps": [{"jpeg": [40.5, 95]}]}, "steps.0.jpeg.0: found 40.5"),
        ({"steps": [{"jpeg": 40}]}, "steps.0.jpeg: found 40"),
        ({"steps": [{"jpeg": [95, 40]}]}, "steps.0.jpeg: lowest 95 is above highest 40; swap them"),
        ({"steps": [{"blur": [1, 2], "chance": 1.5}]}, "steps.0.chance: found 1.5"),
        ({"steps": [{"chance": 0.5}]}, r"steps.0: found 0 steps \(none\), expected one"),
        ({"steps": [{"blur": [1, 2], "jpeg": [40, 95]}]}, r"steps.0: found 2 steps \(blur, jpeg\), expected one"),
        ({"steps": [{"blur": [1, 2]}], "share": 1.2}, "share: found 1.2"),
        ({"steps": [{"blur": [1, 2]}], "rounds": 0}, "rounds: found 0"),
    ],
)
def test_degradations_of_training_are_checked_before_anything_runs(augment, said, study):
    study["train"]["augment"] = augment
    with pytest.raises(DetectorError, match="has 1 error:\n.*train.augment") as error:
        config.complete(study, SCHEMA)
    assert re.search(said, str(error.value))


@pytest.mark.parametrize("stage", ["search", "finetune"])
def test_degradations_of_a_stage_are_checked_too(stage, study):
    study[stage]["recipe"] = {"augment": {"steps": [{"jpeg": [95, 40]}]}}
    with pytest.raises(DetectorError, match=f"{stage}.recipe.augment.steps.0.jpeg: lowest 95 is above highest 40"):
        config.complete(study, SCHEMA)


def test_degradations_hold_in_trials_and_fine_tuning_unless_these_say_otherwise(study):
    steps = [{"blur": [0.5, 1]}]
    study["train"]["augment"] = {"steps": steps}
    study["finetune"]["recipe"] = {"augment": None}
    full = config.complete(study, SCHEMA)
    whole = {"steps": steps, "share": 1.0, "rounds": 1}
    assert [recipes.recipe(full, stage)["augment"] for stage in recipes.STAGES] == [whole, whole, None]


def test_degradations_can_be_searched(study):
    steps = [{"blur": [0.5, 1]}]
    study["search"]["space"] = {"augment": [None, {"steps": steps}], "learning_rate": [1e-4]}
    full = config.complete(study, SCHEMA)
    assert "augment" not in recipes.recipe(full, "search")
    assert [len(recipes.degradations(full, stage)) for stage in recipes.STAGES] == [1, 2, 2]
    assert recipes.degradations(full, "finetune")[1]["steps"] == steps
    study["search"]["space"]["augment"] = [{"steps": [{"blur": [2, 1]}]}]
    with pytest.raises(DetectorError, match="search.space.augment.0.steps.0.blur: lowest 2 is above highest 1"):
        config.complete(study, SCHEMA)


@pytest.mark.parametrize(
    ("distill", "prune", "said"),
    [
        ({"teacher": "l1-00"}, {"dense_control": False}, "teacher: l1-00 is not there with prune.dense_control"),
        ({"teacher": "l1-40"}, {}, "teacher: found 'l1-40', expected baseline, l1-00 or the path"),
        ({"weight": 1.5}, {}, "weight: found 1.5, expected at most 1"),
        ({"temperature": 0}, {}, "temperature: found 0, expected more than 0"),
        ({"alpha": 0.5}, {}, "alpha: unknown key; known keys: teacher, weight, temperature"),
        ("baseline", {}, 'distill: found "baseline", expected object or null'),
    ],
)
def test_a_wrong_teacher_is_one_error(distill, prune, said, study):
    change = {"finetune": {"distill": distill}, "prune": prune}
    with pytest.raises(DetectorError, match="1 error:") as caught:
        config.complete(merge(study, change), SCHEMA)
    assert f"finetune.distill.{said}".replace("distill.distill", "distill") in str(caught.value)


def test_a_teacher_s_defaults_are_filled_in_and_its_home_is_found(study, monkeypatch):
    monkeypatch.setenv("HOME", "/somewhere")
    assert config.complete(study, SCHEMA)["finetune"]["distill"] is None
    own = config.complete(merge(study, {"finetune": {"distill": {}}}), SCHEMA)
    assert own["finetune"]["distill"] == {"teacher": "baseline", "weight": 0.5, "temperature": 2.0}
    path = config.complete(merge(study, {"finetune": {"distill": {"teacher": "~/a.safetensors"}}}), SCHEMA)
    assert path["finetune"]["distill"]["teacher"] == "/somewhere/a.safetensors"


@pytest.mark.parametrize("name", ["baseline", "l1-00", "mine.safetensors"])
def test_each_branch_has_the_teacher_asked_for_and_the_control_never_itself(name, study):
    own = config.complete(merge(study, {"finetune": {"distill": {"teacher": name}}}), SCHEMA)
    assert teachers.teacher(own, "l1-40") == teachers.teacher(own, "matched-40") == name
    assert teachers.teacher(own, "l1-00") == ("baseline" if name == "l1-00" else name)


@pytest.mark.parametrize(
    ("meta", "said"),
    [
        (None, "meta.json is not there"),
        ({"image_size": 32}, "not the meta.json of a trained variant"),
        ({"image_size": 64, "arch": "resnet18", "seed": 0, "branch": "baseline"}, "64 px, expected the 32 px"),
    ],
)
def test_a_teacher_s_file_without_facts_or_of_another_size_is_an_error(meta, said, tmp_path):
    weights = tmp_path / "model.safetensors"
    with pytest.raises(DetectorError, match="model.safetensors is not there"):
        teachers.facts(weights, 32)
    weights.touch()
    if meta is not None:
        write_json(tmp_path / "meta.json", meta)
    with pytest.raises(DetectorError, match=f"finetune.distill.teacher: .*{said}"):
        teachers.facts(weights, 32)
    write_json(
        tmp_path / "meta.json", {"image_size": 32, "arch": "resnet50", "seed": 1, "branch": "l1-40", "x": 0}
    )
    assert teachers.facts(weights, 32) == {"arch": "resnet50", "seed": 1, "branch": "l1-40"}


@pytest.mark.parametrize(
    ("pack_size", "how"),
    [(None, {"size": 224}), (224, {"size": 224}), (256, {"size": 256, "centre": 224})],
)
def test_what_is_packed_is_larger_where_the_config_says_so(pack_size, how, study):
    """With equal sizes the settings, and so the rule's, are those of a config without the key."""
    before = config.preprocessing(config.complete(study, SCHEMA)["images"])
    study["images"]["pack_size"] = pack_size
    found = config.preprocessing(config.complete(study, SCHEMA)["images"])
    assert found == {**before, **how}
    assert Preprocessing.of(found).seen == 224


@pytest.mark.parametrize(("sizes", "found"), [(None, (224,)), ([256, 240], (256, 240))])
def test_looks_are_no_part_of_what_is_packed_and_trained_on(sizes, found, study):
    assert config.looks(config.complete(study, SCHEMA)["images"]) is None
    study["images"]["pack_size"] = 256
    before = config.preprocessing(config.complete(study, SCHEMA)["images"])
    study["images"]["looks"] = {"crops": 9, **({"sizes": sizes} if sizes else {})}
    full = config.complete(study, SCHEMA)["images"]
    assert config.looks(full) == Looks(9, found) == Looks.of(config.looks(full).record())
    part = yaml.safe_load(SCHEMA.read_text())["properties"]["images"]["properties"]["looks"]["properties"]
    assert part["crops"]["enum"] == list(CROPS)
    assert config.preprocessing(full) == before


def test_an_architecture_with_a_step_of_its_own_has_a_name_of_its_own(study):
    asked = ["resnet18", {"name": "resnet18", "preprocess": "ela"}, {"name": "resnet50"}]
    full = config.complete(merge(study, {"architectures": asked}), SCHEMA)
    assert full["architectures"] == ["resnet18", "resnet18+ela", "resnet50"]
    shared = config.preprocessing(full["images"])
    how = Preprocessing.of(config.preprocessing(full["images"], "ela"))
    assert "ela" not in shared, "what the others share is what it was"
    assert how == replace(Preprocessing.of(shared), ela=ErrorLevels())


@pytest.mark.parametrize(
    ("name", "network", "start", "step", "scratch"),
    [
        ("resnet18", "resnet18", None, None, "resnet18"),
        ("resnet18@mine", "resnet18", "mine", None, "resnet18"),
        ("resnet18+ela", "resnet18", None, "ela", "resnet18+ela"),
        ("resnet18@mine+ela", "resnet18", "mine", "ela", "resnet18+ela"),
    ],
)
def test_a_name_of_an_architecture_has_three_parts(name, network, start, step, scratch):
    found = (architectures.network(name), architectures.start(name), architectures.step(name))
    assert (*found, architectures.scratch(name)) == (network, start, step, scratch)


def test_a_teacher_sees_the_pixels_of_its_students(tmp_path):
    weights = tmp_path / "model.safetensors"
    weights.touch()
    write_json(tmp_path / "meta.json", {"image_size": 32, "arch": "resnet18+ela", "seed": 0, "branch": "baseline"})
    assert teachers.facts(weights, 32, ["resnet50+ela"])["arch"] == "resnet18+ela"
    with pytest.raises(DetectorError, match=r"is a resnet18\+ela and sees other pixels than resnet18;"):
        teachers.facts(weights, 32, ["resnet50+ela", "resnet18"])


def test_windows_hold_in_trials_and_fine_tuning_unless_these_say_otherwise(study):
    study["images"]["pack_size"] = 256
    study["train"]["crop"] = {"side": [0.7, 1.0]}
    study["finetune"]["recipe"] = {"crop": None}
    full = config.complete(study, SCHEMA)
    whole = {"side": [0.7, 1.0], "per_image": 1}
    assert [recipes.recipe(full, stage)["crop"] for stage in recipes.STAGES] == [whole, whole, None]


def test_what_a_start_needs_is_told_to_the_first_training_alone(study):
    own = {"architectures": ["resnet50", "resnet50@mine"], "inits": {"mine": "~/w.pth"}}
    own["train"] = {"freeze": 2, "body_rate": 0.1, "head": "zero"}
    full = config.complete(merge(study, own), SCHEMA)
    assert full["inits"] == {"mine": os.path.expanduser("~/w.pth")}
    asked = {stage: recipes.recipe(full, stage) for stage in recipes.STAGES}
    assert not any({"freeze", "body_rate", "head"} & knobs.keys() for knobs in asked.values())
    started = recipes.recipe(full, "train", started=True)
    assert started == {**asked["train"], "freeze": 2, "body_rate": 0.1, "head": "zero"}


def test_systems_name_the_networks_that_they_need(study):
    """Those beside the config's own; features of weights that nothing trains are told from those of a baseline."""
    study["systems"] = {
        "waves": {"features": "spectrum", "classifier": "mlp"},
        "trained": {"features": "resnet50", "classifier": "svm", "images": 500},
        "still": {"features": "resnet18@mine", "classifier": "logistic"},
        "several": {"mean_of": "resnet34@mine", "parts": 3},
    }
    study |= {"inits": {"mine": "w.pth"}, "train": {"freeze": 1}}
    full = config.complete(study, SCHEMA)
    assert full["systems"] == study["systems"], "no default is filled in"
    assert systems.classifiers(full) == ["waves", "trained", "still"]
    assert systems.ensembles(full) == ["several"]
    assert systems.networks(full) == ["resnet18@mine", "resnet34@mine"]
    found = {name: (systems.network(how), systems.frozen(how)) for name, how in full["systems"].items()}
    assert found == {
        "waves": (None, False),
        "trained": ("resnet50", False),
        "still": ("resnet18@mine", True),
        "several": ("resnet34@mine", False),
    }
