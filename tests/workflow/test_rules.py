"""What a job is told shapes what Snakemake compares: each command is made of a rule's inputs, parameters and names
of outputs, and each rule has the code that its script reaches among its inputs. So nothing that can change a
result goes past the check of what is stale; what is told besides is listed here, with why it shapes no result."""

import json
import re

import pytest

from tests.support import ROOT
from tests.support.rules import FILES, rules
from tests.support.workspace import TINY, Workspace

RULES = rules()
# Compared by Snakemake, or part of an output's name.
COMPARED = {"input", "params", "output", "wildcards"}
# How much of a machine the job gets, and where it says what it does.
NO_RESULT = {"threads", "resources.gpu", "resources.mem_mb", "log"}


def part(rule: str, name: str) -> str:
    """The text of one section of a rule, such as `input`."""
    found = re.search(rf"^    {name}:\n(.*?)(?=^    \w|\Z)", RULES[rule], re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


def test_every_rule_is_looked_at():
    assert len(RULES) == sum(len(re.findall(r"^ *rule\b", text, re.MULTILINE)) for text in FILES.values()) >= 30


@pytest.mark.parametrize("rule", RULES)
def test_a_command_is_told_nothing_that_is_not_compared(rule):
    told = set(re.findall(r"\{([\w.]+)(?:\[\d+\])?(?::q)?\}", part(rule, "shell")))
    unknown = {name for name in told if name.split(".")[0] not in COMPARED} - NO_RESULT
    assert unknown == set(), f"{rule}: tell them as params, or say in NO_RESULT why no result depends on them"
    # A value put together when the rules are read would change the command, which Snakemake does not compare.
    assert not re.search(r'f"', part(rule, "shell")), rule


@pytest.mark.parametrize("rule", RULES)
def test_the_code_of_a_rule_is_that_of_the_script_that_it_runs(rule):
    script = re.search(r'script="(workflow/scripts/[\w/]+\.py)"', part(rule, "input"))
    assert script, f"{rule} names no script"
    assert f'code("{script[1]}"' in re.sub(r"\(\s+", "(", part(rule, "input"))
    assert '"python {input.script:q}' in part(rule, "shell")
    assert (ROOT / script[1]).is_file()


@pytest.mark.parametrize("script", sorted((ROOT / "workflow/scripts").rglob("*.py")), ids=lambda path: path.stem)
def test_a_script_reads_no_setting_that_it_was_not_told(script):
    """No environment and no config file: what a stage may depend on comes by its command line."""
    text = script.read_text()
    assert not re.search(r"os\.environ|getenv|config\.yaml", text)


def test_a_branch_waits_for_its_teacher_and_the_control_for_the_baseline(tmp_path):
    """With l1-00 as teacher the others come after it and are told its weights; a missing file stops the plan."""
    study = Workspace(tmp_path / "study")
    study.configure({**TINY, "finetune": {**TINY["finetune"], "distill": {"teacher": "l1-00"}}})
    run = "results/tiny/runs/resnet18/seed0"
    plan = study.snakemake("--dry-run", "--printshellcmds", f"{run}/l1-40/model.safetensors").stdout
    told = re.findall(r"training/finetune.py.*--branch (\S+) .*--teacher (\S+)", plan)
    assert told == [
        ("l1-00", f"{run}/baseline/model.safetensors"),
        ("l1-40", f"{run}/l1-00/model.safetensors"),
    ]
    study.configure({**TINY, "finetune": {**TINY["finetune"], "distill": {"teacher": "data/no.safetensors"}}})
    refused = study.snakemake("--dry-run")
    assert refused.returncode == 1
    assert "nothing was started: finetune.distill.teacher: data/no.safetensors is not there" in refused.stdout
    taught = study.folder / "data/taught/model.safetensors"
    taught.parent.mkdir()
    taught.write_bytes(b"weights")
    facts = {"arch": "convnext_atto", "seed": 0, "branch": "baseline", "image_size": TINY["images"]["size"]}
    taught.with_name("meta.json").write_text(json.dumps(facts))
    study.configure({**TINY, "finetune": {**TINY["finetune"], "distill": {"teacher": str(taught)}}})
    plan = study.snakemake("--dry-run", f"{run}/l1-40/model.safetensors").stdout
    for rule, reads in (("finetune", True), ("search", False), ("baseline", False)):
        inputs = re.search(rf"rule {rule}:\n +input: (.*)", plan)[1]
        assert "libraries/torchvision.py" in inputs
        assert ("libraries/timm.py" in inputs) == reads, f"{rule}: the code of the teacher's network"
