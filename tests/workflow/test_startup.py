"""A stage with a network parses its command line, and who makes the demo's images plans them, before loading what
only some work needs."""

import subprocess
import sys

import pytest

from tests.support import ROOT

SCRIPTS = ROOT / "workflow/scripts"
NETWORK = (
    *("training/baseline", "training/search", "training/finetune"),
    *("inference/predict", "inference/latency", "inference/probe"),
    *("export/export", "export/predict_exported", "export/deployment_latency"),
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


@pytest.fixture(scope="module")
def loaded():
    """What of `UNUSED` is loaded when all command lines were read; then, after a pass of the demo's network."""
    program = "import runpy, sys\n"
    program += f"for name in {NETWORK}: runpy.run_path(f'{SCRIPTS}/{{name}}.py')\n"
    program += f"print(*sorted({UNUSED} & set(sys.modules)))\n"
    program += "import torch\nfrom detector.models import devices, networks\n"
    program += "model = networks.load('resnet10', networks.build('resnet10').state_dict())\n"
    program += "plan = devices.plan('cpu', 'fp32', 1, 32)\n"
    program += "networks.evaluation_batch(model, 32, plan)\n"
    program += "passes = networks.Passes(plan.place(model))\n"
    program += "with torch.inference_mode(), plan.autocast(): passes(torch.rand(2, 3, 32, 32))\n"
    program += f"print(*sorted({UNUSED} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")


def test_reading_a_command_line_loads_nothing_that_it_does_not_use(loaded):
    assert loaded[0] == ""


def test_a_pass_of_the_demos_network_loads_neither_torchvision_nor_a_compiler(loaded):
    assert loaded[1] == ""


def test_who_plans_the_demos_images_does_not_load_torch():
    """Its workers do; it waits for them, and would have to wait for its own import first."""
    program = (
        "import sys\nfrom detector.demo import generate\ngenerate._plan(0, 1.0)\nprint('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("False", "")
