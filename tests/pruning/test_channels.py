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
