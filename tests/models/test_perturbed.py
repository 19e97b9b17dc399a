"""What is saved of perturbed images is what each network says of each, whatever the chunks and threads; examples
are drawn as told; and a heat map is Grad-CAM by its formula, of a layer that has something to show."""

import argparse
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from detector.core import parquet
from detector.data.records import file_of, of_frame
from detector.imaging import perturbations
from detector.imaging.looks import Looks
from detector.models import devices, gradcam, inference, perturbed
from detector.models.batches import Batches
from detector.models.dataset import Images
from detector.models.networks import build
from tests.support.samples import load_script

SIZE = 32
TABLE = {"jpeg-50": [{"jpeg": 50}], "grain": [{"scale": 0.5}, {"noise": 9}]}


@pytest.fixture(scope="module")
def where():
    return devices.plan("cpu", "fp32", 1, SIZE)


@pytest.fixture(scope="module")
def world():
    """23 test images of two sources in packed stores, and two networks."""
    rng = np.random.default_rng(0)
    stores = {name: rng.integers(0, 256, (20, SIZE, SIZE, 3), dtype=np.uint8) for name in ("a", "b")}
    rows = pd.DataFrame(
        {
            "source": ["a"] * 13 + ["b"] * 10,
            "path": [f"{i}.png" for i in range(23)],
            "row": [*range(13), *range(5, 15)],
            "label": np.arange(23) % 2,
            "generator": ["gan" if i % 2 == 0 else "" for i in range(23)],
        }
    )
    return stores, rows, {name: build("resnet18", seed).eval() for seed, name in enumerate(("one", "two"))}


@pytest.mark.parametrize(("chunk", "threads"), [(256, 1), (5, 2)])
def test_logits_are_those_of_each_image_perturbed(world, where, monkeypatch, chunk, threads):
    stores, rows, networks = world
    monkeypatch.setattr(perturbed, "CHUNK", chunk)
    batches = Batches.of(rows, stores, where.torch_device)
    judges = {name: inference.judge([model], where) for name, model in networks.items()}
    judges["both"] = inference.judge([*networks.values()], where)
    found = perturbed.perturbed_logits(judges, batches, rows, TABLE, replace(where, threads=threads))
    assert {name: list(table) for name, table in found.items()} == {name: list(TABLE) for name in judges}
    for change, steps in TABLE.items():
        changed = [
            perturbations.apply(stores[row.source][row.row], steps, perturbations.seed_of(row.source, row.path))
            for row in rows.itertuples()
        ]
        batch = Batches([np.stack(changed)], np.zeros(23, int), np.arange(23), rows["label"], where.torch_device)
        for name, model in networks.items():
            assert found[name][change] == pytest.approx(inference.logits(model, batch, where), abs=1e-5)
            assert found[name][change].dtype == np.float32
        assert found["both"][change] == pytest.approx((found["one"][change] + found["two"][change]) / 2, abs=1e-5)


def test_a_judge_is_given_videos_whole_and_each_image_once(world, where, monkeypatch):
    """Frames that lie apart in the manifest come together, in the order of their numbers, also of a long video."""
    stores, rows, _ = world
    monkeypatch.setattr(perturbed, "CHUNK", 5)
    rows = pd.concat([rows.assign(path=[of_frame(p, n) for p in rows["path"]]) for n in (9, 10)])
    long = rows["path"].map(file_of).isin(["1.png", "2.png", "4.png"]) & (rows["source"] == "a")
    rows.loc[long, "path"] = [of_frame("long.png", 10 - n) for n in range(6)]
    rows, given = rows.sample(frac=1, random_state=0), []
    seen = rows.set_index(["source", "path"])["row"]

    def judge(batches, part, title):
        given.append(part)
        pixels = batches.gather(np.arange(len(part)))
        for image, source, path in zip(pixels, part["source"], part["path"], strict=True):
            assert (image == stores[source][seen[source, path]]).all(), "each row is of its image"
        return part["row"].to_numpy()

    batches, nothing = Batches.of(rows, stores, where.torch_device), [{"quarter_turns": 1}, {"quarter_turns": 3}]
    found = perturbed.perturbed_logits({"one": judge}, batches, rows, {"as-it-is": nothing}, where)["one"]
    assert found["as-it-is"].tolist() == rows["row"].tolist()
    together = [(part["source"] + part["path"].map(file_of)).unique() for part in given]
    assert sum(map(len, together)) == len(set().union(*together)) == 21, "in one part alone"
    assert sorted(map(len, given))[-2:] == [4, 6]
    assert sum(map(len, given)) == 46


def test_a_network_of_which_all_that_was_asked_for_is_left_out_has_empty_tables(world, tmp_path, monkeypatch):
    stores, rows, _ = world
    script = load_script("inference/probe")
    images = Images(rows.assign(split="test"), stores, {"a": {"size": SIZE, "preprocess": "resize"}})
    monkeypatch.setattr(script.Images, "open", lambda *_: images)
    settings = {"perturbations": TABLE, "images": 5, "seed": 0, "looks": None, "runtime": {"device": "cpu"}}
    out = {"perturbed": tmp_path / "perturbed.parquet", "maps": tmp_path / "maps.parquet"}
    none = {"models": [], "predictions": [], "perturb": [], "explain": [], "manifest": None, "packs": []}
    script.main(argparse.Namespace(arch="resnet18", config=json.dumps(settings), threads=1, **none, **out))
    assert list(parquet.read(out["perturbed"]).columns) == ["branch", *perturbed.IMAGE_COLUMNS, "clean", *TABLE]
    assert all(parquet.read(path).empty for path in out.values())


@pytest.mark.parametrize("looks", [None, Looks(4, (24, 30))])
def test_larger_images_are_perturbed_before_the_network_sees_their_middle_or_windows(world, where, looks):
    stores, rows, networks = world
    found = perturbed.perturbed_logits(
        {"one": inference.judge([networks["one"]], where)},
        Batches.of(rows, stores, where.torch_device, 24),
        rows,
        TABLE,
        where,
        looks,
    )["one"]
    for change, steps in TABLE.items():
        changed = [
            perturbations.apply(stores[row.source][row.row], steps, perturbations.seed_of(row.source, row.path))
            for row in rows.itertuples()
        ]
        seen = [image[None, 4:28, 4:28] if looks is None else looks.cut(image, 24) for image in changed]
        each, views = len(seen[0]), [np.concatenate(seen)]
        label = np.repeat(rows["label"].to_numpy(), each)
        batch = Batches(views, np.zeros(23 * each, int), np.arange(23 * each), label, where.torch_device)
        expected = inference.logits(networks["one"], batch, where).reshape(23, each).mean(1)
        assert found[change] == pytest.approx(expected, abs=1e-5)


def test_a_choice_keeps_sources_and_shares_and_depends_on_no_order(world):
    _, rows, _ = world
    rows = pd.concat([rows.assign(path=rows["path"] + f"-{i}") for i in range(10)], ignore_index=True)
    chosen = perturbed.choose(rows, 40, 0)
    assert chosen["source"].value_counts().to_dict() == {"a": 40, "b": 40}
    assert chosen.index.is_monotonic_increasing
    shares = chosen.groupby("source")["label"].mean()
    assert shares["a"] == pytest.approx(6 / 13, abs=1 / 40)
    shuffled = perturbed.choose(rows.sample(frac=1, random_state=1), 40, 0)
    assert set(shuffled["path"]) == set(chosen["path"])
    assert set(perturbed.choose(rows, 40, 1)["path"]) != set(chosen["path"])
    assert perturbed.choose(rows, 1000, 0).equals(rows)
    assert perturbed.choose(rows.iloc[:0], 40, 0).empty


def test_a_choice_takes_videos_whole(world):
    _, rows, _ = world
    several = pd.concat([rows.assign(path=[of_frame(p, n) for p in rows["path"]]) for n in (2, 4)])
    chosen, one = perturbed.choose(several.reset_index(drop=True), 5, 0), perturbed.choose(rows, 5, 0)
    assert chosen["path"].map(file_of).tolist() == [*one["path"]] * 2


def said(labels, logits):
    return pd.DataFrame({"path": range(len(labels)), "label": labels, "logit": np.float32(logits)})


def test_examples_are_right_wrong_and_least_certain():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 200)
    table = said(labels, rng.normal(np.where(labels == 1, 1, -1), 1))
    found = gradcam.examples(table, 0)
    kinds = found.groupby("kind", sort=False)
    assert list(kinds.groups) == [gradcam.RIGHT, gradcam.WRONG, gradcam.UNCERTAIN]
    right = (found["logit"] >= 0) == (found["label"] == 1)
    assert right[found["kind"] == gradcam.RIGHT].all()
    assert not right[found["kind"] == gradcam.WRONG].any()
    for kind in (gradcam.RIGHT, gradcam.WRONG):
        assert kinds.get_group(kind)["label"].tolist() == [1, 1, 0, 0]
    least = kinds.get_group(gradcam.UNCERTAIN)["logit"].abs()
    assert sorted(least) == sorted(table["logit"].abs())[:4]
    assert gradcam.examples(table, 0).equals(found)
    assert not gradcam.examples(table, 1).equals(found)


def test_where_there_are_few_examples_there_are_fewer():
    found = gradcam.examples(said([0, 0, 0, 1, 0, 0], [-1, -2, -3, -1, -1, -1]), 0)
    assert found["kind"].value_counts().to_dict() == {"right": 4, "wrong": 1, "least certain": 4}
    assert gradcam.examples(said([], []), 0).empty


@pytest.mark.parametrize(
    ("size", "name"), [(16, "layer1"), (32, "layer2"), (64, "layer3"), (128, "layer4"), (224, "layer4")]
)
def test_the_layer_is_the_deepest_with_four_pixels_a_side(size, name):
    model = build("resnet18").eval()
    layer = gradcam.layer_of(model, size)
    assert layer is getattr(model, name)
    sides = []
    hook = layer.register_forward_hook(lambda module, inputs, out: sides.append(out.shape[-1]))
    with torch.inference_mode():
        model(torch.zeros(1, 3, size, size))
    hook.remove()
    assert sides[0] >= 4


def test_a_heat_map_is_grad_cam_of_the_call(world, where):
    stores, rows, networks = world
    model = networks["one"]
    batches = Batches.of(rows.iloc[:4], stores, where.torch_device)
    pixels = batches.images(np.arange(4))
    logit = np.array([1.0, -1.0, 2.0, -0.5])
    found = gradcam.heat_maps(model, pixels, logit, where)
    for i, call in enumerate(np.sign(logit)):
        kept = []
        hook = gradcam.layer_of(model, SIZE).register_forward_hook(lambda *seen, kept=kept: kept.append(seen[2]))
        out = model(pixels[i : i + 1]) * call
        hook.remove()
        (gradient,) = torch.autograd.grad(out.sum(), kept[0])
        weights = gradient.mean(dim=(2, 3), keepdim=True)
        expected = torch.relu((weights * kept[0]).sum(dim=1))[0].detach().numpy()
        assert found[i].shape == (4, 4)
        assert found[i] == pytest.approx(expected, abs=1e-5)
    assert (found >= 0).all()
    other = gradcam.heat_maps(model, pixels, -logit, where)
    assert ((found > 0) & (other > 0)).sum() == 0, "what speaks for one call speaks against the other"
