"""Pruning drops the weights that PyTorch's own global L1 pruning drops, and training cannot revive them."""

import pytest
import torch
from torch.nn.utils import prune

from detector.core.errors import DetectorError
from detector.models import networks
from detector.pruning import masks
from detector.pruning.methods import lamp
from detector.pruning.start import start

# The study's Table 6.
STUDY_NONZERO = {0.1: 21_111_264, 0.2: 18_765_568, 0.3: 16_419_872, 0.4: 14_074_176}


def torch_masks(model, sparsity):
    """What torch.nn.utils.prune.global_unstructured keeps."""
    layers = [(m, "weight") for m in model.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
    prune.global_unstructured(layers, pruning_method=prune.L1Unstructured, amount=sparsity)
    return [layer.weight_mask.bool() for layer, _ in layers]


def test_resnet50_has_the_study_s_counts():
    model = networks.build("resnet50")
    assert networks.parameter_count(model) == 23_510_081
    weights = networks.prunable(model)
    assert sum(w.numel() for w in weights) == 23_456_960
    for sparsity, expected in STUDY_NONZERO.items():
        assert sum(int(mask.sum()) for mask in masks.global_l1(weights, sparsity)) == expected


def test_resnet50_masks_are_torch_s():
    model = networks.build("resnet50", seed=1)
    ours = masks.global_l1(networks.prunable(model), 0.4)
    assert all(torch.equal(a, b) for a, b in zip(ours, torch_masks(model, 0.4), strict=True))


@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.95])
def test_masks_are_torch_s_also_where_magnitudes_tie(sparsity):
    model = networks.build("resnet18")
    with torch.no_grad():
        for weight in networks.prunable(model):
            weight.mul_(20).round_().div_(20)  # few distinct values: thousands of ties at the threshold
    ours = masks.global_l1(networks.prunable(model), sparsity)
    assert all(torch.equal(a, b) for a, b in zip(ours, torch_masks(model, sparsity), strict=True))


def test_memory_layout_does_not_matter():
    model = networks.build("resnet18")
    before = masks.global_l1(networks.prunable(model), 0.3)
    after = masks.global_l1(networks.prunable(model.to(memory_format=torch.channels_last)), 0.3)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_random_control_drops_as_many_but_others():
    model = networks.build("resnet18")
    drawn = {"method": "random", "sparsity": 0.4}
    chosen, magnitude = start(model, drawn, 3)[1], start(model, {"method": "l1", "sparsity": 0.4}, 3)[1]
    assert sum(int(m.sum()) for m in chosen) == sum(int(m.sum()) for m in magnitude)
    assert not all(torch.equal(a, b) for a, b in zip(chosen, magnitude, strict=True))
    again = start(model, drawn, 3)[1]
    assert all(torch.equal(a, b) for a, b in zip(chosen, again, strict=True))


def test_lamp_s_scores_are_those_of_the_formula():
    """By hand, over two layers: 1, 2, 3 and 10, 10; of the equal ones the first is the lower."""
    layers = [torch.tensor([3.0, -1.0, 2.0]), torch.tensor([-10.0, 10.0])]
    expected = [1.0, 1 / 14, 4 / 13, 100 / 200, 1.0]
    assert lamp._scores(layers).tolist() == pytest.approx(expected)
    assert lamp._scores([torch.zeros(2), torch.tensor([0.0, 5.0])]).tolist() == [0, 0, 0, 1]


def test_lamp_empties_no_layer_where_global_l1_does():
    """A classifier whose weights are small beside all others, as MobileNetV2's are."""
    model = networks.build("resnet10", seed=0)
    with torch.no_grad():
        model.fc.weight.mul_(1e-3)
    found = {name: start(model, {"method": name, "sparsity": 0.9}, 0)[1] for name in ("l1", "lamp")}
    names = list(networks.prunable_layers(model))
    assert masks.emptied(names, found["l1"]) == {"fc": (0, 512)}
    assert masks.emptied(names, found["lamp"]) == {}
    assert len({sum(int(mask.sum()) for mask in kept) for kept in found.values()}) == 1, "as many are kept"
    for weight, kept in zip(networks.prunable(model), found["lamp"], strict=True):
        dropped = weight.abs()[~kept]
        assert len(dropped) == 0 or dropped.max() <= weight.abs()[kept].min(), "within a layer the smallest go"


@pytest.mark.parametrize(
    ("left", "of_others", "named"),
    [(0, 900, True), (9, 900, True), (10, 900, False), (9, 80, False), (3, 80, True), (0, 1, True), (1, 1, False)],
)
def test_a_layer_that_keeps_next_to_nothing_is_named(left, of_others, named):
    """Less than 1 % of its weights, and less than a tenth of the share that is left of all."""
    kept = [torch.arange(1000) < left, torch.arange(1000) < of_others]
    found = masks.emptied(["small", "other"], kept)
    assert found.get("small") == ((left, 1000) if named else None)


@pytest.mark.parametrize("method", ["l1", "lamp"])
def test_what_is_pruned_is_what_is_pruned_again(method):
    """As `detector adapt` prunes a network once more: of weights that are zero none comes back."""
    model, pruning = networks.build("resnet10", seed=0), {"method": method, "sparsity": 0.6}
    _, kept = start(model, pruning, 0)
    weights = networks.prunable(model)
    masks.apply(weights, masks.like(weights, kept))
    again = start(model, pruning, 0)[1]
    assert all(torch.equal(a, b) for a, b in zip(kept, again, strict=True))


def test_violations_counts_revived_weights():
    weights = [torch.ones(4, 4)]
    kept = masks.global_l1(weights, 0.5)
    assert masks.violations(weights, kept) == 8
    masks.apply(weights, masks.like(weights, kept))
    assert masks.violations(weights, kept) == 0


@pytest.mark.parametrize("sparsity", [-0.1, 1.0])
def test_impossible_sparsity_is_refused(sparsity):
    with pytest.raises(DetectorError, match="sparsity"):
        masks.global_l1([torch.ones(3)], sparsity)
