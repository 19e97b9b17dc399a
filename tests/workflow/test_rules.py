"""What a job is told shapes what Snakemake compares: each command is made of a rule's inputs, parameters and names
of outputs, and each rule has the code that its script reaches among its inputs. So nothing that can change a
result goes past the check of what is stale; what is told besides is listed here, with why it shapes no result."""

import json
import re

import pytest
import torch

from detector.core.files import sha256
from detector.models import networks
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


# What a rule says where it tells a setting of `runtime`; the ONNX files are run on the CPU whatever `device` says.
SAYS = {
    "device": r"\*\*RUNTIME|RUNTIME\[\"device\"\]|inference\(\w+\)",
    "precision": r"\*\*RUNTIME",
    "evaluation_batch": r"\*\*RUNTIME|RUNTIME\[\"evaluation_batch\"\]|inference\(",
}


@pytest.mark.parametrize("page", ["architecture", "configuration"])
@pytest.mark.parametrize("key", SAYS)
def test_the_pages_name_all_stages_that_a_setting_of_the_machine_makes_stale(key, page):
    stages = {rule for rule in RULES if re.search(SAYS[key], part(rule, "params"))}
    assert {"baseline", "finetune"} < stages
    stages.add("expert")  # made of `baseline`
    (row,) = re.findall(
        rf"^\| `runtime\.{key}` \|(?:.*\|)? ([^|]+) \|$", (ROOT / f"docs/{page}.md").read_text(), re.MULTILINE
    )
    assert set(re.findall(r"`(\w+)`", row)) == stages


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


def test_what_does_not_work_with_a_network_is_left_out_for_it_alone(tmp_path):
    """One warning and a table; all else is planned, and the other network keeps what it had."""
    study = Workspace(tmp_path / "study")
    methods = {"l1": [0.4], "matched": [0.4], "channels": [0.2, 0.6]}
    study.configure(
        {
            **TINY,
            "architectures": ["resnet18", "convnext_atto"],
            "prune": {"methods": methods},
            "deploy": {**TINY["deploy"], "branches": "all"},
            "gradcam": {"branches": ["baseline", "channels-60"]},
        }
    )
    outcome = {"channels-60": "at most half can go", "exported files": "no such operator"}
    trial = (
        f"import sys; print({json.dumps(json.dumps(outcome))}); assert sys.argv[1:3] == ['convnext_atto', '16']"
    )
    (study.folder / "src/detector/export/trial.py").write_text(trial)
    plan = study.snakemake("--dry-run").stdout
    assert plan.count("Left out, because it does not work") == 1
    assert re.findall(r"^  convnext_atto: (.*)", plan, re.MULTILINE) == [
        "channels-60: at most half can go",
        "exported files: no such operator",
    ]
    made = {line for outputs in re.findall(r"^ +output: (.*)", plan, re.MULTILINE) for line in outputs.split(", ")}
    assert "results/tiny/tables/left_out.csv" in made
    runs = "results/tiny/runs/{}/seed0/"
    of = {
        arch: {path for path in made if path.startswith(runs.format(arch))}
        for arch in ("resnet18", "convnext_atto")
    }
    swapped = {path.replace("convnext_atto", "resnet18") for path in of["convnext_atto"]}
    assert swapped < of["resnet18"], "nothing that the other does not have"
    missing = of["resnet18"] - swapped
    assert {path.rsplit("/", 1)[-1] for path in missing if "channels-60" not in path} >= {
        "export.json",
        "model.onnx",
    }
    needed = ("/bundle/", "/exported/", "export.json", "deployment_latency.csv", "/channels-60/")
    assert all(any(part in path for part in needed) for path in missing), "nothing else is left out"
    figures = {path for path in made if "/figures/" in path}
    gone = {path for path in figures if path.replace("resnet18", "convnext_atto") not in figures}
    assert gone == {"results/tiny/figures/deployment_resnet18_seed0.svg"}
    study.configure({**TINY, "architectures": ["convnext_atto"]})
    (study.folder / "src/detector/export/trial.py").write_text('print(\'{"images": "takes none of 16 px"}\')')
    refused = study.snakemake("--dry-run")
    assert refused.returncode == 1
    assert "nothing was started: architectures: convnext_atto: images: takes none of 16 px" in refused.stdout


def test_without_an_int8_file_a_network_has_all_other_files_and_what_is_made_of_them(tmp_path):
    study = Workspace(tmp_path / "study")
    study.configure({**TINY, "architectures": ["resnet18", "convnext_atto"]})
    outcome = json.dumps({"int8 file": "no such operator"})
    (study.folder / "src/detector/export/trial.py").write_text(f"print({outcome!r})")
    plan = study.snakemake("--dry-run", "--printshellcmds").stdout
    assert re.findall(r"^  convnext_atto: (.*)", plan, re.MULTILINE) == ["int8 file: no such operator"]
    made = {line for outputs in re.findall(r"^ +output: (.*)", plan, re.MULTILINE) for line in outputs.split(", ")}
    assert "results/tiny/tables/left_out.csv" in made
    swapped = {path.replace("convnext_atto", "resnet18") for path in made if "convnext_atto" in path}
    missing = {path for path in made if "resnet18" in path} - swapped
    assert swapped < made
    runs = "results/tiny/runs/resnet18/seed0"
    assert missing == {
        path
        for branch in ("baseline", "l1-40")
        for path in (
            f"{runs}/{branch}/bundle/model.int8.onnx",
            *(
                f"{runs}/{branch}/exported/onnxruntime/onnx-int8/{source}.parquet"
                for source in TINY["data"]["use"]
            ),
        )
    }
    scripts = ("export", "predict_exported", "deployment_latency", "bundle")
    for script in scripts:
        for arch in ("resnet18", "convnext_atto"):
            (told,) = {
                formats
                for command, formats in re.findall(
                    rf"(python \S*export/{script}\.py .*?) --formats ((?:(?:onnx|sparse)-\w+ ?)+)", plan
                )
                if f"runs/{arch}/" in command or f"--arch {arch} " in command
            }
            assert ("onnx-int8" in told.split()) == (arch == "resnet18")
            assert len(told.split()) == 5 - (arch != "resnet18")


def test_each_network_of_a_protocol_is_made_by_the_rules_of_the_plain_run(tmp_path):
    """Beside the plain run, which is in the table as it is: nothing of it is made twice, and no other result."""
    study = Workspace(tmp_path / "study")
    asked = {"kind": "leave_one_generator_out", "generators": ["glide", "stylegan"], "branches": ["l1-40"]}
    looks = {"images": {"size": 16, "pack_size": 20, "looks": {"crops": 4, "sizes": [16, 20]}}}
    named = {
        "waves": {"features": "spectrum", "classifier": "svm"},
        "linear": {"features": "resnet18", "classifier": "logistic"},
        "experts": {"mean_of": "resnet18", "parts": 2},
    }
    study.configure({**TINY, **looks, "protocol": asked, "systems": named})
    plan = study.snakemake("--dry-run", "--printshellcmds").stdout
    made = {line for outputs in re.findall(r"^ +output: (.*)", plan, re.MULTILINE) for line in outputs.split(", ")}
    top = "results/tiny/"
    networks = {name: f"{top}protocols/{name}/" for name in asked["generators"]}
    of = {name: {path for path in made if path.startswith(place)} for name, place in networks.items()}
    assert {path for path in made if "/protocols/" in path} == of["glide"] | of["stylegan"]
    for name, place in networks.items():
        manifest = f"{place}data/manifest.parquet"
        as_plain = {path.replace(place, top) for path in of[name]}
        assert as_plain <= made
        predicted = [
            *(f"predictions/{test}.parquet" for test in ("valid", "faces140k", "synthbuster")),
            "predictions/provenance.json",
        ]
        assert {path.split("/runs/")[-1] for path in as_plain} == {
            manifest.replace(place, top),
            *(f"{system}/seed0/baseline/{file}" for system in named for file in ("meta.json", *predicted)),
            *(f"{system}/seed0/baseline/model.safetensors" for system in ("waves", "linear")),
            *(
                f"experts/seed0/resnet18-{part}/{file}"
                for part in (1, 2)
                for file in ("model.safetensors", "meta.json", "history.csv")
            ),
            *(
                f"resnet18/seed0/{branch}/{file}"
                for branch in ("baseline", "l1-40")
                for file in ("model.safetensors", "meta.json", "history.csv", *predicted)
            ),
            *("resnet18/seed0/l1-40/hpo/best.json", "resnet18/seed0/l1-40/hpo/trials.csv"),
        }
        told = [line for line in plan.splitlines() if manifest in line and line.startswith("Shell command: ")]
        assert f"--generator {name} " in next(line for line in told if "protocol_manifest.py" in line)
        others = [line for line in told if "protocol_manifest.py" not in line]
        assert len(others) == 5 + 4 + 3, "baseline, search, fine-tuning and two predictions; three systems"
        for line in others:
            assert not re.findall(rf"{top}(?:runs|data/manifest|protocols/(?!{name}/))", line)
    reads = json.loads(re.search(r"generator_matrix\.py --networks '([^']*)'", plan)[1])
    variants = [f"resnet18/seed0/{branch}" for branch in ("baseline", "l1-40")]
    variants += [f"{system}/seed0/baseline" for system in sorted(named)]
    assert reads == {
        name: [f"{place}runs/{variant}" for variant in variants] for name, place in {"": top, **networks}.items()
    }
    looking = dict.fromkeys(re.findall(r"scripts/\w+/(\w+)\.py.*looks\W+crops", plan))
    of_systems = {"classifier", "predict_classifier", "predict_mean", "probe_system"}
    of_networks = {"predict", "predict_exported", "export", "probe"}
    assert {*looking} == of_networks | of_systems, "and neither packing nor the training of a network"
    assert re.search(r"/latency\.py.*looks\W+5[,}]", plan)
    assert len(re.findall(r"/inference/predict\.py.*--looks", plan)) == 3 + 2 * 2
    assert "tables/looks.py" in plan
    study.configure({**TINY, "protocol": {**asked, "generators": ["glyde"]}})
    refused = study.snakemake("--dry-run")
    assert refused.returncode == 1
    assert re.search("nothing was started: protocol.generators: found glyde, expected .* dalle2, ", refused.stdout)


def test_an_architecture_with_a_step_of_its_own_has_its_own_pixels_of_the_same_images(tmp_path):
    """Those of others are packed as without it, and which images are left out does not hang on it."""
    study = Workspace(tmp_path / "study")
    study.configure({**TINY, "architectures": ["resnet18", {"name": "resnet18", "preprocess": "ela"}]})
    wanted = [
        f"results/tiny/runs/{name}/seed0/baseline/model.safetensors" for name in ("resnet18", "resnet18+ela")
    ]
    plan = study.snakemake("--dry-run", "--printshellcmds", *wanted).stdout
    how = {
        images: json.loads(settings.replace("'", ""))
        for settings, images in re.findall(r"data/pack.py .*--how (\S+) .*--images (\S+)", plan)
    }
    own = {f"results/tiny/data/ela/{name}/images.npy" for name in TINY["data"]["use"]}
    shared = {f"results/tiny/data/{name}/images.npy" for name in TINY["data"]["use"]}
    assert how.keys() == own | shared
    assert all(("ela" in settings) == (images in own) for images, settings in how.items())
    packs = dict(re.findall(r"training/baseline.py --arch (\S+) .*--packs (.*?) --", plan))
    for name, read in (("resnet18", shared), ("resnet18+ela", own)):
        assert {f"{folder}/images.npy" for folder in packs[name].split()} == read
    (bad,) = re.findall(r"data/split.py .*--bad (.*?) --", plan)
    assert {pair.partition("=")[2] for pair in bad.split()} == {
        f"results/tiny/data/{name}/bad.csv" for name in TINY["data"]["use"]
    }
    accepted = dict(re.findall(r"data/pack.py .*--images (\S+) .*--accepted +(\S+\.csv)", plan))
    assert accepted == {images: images.replace("/ela", "").replace("images.npy", "bad.csv") for images in own}


def test_a_system_is_asked_about_perturbed_images_by_what_its_predictions_are_of(tmp_path):
    """Where perturbations are asked for, and its network sees images and no error levels."""
    study = Workspace(tmp_path / "study")
    named = {
        "waves": {"features": "spectrum", "classifier": "svm"},
        "linear": {"features": "resnet18", "classifier": "logistic"},
        "levels": {"features": "resnet18+ela", "classifier": "logistic"},
        "experts": {"mean_of": "resnet18", "parts": 2},
    }
    own = {**TINY, "architectures": ["resnet18", {"name": "resnet18", "preprocess": "ela"}], "systems": named}
    study.configure(own)
    plan = study.snakemake("--dry-run", "--printshellcmds").stdout
    told = dict(re.findall(r"inference/probe_system.py (.*) --perturbed results/tiny/runs/(.*?)/perturbed", plan))
    told = {run: told for told, run in told.items()}
    runs, at = "results/tiny/runs/", {name: f"{name}/seed0/" for name in (*named, "resnet18")}
    assert set(told) == {f"{name}/seed0" for name in ("waves", "linear", "experts")}
    model = "baseline/model.safetensors"
    models = {name: [runs + at[name] + model] for name in ("waves", "linear")}
    models["experts"] = [f"{runs}{at['experts']}resnet18-{part}/model.safetensors" for part in (1, 2)]
    for name, files in models.items():
        command = told[f"{name}/seed0"]
        assert re.search(r" --models (.*?) +--", command)[1].split() == files
        assert (f" --network {runs}{at['resnet18']}{model} " in command) == (name == "linear")
        assert f" --predictions {runs}{at[name]}baseline/predictions " in command
        assert '"jpeg-50":[{"jpeg":50}]' in command
        inputs = re.search(rf"input: (.*)\n +output: {runs}{at[name]}perturbed.parquet", plan)[1].split(", ")
        for part in ("imaging/steps/jpeg.py", "models/perturbed.py", *files):
            assert any(path.endswith(part) for path in inputs), part
        predicted = {runs + at[name] + f"baseline/predictions/{source}.parquet" for source in TINY["data"]["use"]}
        assert predicted < set(inputs)
        assert any("libraries/torchvision.py" in path for path in inputs) == (name != "waves")
    assert "  levels: perturbed images: perturbations act on packed pixels, which are error levels here" in plan
    timed = dict(
        reversed(found)
        for found in re.findall(r"latency_system.py (.*) --latency results/tiny/runs/(.*?)/latency.csv", plan)
    )
    models["levels"] = [runs + at["levels"] + model]
    asked = {name: [*files] for name, files in models.items()}
    for name, seen in (("linear", "resnet18"), ("levels", "resnet18+ela")):
        asked[name].append(f"{runs}{seen}/seed0/{model}")
    assert set(timed) == {f"{name}/seed0" for name in named}
    networks = re.search(r"inference/latency.py .*--config '(.*?)' --threads (\d+)", plan)
    for name, files in models.items():
        command = timed[f"{name}/seed0"]
        assert re.search(r"--models (.*?) +--", command)[1].split() == files
        assert re.findall(r" --network (\S+)", command) == asked[name][len(files) :]
        config, threads = re.search(r"--config '(.*?)' --threads (\d+)", command).groups()
        expected = {key: json.loads(networks[1])[key] for key in ("latency", "size", "device", "looks")}
        assert json.loads(config) == {**expected, "system": named[name]}, "as networks are timed"
        assert threads == networks[2]
    told = re.search(r"tables/efficiency.py .* --systems (.*?) --latencies (.*?) --paper", plan)
    files = {name: [] for name in named}
    for text in told[1].split():
        folder, file = text.split("=")
        files[folder.removeprefix(runs).removesuffix("/seed0/baseline")].append(file)
    assert files == asked
    assert len(told[2].split()) == 2 + len(named)
    del models["levels"]
    table = re.search(r"tables/robustness.py --inputs (.*?) --systems (.*?) --manifest", plan)
    assert set(table[1].split()) == {f"{runs}{name}/seed0/perturbed.parquet" for name in ("resnet18", *models)}
    assert set(table[2].split()) == set(named)
    drawn = set(re.findall(r"figures/robustness_(.*?)_seed0.svg", plan))
    assert drawn == {"resnet18", *models}
    study.configure({**own, "robustness": {"use": []}})
    assert "probe_system" not in study.snakemake("--dry-run").stdout


@pytest.mark.long
def test_a_baseline_is_told_the_file_that_it_starts_from_and_what_it_holds(tmp_path):
    """From scratch it is told none; a file that is missing, or of another network, stops the plan."""
    study, path = Workspace(tmp_path / "study"), tmp_path / "study/data/w.pth"
    named = {"architectures": ["resnet18", "resnet18@mine"], "inits": {"mine": "data/w.pth"}}
    study.configure({**TINY, **named})
    run = "results/tiny/runs"
    wanted = [f"{run}/{name}/seed0/baseline/model.safetensors" for name in named["architectures"]]
    told = []
    for seed in (1, 2):
        torch.save(networks.build("resnet18", seed).state_dict(), path)
        plan = study.snakemake("--dry-run", "--printshellcmds", *wanted).stdout
        commands = dict(re.findall(r"training/baseline.py --arch (\S+) (.*)", plan))
        assert "--start" not in commands["resnet18"]
        assert re.search(r"--start data/w\.pth ", commands["resnet18@mine"]), plan
        assert sha256(path) in commands["resnet18@mine"]
        told.append(commands["resnet18@mine"])
    assert told[0] != told[1]
    torch.save(networks.build("resnet10").state_dict(), path)
    refused = study.snakemake("--dry-run")
    assert refused.returncode == 1
    assert "nothing was started: architectures: resnet18@mine: data/w.pth does not hold" in refused.stdout
    path.unlink()
    assert "nothing was started: inits: data/w.pth is not there" in study.snakemake("--dry-run").stdout
