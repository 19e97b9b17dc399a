"""A pass over images holds no more than its rule asks for, and less where CUDA runs out; results stay the same."""

import subprocess
import sys
import textwrap
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from detector.core.errors import DetectorError
from detector.models import devices, gradcam, inference, networks
from detector.models.batches import Batches
from detector.training import fit, stage

SIZE = 16
PREDICT, TRAIN = 8000, 16000  # MB that the rules ask for


@pytest.fixture(scope="module")
def where():
    return devices.plan("cpu", "fp32", 1, SIZE)


@pytest.fixture
def images():
    pixels = np.random.default_rng(0).integers(0, 256, (40, SIZE, SIZE, 3), dtype=np.uint8)
    none = np.zeros(40, int)
    return Batches([pixels], none, np.arange(40), np.arange(40) % 2, torch.device("cpu"))


class Net(nn.Module):
    """A network that notes how many images each pass had, and on a GPU too small for more than `most` of them."""

    def __init__(self, most: int = 1000):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.last = nn.Linear(8, 1)
        self.most, self.passes = most, []

    def forward(self, x):
        if len(x) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        self.passes.append(len(x))
        return self.last(self.layers(x))


EACH = 8 * SIZE**2 * 4 / 2**20  # MiB of the largest output of `Net`, an image


@pytest.mark.parametrize("architecture", ["resnet18", "resnet50"])
def test_256_images_stay_where_they_fit_and_larger_ones_come_in_smaller_batches(architecture):
    """Logits of a batch of another size differ in their last digits."""
    network = networks.build(architecture)
    for memory in (PREDICT, TRAIN):
        counts = {size: networks.images_at_once(network, size, memory) for size in (32, 256, 448, 1024)}
        assert counts[32] == counts[256] == 256
        assert list(counts.values()) == sorted(counts.values(), reverse=True)
        assert counts[1024] < 64
        if architecture == "resnet50":
            # 18 MiB an image at 224 px were measured before there was a rule
            assert all(n * 18 * (size / 224) ** 2 < memory for size, n in counts.items())
    assert networks.images_at_once(network, 32, 10) == 1, "at least one"


MEASURE = """
    import pathlib, re, torch
    from detector.models import devices, networks
    plan = devices.plan("cpu", "fp32", 1, {size})
    network = plan.place(networks.build("{architecture}").eval())
    layout = torch.channels_last if plan.channels_last else torch.contiguous_format
    def rss(line):
        return int(re.search(line + r":\\s+(\\d+) kB", pathlib.Path("/proc/self/status").read_text())[1]) / 1024
    with torch.inference_mode():
        network(torch.zeros(1, 3, {size}, {size}).to(memory_format=layout))
        pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
        before = rss("VmRSS")
        for _ in range(2):
            network(torch.zeros({count}, 3, {size}, {size}).to(memory_format=layout))
    print((rss("VmHWM") - before) / {count}, networks.held(network, {size}) / 2**20)
"""


def test_what_a_pass_is_said_to_hold_is_what_the_process_grows_by():
    """To within what a library takes for itself: too little would end in a crash, far too much would be slow."""
    program = textwrap.dedent(MEASURE.format(architecture="resnet50", size=96, count=40))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    grown, said = map(float, done.stdout.split())
    assert 0.3 * said < grown < 1.5 * said


def test_logits_and_validation_keep_to_the_plan(images, where):
    expected = inference.logits(Net(), images, where)
    validated = fit._evaluate(Net(), images, where)
    reserved = networks.RESERVED
    for plan, largest in (
        (where, 40),
        (replace(where, memory=reserved + int(networks.HELD * EACH * 16) + 1), 16),
        (replace(where, memory=1), 1),
        (replace(where, evaluation_batch=7), 7),
    ):
        net = Net()
        found = inference.logits(net, images, plan)
        assert max(net.passes) == largest
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
        net = Net()
        assert fit._evaluate(net, images, plan) == pytest.approx(validated, rel=1e-5)
        assert max(net.passes) == largest


def test_a_pass_that_cuda_has_no_memory_for_is_halved(images, where, caplog):
    expected = inference.logits(Net(), images, where)
    net = Net(most=11)
    found = inference.logits(net, images, where)
    # One image to see what it holds; 40, 20 and 10; what is found once holds for the batches that follow.
    assert net.passes == [1, 10, 10, 10, 10]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert "going on with 10" in caplog.text
    net = Net(most=11)
    assert fit._evaluate(net, images, where) == pytest.approx(fit._evaluate(Net(), images, where), rel=1e-5)
    assert max(net.passes) == 10


def test_one_image_that_does_not_fit_is_the_error_itself(images, where):
    with pytest.raises(torch.OutOfMemoryError):
        inference.logits(Net(most=0), images, replace(where, evaluation_batch=8))


def test_maps_of_large_images_are_made_a_few_at_a_time(where):
    network = networks.build("resnet18").eval()
    pixels = torch.rand(5, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    signs = np.array([1, -1, 1, 1, -1.0])
    seen = []
    network.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    whole = gradcam.heat_maps(network, pixels, signs, where)
    assert max(seen) == 5
    seen.clear()
    parts = gradcam.heat_maps(network, pixels, signs, replace(where, memory=1))
    assert set(seen) == {1}
    np.testing.assert_allclose(parts, whole, rtol=1e-4, atol=1e-6)


def test_a_batch_that_no_job_has_memory_for_ends_a_search_before_its_first_trial(where):
    """On a CPU, where the rule's memory is all that there is; a range counts as its highest number."""
    network, plan = networks.build("resnet50"), replace(where, memory=TRAIN)
    for sizes in ([32, 128], {"low": 8, "high": 128}):
        stage.check_batches({"batch_size": sizes}, network, 224, plan)
    for sizes in ([32, 512], {"low": 8, "high": 512}):
        with pytest.raises(DetectorError, match=r"batch_size: found 512; .* 224 px .* no more than about 128"):
            stage.check_batches({"batch_size": sizes}, network, 224, plan)
        stage.check_batches({"batch_size": sizes}, network, 224, replace(plan, device="cuda"))
    stage.check_batches({"learning_rate": [0.1]}, network, 224, plan)
