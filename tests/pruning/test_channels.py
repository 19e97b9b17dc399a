"""Removing channels leaves a working smaller network of the size asked for, which loads from its weights alone."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from detector.core.errors import DetectorError
from detector.models import checkpoints, networks
from detector.pruning import channels

IMAGES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def logits(model):
    with torch.inference_mode():
        return model.eval()(IMAGES)


def convolutions(model):
    return [m for m in model.modules() if isinstance(m, nn.Conv2d)]


@pytest.mark.parametrize(
    ("arch", "share"),
    [
        ("resnet18", 0.1),
        ("resnet18", 0.4),
        ("resnet18", 0.95),
        pytest.param("resnet50", 0.43, marks=pytest.mark.long),
    ],
)
def test_the_share_is_of_parameters(arch, share):
    model = networks.build(arch)
    smaller = channels.remove_channels(model, share)
    left = networks.parameter_count(smaller) / networks.parameter_count(model)
    assert left == pytest.approx(1 - share, abs=0.005)
    assert all(layer.out_channels % channels.MULTIPLE == 0 for layer in convolutions(smaller))
    assert networks.channel_count(smaller) < networks.channel_count(model)
    assert networks.macs(smaller, 32) < networks.macs(model, 32)
    assert logits(smaller).shape == (2, 1)


def test_the_model_itself_stays_whole():
    model = networks.build("resnet18")
    before = logits(model)
    channels.remove_channels(model, 0.5)
    assert torch.equal(logits(model), before)


def test_what_is_removed_is_what_weighs_least():
    """Channels of zeros can go without a change to the logit."""
    model = networks.build("resnet18").eval()
    with torch.no_grad():
        for block in model.layer4:
            block.conv1.weight[::2] = 0
            block.bn1.weight[::2] = 0
            block.bn1.bias[::2] = 0
            block.conv2.weight[:, ::2] = 0
    dead = 9 * 256 * (256 + 512 + 512 + 512) + 4 * 256
    smaller = channels.remove_channels(model, dead / networks.parameter_count(model))
    assert networks.parameter_count(model) - networks.parameter_count(smaller) == dead
    assert [block.conv1.out_channels for block in smaller.layer4] == [256, 256]
    torch.testing.assert_close(logits(smaller), logits(model), atol=1e-5, rtol=0)


def test_it_loads_without_the_pruning_library(tmp_path):
    smaller = channels.remove_channels(networks.build("resnet50", seed=3), 0.4)
    checkpoints.save_weights(tmp_path / "m.safetensors", smaller.state_dict())
    torch.save(logits(smaller), tmp_path / "logits.pt")
    program = (
        "import sys, torch\n"
        "from detector.models import checkpoints, networks\n"
        "model = networks.load('resnet50', checkpoints.load_weights(sys.argv[1]))\n"
        "images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))\n"
        "with torch.inference_mode():\n"
        "    torch.testing.assert_close(model(images), torch.load(sys.argv[2]), atol=1e-5, rtol=1e-5)\n"
        "assert 'torch_pruning' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program, tmp_path / "m.safetensors", tmp_path / "logits.pt"], check=True)


def test_it_can_be_trained():
    smaller = channels.remove_channels(networks.build("resnet18"), 0.8).train()
    smaller(IMAGES).sum().backward()
    assert all(p.grad is not None for p in smaller.parameters())


@pytest.mark.parametrize(("share", "message"), [(1.0, "below 1"), (-0.1, "at least 0"), (0.9999, "at most 99")])
def test_a_share_that_cannot_be_is_refused(share, message):
    with pytest.raises(DetectorError, match=message):
        channels.remove_channels(networks.build("resnet18"), share)


def test_widths_that_do_not_fit_each_other_are_refused():
    weights = dict(channels.remove_channels(networks.build("resnet18"), 0.4).state_dict())
    weights["layer1.0.conv1.weight"] = weights["layer1.0.conv1.weight"][:-1]
    with pytest.raises(DetectorError, match="not those of a resnet18"):
        networks.load("resnet18", weights)


@pytest.mark.parametrize("shape", [(1, 1024), (2, 512), (0, 512)])
def test_a_layer_that_is_wider_or_has_more_outputs_is_refused(shape):
    weights = networks.build("resnet18").state_dict() | {"fc.weight": torch.zeros(shape)}
    with pytest.raises(DetectorError, match="not those of a resnet18"):
        networks.load("resnet18", weights)
    with pytest.raises(DetectorError, match="not those of a resnet50"):
        networks.load("resnet50", networks.build("resnet18").state_dict())


def test_macs_are_counted_as_by_hand():
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1))
    assert networks.macs(model, 5) == 5 * 5 * 4 * 3 * 9 + 4
    # 4.09 G is what the ResNet paper's layers cost with 1,000 classes (He et al. 2016 round it to 3.8 G).
    assert networks.macs(networks.build("resnet50"), 224) == pytest.approx(4.087e9, rel=1e-3)


def test_a_module_that_multiplies_channels_with_each_other_stays_and_its_inputs_go_along():
    smaller = channels.smallest(networks.build("resnet18_gram", 0, 32)).eval()
    assert {gram.align[0].out_channels for gram in smaller.grams} == {32}
    assert [gram.align[0].in_channels for gram in smaller.grams] == [3, 8, 8, 8, 8, 8]
    again, images = networks.load("resnet18_gram", smaller.state_dict(), 32), torch.rand(1, 3, 32, 32)
    assert torch.allclose(again(images), smaller(images), atol=1e-6)


def grouped():
    """Convolutions of four and of two groups of several channels, and a normalisation of two."""
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 64, 3), nn.BatchNorm2d(64), nn.ReLU()),
        *(nn.Conv2d(64, 128, 3, groups=4), nn.GroupNorm(2, 128), nn.ReLU(), nn.Conv2d(128, 32, 3, groups=2)),
        *(nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 1)),
    ).eval()


def reloaded(model, weights):
    """A fresh network with the smaller weights of another, by their shapes alone."""
    networks._narrow(model, weights)
    model.load_state_dict(weights)
    return model


def test_grouped_convolutions_lose_the_same_places_of_each_group():
    """Channels of zeros go without a change to the logit; groups stay as many, and shapes say how wide."""
    model = grouped()
    first, second = model[0], model[3]
    dead = [16 * group + place for group in range(4) for place in range(0, 16, 2)]
    with torch.no_grad():
        for tensor in (first.weight, first.bias, model[1].weight, model[1].bias):
            tensor[dead] = 0
        second.weight[:, ::2] = 0
    count = len(dead) * (27 + 1 + 2) + 128 * 8 * 9
    smaller = channels.remove_channels(model, count / networks.parameter_count(model))
    assert networks.parameter_count(model) - networks.parameter_count(smaller) == count
    assert (smaller[3].in_channels, smaller[3].groups, tuple(smaller[3].weight.shape)) == (32, 4, (128, 8, 3, 3))
    torch.testing.assert_close(logits(smaller), logits(model), atol=1e-5, rtol=0)
    assert torch.equal(logits(reloaded(grouped(), smaller.state_dict())), logits(smaller))


def test_as_few_channels_as_groups_allow_are_left():
    smaller = channels.smallest(grouped())
    layers = [(layer.in_channels, layer.out_channels, layer.groups) for layer in convolutions(smaller)]
    assert layers == [(3, 8, 1), (8, 8, 4), (8, 8, 2)], "a multiple of 8, and of the groups on either side"
    assert smaller[4].num_groups == 2
    again = reloaded(grouped(), smaller.state_dict())
    assert again[4].num_channels == 8
    assert torch.equal(logits(again), logits(smaller))


def test_heads_that_say_nothing_are_removed_and_shapes_say_how_many_are_left():
    model = networks.build("small_cnn_attention", 0, 32).eval()
    (attention,) = networks.attentions(model)
    width, total = attention.head_dim, attention.attn_dim
    assert (attention.num_heads, width, total) == (4, 64, 256)
    dead = torch.arange(2 * width, 3 * width)  # the third
    with torch.no_grad():
        for part in range(3):
            attention.qkv.weight[dead + part * total] = 0
            attention.qkv.bias[dead + part * total] = 0
        attention.proj.weight[:, dead] = 0
    count = 3 * width * (total + 1) + total * width
    smaller = channels.remove_channels(model, count / networks.parameter_count(model))
    assert networks.parameter_count(model) - networks.parameter_count(smaller) == count
    torch.testing.assert_close(logits(smaller), logits(model), atol=1e-5, rtol=0)
    again = networks.load("small_cnn_attention", smaller.state_dict(), 32)
    assert [(part.num_heads, part.attn_dim) for part in networks.attentions(again)] == [(3, 192)]
    assert torch.equal(logits(again), logits(smaller))


def test_one_head_of_each_attention_stays_and_the_share_is_of_parameters():
    model = networks.build("test_vit", 0, 32)
    assert {part.num_heads for part in networks.attentions(model)} == {2}
    smallest = channels.smallest(model)
    assert {part.num_heads for part in networks.attentions(smallest)} == {1}
    smaller = channels.remove_channels(model, 0.4)
    left = networks.parameter_count(smaller) / networks.parameter_count(model)
    assert left == pytest.approx(0.6, abs=0.03)
    again = networks.load("test_vit", smaller.state_dict(), 32)
    assert torch.equal(logits(again), logits(smaller))
    again.train()(IMAGES).sum().backward()
    assert all(weight.grad is not None for weight in again.parameters())


class Beside(nn.Module):
    """Two convolutions whose channels lie side by side before a grouped one: its groups are of one each."""

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 16, 3), nn.Conv2d(3, 16, 3)
        self.grouped, self.out = nn.Conv2d(32, 32, 3, groups=4), nn.Conv2d(32, 16, 3)
        self.fc = nn.Linear(16, 1)

    def forward(self, images):
        maps = self.out(self.grouped(torch.cat([self.left(images), self.right(images)], 1)))
        return self.fc(maps.mean((2, 3)))


def test_what_cannot_go_from_all_groups_alike_stays():
    smaller = channels.smallest(Beside())
    assert [layer.out_channels for layer in convolutions(smaller)] == [16, 16, 8, 8]
    assert torch.equal(logits(reloaded(Beside(), smaller.state_dict())), logits(smaller))
