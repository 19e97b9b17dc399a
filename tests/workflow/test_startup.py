"""A stage with a network parses its command line, and who makes the demo's images plans them, before loading what
only some work needs."""

import subprocess
import sys

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


def test_reading_a_command_line_loads_nothing_that_it_does_not_use():
    program = "import runpy, sys\n"
    program += f"for name in {NETWORK}: runpy.run_path(f'{SCRIPTS}/{{name}}.py')\n"
    program += f"print(*sorted({UNUSED} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_who_plans_the_demos_images_does_not_load_torch():
    """Its workers do; it waits for them, and would have to wait for its own import first."""
    program = (
        "import sys\nfrom detector.demo import generate\ngenerate._plan(0, 1.0)\nprint('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("False", "")
