"""Networks are those of torchvision to the last bit, and no stage loads it: a start waits for nothing unused."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torchvision

from detector import models

SCRIPTS = Path(__file__).parents[1] / "workflow/scripts"
NETWORK = (
    *("baseline", "search", "finetune", "predict", "latency", "export", "predict_exported"),
    *("deployment_latency", "probe"),
)
UNUSED = {
    "torchvision",
    "torch._dynamo",
    "torch._inductor",
    "sympy",
    "triton",
    "captum",
    "matplotlib",
    "onnxscript",
}


@pytest.fixture(params=models.ARCHITECTURES)
def both(request):
    """(torchvision's network, ours), from the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        reference = getattr(torchvision.models, request.param)(weights=None, num_classes=1)
    return reference, models.build(request.param, seed=3)


def test_weights_have_the_same_names_order_and_first_values(both):
    reference, ours = (network.state_dict() for network in both)
    assert list(reference) == list(ours)
    assert all(torch.equal(reference[name], ours[name]) for name in reference)
    assert [name for name, _ in both[0].named_modules()] == [name for name, _ in both[1].named_modules()]


def test_logits_gradients_and_statistics_are_the_same_bits(both):
    images = torch.rand(3, 3, 40, 40, generator=torch.Generator().manual_seed(1))
    logits = []
    for network in both:
        logits.append(network.train()(images))
        logits[-1].square().sum().backward()
    assert torch.equal(*logits)
    reference, ours = both
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(reference.parameters(), ours.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(reference.buffers(), ours.buffers(), strict=True))
    assert torch.equal(*(network.eval()(images) for network in both))


def test_the_order_of_steps_is_the_same(both):
    """Names of values in an exported file come from it."""
    reference, ours = (torch.fx.symbolic_trace(network) for network in both)
    assert [(node.op, node.name) for node in reference.graph.nodes] == [
        (node.op, node.name) for node in ours.graph.nodes
    ]


def test_a_stage_with_a_network_loads_nothing_that_it_does_not_use():
    program = "import runpy, sys\n"
    program += f"for name in {NETWORK}: runpy.run_path(f'{SCRIPTS}/{{name}}.py')\n"
    program += f"print(*sorted({UNUSED} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
