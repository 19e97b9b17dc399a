"""A pruning method is one file: its module is found by its name, says what others must know of it, and starts a
branch; who does not use it does not depend on it."""

import shutil
import subprocess
import sys
from string import Formatter

import pytest
import torch

from detector.core import dependencies
from detector.core.errors import DetectorError
from detector.experiment import branches, methods
from detector.models import networks
from detector.pruning import masks
from detector.pruning import methods as package
from detector.pruning.start import start
from tests.support import ROOT

SIGN = """import torch
from detector.models.networks import prunable
from detector.pruning import masks

PERCENT_OF = "weights"
SETTINGS = ("ramp",)
CARD = "{zeros} of its weights, the lowest ones, set to zero"

def start(model, pruning, seed):
    return model, masks.lowest(prunable(model), pruning["sparsity"], lambda flat: flat)
"""


@pytest.fixture
def signed(tmp_path, monkeypatch):
    """A folder of methods beside the project's, with `sign` in it, which drops the lowest weights."""
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    methods.facts.cache_clear()
    (tmp_path / "sign.py").write_text(SIGN)
    yield tmp_path
    methods.facts.cache_clear()


@pytest.mark.parametrize("method", methods.known())
def test_every_method_keeps_the_contract(method):
    facts = methods.facts(method)
    assert facts.PERCENT_OF in ("weights", "parameters")
    assert {name for _, name, _, _ in Formatter().parse(facts.CARD)} - {None} <= {
        "zeros",
        "channels",
        "parameters",
    }
    settings = {"ramp": 3}
    pruning = {"method": method, "sparsity": 0.4, **{key: settings[key] for key in facts.SETTINGS}}
    model = networks.build("resnet10")
    network, kept = start(model, pruning, seed=0)
    if facts.PERCENT_OF == "parameters":
        assert kept is None
        assert networks.parameter_count(network) == pytest.approx(0.6 * networks.parameter_count(model), rel=0.05)
        return
    assert network is model
    weights = networks.prunable(model)
    last = kept.masks(weights, kept.epochs) if isinstance(kept, masks.Gradual) else kept
    total = sum(weight.numel() for weight in weights)
    assert sum(int((~mask).sum()) for mask in last) == round(0.4 * total)


def test_a_new_method_is_a_new_file_and_nothing_else(signed):
    assert set(methods.known()) == {"channels", "gradual", "l1", "lamp", "random", "sign"}
    config = {"prune": {"dense_control": False, "methods": {"sign": [0.4]}, "ramp": 7}}
    assert branches.branches(config) == {"sign-40": {"method": "sign", "sparsity": 0.4, "ramp": 7}}
    model = networks.build("resnet10")
    _, kept = start(model, {"method": "sign", "sparsity": 0.4}, 0)
    flat = torch.cat([weight.reshape(-1) for weight in networks.prunable(model)])
    kept = torch.cat([mask.reshape(-1) for mask in kept])
    assert flat[~kept].max() <= flat[kept].min()


def test_what_is_wrong_with_a_method_is_said(signed):
    (signed / "half.py").write_text('PERCENT_OF = "weights"\n')
    (signed / "computed.py").write_text('PERCENT_OF = "weights"\nSETTINGS = ()\nCARD = str(1)\n')
    with pytest.raises(DetectorError, match=r"half\.py: a pruning method has to define PER.*no SETTINGS, CARD"):
        methods.facts("half")
    with pytest.raises(DetectorError, match=r"computed\.py: .*expected literals for PERCENT_OF, SETTINGS, CARD"):
        methods.facts("computed")
    with pytest.raises(DetectorError, match=r"unknown pruning method 'l2'; expected one of channels.*, l1, "):
        start(None, {"method": "l2", "sparsity": 0.4}, 0)


def test_facts_of_methods_need_no_torch():
    code = (
        "import sys; from detector.experiment import branches, methods\n"
        "print(*map(methods.facts, methods.known())); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize("stage", ["search", "finetune"])
def test_a_stage_of_a_branch_depends_on_its_own_method(stage, tmp_path):
    library = tmp_path / "detector"
    shutil.copytree(ROOT / "src/detector", library, ignore=shutil.ignore_patterns("__pycache__"))
    script = ROOT / f"workflow/scripts/training/{stage}.py"

    def of(method):
        modules = [methods.module(method)]
        found = dependencies.library_files(script, *modules, library=library)
        return {path.relative_to(library).as_posix() for path in found}, dependencies.key(
            script, modules=modules, library=library
        )

    files = {method: of(method)[0] for method in methods.known()}
    for method, found in files.items():
        assert {name for name in found if name.startswith("pruning/methods/")} == {f"pruning/methods/{method}.py"}
        assert ("pruning/channels.py" in found) == (method == "channels")
    before = {method: of(method)[1] for method in methods.known()}
    with (library / "pruning/methods/random.py").open("a") as file:
        file.write("ADDED = 1\n")
    changed = {method for method in methods.known() if of(method)[1] != before[method]}
    assert changed == {"random"}, "a half-done state is named by the method's code"
