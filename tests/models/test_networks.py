"""Networks by name: names are the library's own, seeds give weights, and each step of the protocol works."""

import copy
import math
import re
import subprocess
import sys

import numpy as np
import onnx
import pytest
import timm
import torch
import torch.distributed as dist
from onnx import numpy_helper
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

from detector.core import dependencies
from detector.core.errors import DetectorError
from detector.experiment import architectures
from detector.experiment.left_out import EXPORTS, HEAT_MAPS, INT8
from detector.export import onnx_model, quantization
from detector.export.trial import trial
from detector.models import networks
from detector.models.attention import HEAD_WIDTH, SelfAttention
from detector.models.gram import GramBlock
from detector.pruning import channels
from detector.training.distributed import _convert
from tests.support import ROOT

# docs/networks.md says the same of each.
WORKS = ("convnext_atto", "mobilenetv2_100", "vit_tiny_patch16_224", "botnet26t_256", "tf_efficientnet_lite0")
LARGE = ("legacy_xception", "vgg16_bn", "resnet18_attention", "resnet18_gram", "resnext50_32x4d")
STEPS = ("channels-40", "gradual", "l1", "lamp", "random", HEAT_MAPS, EXPORTS, INT8)


def test_the_names_are_those_of_the_library_and_are_read_without_it():
    assert set(architectures.known()) == {*timm.list_models(), *architectures.STUDY, *architectures.OWN}
    assert not {*timm.list_models()} & {*architectures.OWN}
    asked = "import sys; from detector.experiment import architectures as a; a.problem('resnet51')"
    loaded = f"{asked}; print([name for name in ('timm', 'torch') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "script", ["training/baseline", "training/finetune", "inference/predict", "export/export"]
)
def test_only_stages_of_its_networks_depend_on_timm(script):
    path = ROOT / f"workflow/scripts/{script}.py"
    assert "timm" not in dependencies.packages(path, architectures.module("resnet50"))
    assert "timm" in dependencies.packages(path, architectures.module("convnext_atto"))


@pytest.mark.parametrize("name", ["convnext_atto", "resnet10"])
def test_a_seed_gives_the_same_weights_and_leaves_torch_s_own_draws_alone(name):
    torch.manual_seed(3)
    first, drawn = networks.build(name, 1, 32), torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(1))
    again, other = networks.build(name, 1, 32).state_dict(), networks.build(name, 2, 32).state_dict()
    assert all(torch.equal(tensor, again[key]) for key, tensor in first.state_dict().items())
    assert any(not torch.equal(tensor, other[key]) for key, tensor in first.state_dict().items())


def test_resnet10_is_torchvision_s_resnet_of_one_block_per_stage():
    """To the byte: layers in their order, the weights of a seed, a pass, the gradients and the running means."""
    torch.manual_seed(5)
    theirs = ResNet(BasicBlock, [1, 1, 1, 1], num_classes=1)
    ours = networks.build("resnet10", 5)
    images = torch.rand(4, 3, 40, 40)
    assert [name for name, _ in ours.named_modules()] == [name for name, _ in theirs.named_modules()]
    assert same(ours.state_dict(), theirs.state_dict())
    for model in (ours, theirs):
        model.train()(images).sum().backward()
    gradients = [{name: weight.grad for name, weight in model.named_parameters()} for model in (ours, theirs)]
    assert same(*gradients)
    assert same(ours.state_dict(), theirs.state_dict())
    assert torch.equal(ours.eval()(images), theirs.eval()(images))


def test_to_ask_what_a_network_takes_leaves_it_as_it_was():
    network = networks.build("resnet10", 0).train()
    network.bn1.eval()  # as a body whose weights stay
    modes, before = [module.training for module in network.modules()], copy.deepcopy(network.state_dict())
    assert networks.held(network, 48, 1) == 64 * 24 * 24 * 4, (
        "bytes of the largest output, that of the first layer"
    )
    assert networks.macs(network, 48) > networks.macs(network, 32) > 0
    assert [module.training for module in network.modules()] == modes
    assert same(before, network.state_dict())
    assert not any(module._forward_hooks for module in network.modules())


def same(first, second):
    """Whether both have the same tensors by the same names, in the same order."""
    return list(first) == list(second) and all(torch.equal(first[name], second[name]) for name in first)


def test_meta_says_what_a_network_is():
    found = networks.described("convnext_atto")
    assert found == {"library": "timm", "name": "convnext_atto", "version": timm.__version__}
    assert networks.described("resnet50")["library"] == "torchvision"


@pytest.mark.parametrize(
    "name",
    [
        "resnet18",
        "small_resnet",
        "mobilenetv2_100",
        "tf_efficientnet_lite0",
        "mixnet_s",
        "ghostnet_100",
        "vgg11_bn",
    ],
)
def test_a_fresh_network_is_undecided(name):
    model = networks.build(name, size=64).train()
    with torch.no_grad():
        logits = model(torch.randn(16, 3, 64, 64, generator=torch.Generator().manual_seed(0))).squeeze(1)
    assert logits.std() > 0, "it answers"
    labels = (torch.arange(16) % 2).float()
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels).item()
    assert loss < 1.5 * math.log(2), "half of the images right, and no certainty: ln 2"


def test_nothing_is_dropped_at_random():
    network = networks.build("ghostnet_050", 0, 32)
    assert timm.create_model("ghostnet_050").drop_rate, "the library drops some"
    images = torch.rand(4, 3, 32, 32)
    assert torch.equal(network.train()(images), network(images))


@pytest.mark.parametrize("name", ["convnext_atto", "small_cnn_attention", "small_resnet"])
def test_every_step_works_with_a_network_of_timm_and_one_of_ours(name):
    assert trial(name, 32, STEPS) == {}


def attention(channels):
    """Parameters of self-attention: a norm, queries, keys and values, the projection."""
    return 2 * channels + (channels + 1) * 3 * channels + (channels + 1) * channels


def convolution(inputs, outputs):
    """Parameters of a convolution of 3 x 3 and of its normalisation."""
    return 9 * inputs * outputs + 2 * outputs


SMALL = sum(convolution(*pair) for pair in ((3, 32), (32, 64), (64, 128), (128, 256))) + 257


def block(inputs, outputs):
    """Parameters of two convolutions and, where the width changes, of the way around them."""
    around = 0 if inputs == outputs else inputs * outputs + 2 * outputs
    return convolution(inputs, outputs) + convolution(outputs, outputs) + around


SMALL_RESNET = convolution(3, 32) + sum(block(*pair) for pair in ((32, 32), (32, 64), (64, 128))) + 129
GRAMS = sum(convolution(c, 32) + convolution(1, 16) + convolution(16, 32) for c in (3, 64, 64, 64, 128, 256))


@pytest.mark.parametrize(
    ("name", "body", "more"),
    [
        ("small_cnn", None, SMALL),
        ("small_resnet", None, SMALL_RESNET),
        ("small_cnn_attention", "small_cnn", attention(256)),
        ("resnet18_attention", "resnet18", attention(512)),
        ("resnet18_gram", "resnet18", GRAMS + 6 * 32),
    ],
)
def test_parameters_of_our_networks_are_those_of_their_layers(name, body, more):
    assert architectures.library(name) == "detector"
    assert set(networks.described(name)) == {"library", "name", "version"}
    below = networks.parameter_count(networks.build(body)) if body else 0
    assert networks.parameter_count(networks.build(name)) == below + more


@pytest.mark.parametrize("name", ["resnet18", "small_resnet", "convnext_atto"])
def test_weights_are_counted_before_anything_is_removed(name):
    network = networks.build(name, size=32)
    assert networks.weights(name, 32) == networks.parameter_count(network)
    assert all(weight.device.type == "cpu" for weight in network.parameters())


def test_the_resnet_for_small_images_sees_every_pixel_before_it_halves_the_side():
    network, sides = networks.build("small_resnet", size=32), []
    for stage in (network.layer1, network.layer2, network.layer3):
        stage.register_forward_hook(lambda _, inputs, out: sides.append(out.shape[-1]))
    network(torch.rand(1, 3, 32, 32))
    assert sides == [32, 16, 8]


def test_self_attention_is_that_of_torch():
    """Heads, their scale and their order are those of torch's own module with the same weights."""
    torch.manual_seed(0)
    ours, maps = SelfAttention(2 * HEAD_WIDTH), torch.rand(2, 2 * HEAD_WIDTH, 3, 4)
    theirs = nn.MultiheadAttention(2 * HEAD_WIDTH, 2, batch_first=True)
    theirs.in_proj_weight, theirs.in_proj_bias = ours.qkv.weight, ours.qkv.bias
    theirs.out_proj.weight, theirs.out_proj.bias = ours.proj.weight, ours.proj.bias
    tokens = ours.norm(maps.flatten(2).transpose(1, 2))
    expected = maps + theirs(tokens, tokens, tokens)[0].transpose(1, 2).reshape(maps.shape)
    torch.testing.assert_close(ours(maps), expected)


def test_a_gram_block_sees_which_channels_go_together_and_not_where():
    torch.manual_seed(0)
    block, maps = GramBlock(5).eval(), torch.rand(2, 5, 6, 6)
    block.align = nn.Sequential(nn.Conv2d(5, 32, 1))  # no neighbours: any order of positions is one image
    mixed = maps.flatten(2)[:, :, torch.randperm(36)].unflatten(2, (6, 6))
    torch.testing.assert_close(block(maps), block(mixed))
    seen = []
    block.refine.register_forward_hook(lambda _, inputs, out: seen.append(inputs[0]))
    block(maps)
    aligned = block.align(maps).flatten(2)
    expected = torch.stack([one @ one.T for one in aligned]).unsqueeze(1) / (32 * 36)
    torch.testing.assert_close(seen[0], expected)


@pytest.mark.long
@pytest.mark.parametrize("name", [*WORKS[1:], *LARGE])
def test_every_step_works_with_each_family(name):
    assert trial(name, 64, STEPS) == {}


def test_what_fails_is_said_by_step():
    found = trial("nf_resnet26", 32, ["l1", HEAT_MAPS])
    assert set(found) == {"l1"}
    assert "a zero would not stay one" in found["l1"]


def no_numbers(target, source, *_, **__):
    """A file whose logits are no numbers, made in place of an int8 one."""
    model = onnx.load(source)
    for constant in model.graph.initializer:
        if constant.data_type == onnx.TensorProto.FLOAT:
            constant.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(constant) * np.nan, constant.name))
    onnx.save(model, target)


@pytest.mark.parametrize(
    ("broken", "reason"), [(no_numbers, "its logits in int8 are no numbers"), (None, "no such operator")]
)
def test_a_network_of_which_int8_alone_fails_keeps_its_other_files(broken, reason, monkeypatch):
    def fails(*_, **__):
        raise RuntimeError(f"{reason}\nand where")

    monkeypatch.setattr(quantization, "_quantize", broken or fails)
    assert trial("small_cnn", 32, [EXPORTS, INT8]) == {INT8: reason}


def test_where_nothing_can_be_exported_int8_is_not_tried(monkeypatch):
    def fails(*_, **__):
        raise RuntimeError("no export")

    monkeypatch.setattr(onnx_model, "save_onnx", fails)
    monkeypatch.setattr(quantization, "save_int8", lambda *_, **__: pytest.fail("from what?"))
    assert trial("small_cnn", 32, [EXPORTS, INT8]) == {EXPORTS: "no export"}


def test_a_share_that_cannot_be_removed_is_said_before_anything_is_trained():
    found = trial("test_vit", 32, ["channels-20", "channels-99"])
    assert set(found) == {"channels-99"}, "8 channels of each layer stay, and a head of each attention"
    most = float(re.search(r"at most ([\d.]+)% of its parameters", found["channels-99"])[1]) / 100
    network = networks.build("test_vit", 0, 32)
    assert 1 - networks.parameter_count(channels.smallest(network)) / networks.parameter_count(network) == (
        pytest.approx(most, abs=1e-3)
    )


def test_a_size_that_a_network_cannot_take_is_one_sentence_with_one_that_it_can():
    found = trial("vit_tiny_patch16_224", 8)
    assert set(found) == {"images"}
    assert "of 8 px" in found["images"]
    assert "set images.size to 32" in found["images"]


def test_an_unknown_name_has_its_neighbours():
    with pytest.raises(DetectorError, match="did you mean .*vit_tiny_patch16_224"):
        networks.build("vit_tiny_patch16_225")


def test_layers_that_normalise_and_activate_keep_their_activation_over_processes(tmp_path):
    torch.manual_seed(0)
    layer = timm.layers.BatchNormAct2d(4)
    model, images = nn.Sequential(layer), torch.randn(6, 4, 5, 5)
    expected = model.train()(images).detach()
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        found = _convert(model)(images).detach()
    finally:
        dist.destroy_process_group()
    assert type(layer) is not timm.layers.BatchNormAct2d
    np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=1e-5)
    assert found.min() == 0, "ReLU"
