"""The graph runs end to end, survives kills byte for byte, and reruns exactly what a change made stale."""

import copy
import csv
import dataclasses
import datetime
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
import yaml

from benchmarks import int8_correction
from detector.cli import clean as cleaning
from detector.core.errors import DetectorError
from detector.experiment.config import complete
from detector.experiment.formats import EXPORTED, file
from detector.models.dataset import Images
from detector.predict.model import Model
from detector.predict.verdicts import Band
from tests.support import chapter
from tests.support.kills import MEASURED, Round, job_of, processes
from tests.support.samples import write_picture, write_video
from tests.support.workspace import TINY, Workspace

# Rules that make one table each, and the tables that the audit of leaks makes, with which the manifest begins.
TABLES = {
    *("audit_verdict", "audit_metadata", "dataset_composition", "baseline_performance", "best_hyperparameters"),
    *("search_luck", "final_accuracy", "significance", "ablation", "metrics", "per_generator"),
    *("efficiency", "environments", "prior_work", "deployment", "robustness"),
}
AUDIT_TABLES = {"audit_duplicates", "audit_groups"}
# Of two of the three variants.
EXPORTS = {
    **{"export": 2, "predict_exported": 2, "deployment_latency": 1, "deployment": 1, "bundle": 2},
    "figure_deployment": 1,
}
PROBES = {"probe": 1, "robustness": 1, "figure_robustness": 1, "figure_brittleness": 1, "figure_gradcam": 1}
# What follows a new baseline: everything but what only counts or shows images.
AFTER_BASELINE = {
    **{"search": 2, "finetune": 2, "predict": 3, "latency": 1},
    **EXPORTS,
    **PROBES,
    **{
        "baseline_performance": 1,
        "best_hyperparameters": 1,
        "search_luck": 1,
        "final_accuracy": 1,
        "significance": 1,
        "ablation": 1,
        "metrics": 1,
        "audit_metadata": 1,
        "per_generator": 1,
        "efficiency": 1,
        "environments": 1,
        "prior_work": 1,
    },
    **{"figure_curves": 1, "figure_search": 1, "figure_confusion": 1, "figure_accuracy_by_sparsity": 1},
    **{"figure_search_luck": 1, "figure_roc": 1, "figure_reliability": 1},
}
FROM_MANIFEST = {
    **AFTER_BASELINE,
    **{"manifest": 1, "baseline": 1, "dataset_composition": 1, "figure_samples": 2, "figure_spectrum": 1},
}
FROM_AUDIT = {**FROM_MANIFEST, "audit": 1, "audit_verdict": 1}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A workspace in which the tiny study has run."""
    workspace = Workspace(tmp_path_factory.mktemp("finished"))
    done = workspace.snakemake()
    assert done.returncode == 0, done.stdout
    return workspace


@contextmanager
def edited(path: Path, old: str, new: str):
    """`path` with `old` replaced by `new`, put back afterwards."""
    before = path.read_text()
    assert old in before, f"{path} holds no {old!r}"
    path.write_text(before.replace(old, new, 1))
    try:
        yield
    finally:
        path.write_text(before)


@contextmanager
def configured(workspace: Workspace, **sections):
    """The tiny config with some sections replaced."""
    workspace.configure({**TINY, **sections})
    try:
        yield
    finally:
        workspace.configure(TINY)


def test_it_leaves_what_it_promises(finished):
    assert {path.stem for path in (finished.results / "tables").glob("*.csv")} == TABLES | AUDIT_TABLES
    accuracy = pd.read_csv(finished.results / "tables/final_accuracy.csv")
    assert accuracy["branch"].unique().tolist() == ["baseline", "l1-00", "l1-40"]
    assert accuracy["testset"].unique().tolist() == ["faces140k", "synthbuster", "combined"]
    assert accuracy.loc[accuracy["testset"] == "synthbuster", "auc"].isna().all()
    efficiency = pd.read_csv(finished.results / "tables/efficiency.csv").set_index("branch")
    ratio = efficiency.loc["l1-40", "nonzero_weights"] / efficiency.loc["baseline", "nonzero_weights"]
    assert ratio == pytest.approx(0.6, abs=1e-6)
    deployment = pd.read_csv(finished.results / "tables/deployment.csv")
    assert deployment["branch"].unique().tolist() == ["baseline", "l1-40"]
    assert deployment["accuracy_delta_vs_dense_control"].notna().all(), "the control is trained, if not exported"
    robustness = pd.read_csv(finished.results / "tables/robustness.csv")
    assert robustness["branch"].unique().tolist() == ["baseline", "l1-00", "l1-40"]
    assert robustness["perturbation"].unique().tolist() == ["clean", "jpeg-50", "forwarded"]
    clean = robustness[(robustness["perturbation"] == "clean") & (robustness["testset"] != "combined")]
    same = clean.merge(accuracy, on=["branch", "testset"], suffixes=("", "_there"))
    assert (same["accuracy"] == same["accuracy_there"]).all(), "all test images are perturbed here"
    assert len(same) == 6
    trials = pd.read_csv(finished.results / "runs/resnet18/seed0/l1-40/hpo/trials.csv")
    assert len(trials) == TINY["search"]["trials"]
    assert list((finished.results / "state").iterdir()) == [], "resume state of finished jobs was left behind"
    assert not list(finished.results.rglob("*.tmp")), "a half-written file was left behind"


def test_int8_is_measured_with_the_correction_and_without(finished):
    """The benchmark's fp32 is that of the tables."""
    row = int8_correction.row(finished.results / "runs/resnet18/seed0/l1-40", calibration_images=16)
    table = pd.read_csv(finished.results / "tables/final_accuracy.csv")
    (there,) = table[(table["branch"] == "l1-40") & (table["testset"] == "combined")].to_dict("records")
    assert row[:3] == ["`resnet18/l1-40`", str(there["n"]), f"{there['accuracy']:.2%}"]


def test_nothing_is_stale_when_it_is_done(finished):
    assert finished.stale() == {}


@pytest.mark.parametrize(("file", "most"), [("model.onnx", 1e-4), ("model.int8.onnx", 1e-3)])
def test_predict_says_of_every_test_image_what_the_pipeline_says(file, most, finished):
    variant = finished.results / "runs/resnet18/seed0/l1-40"
    model = Model.open(variant / "bundle", file=file)
    for source, root in (("faces140k", "data/faces140k"), ("synthbuster", "data/synthbuster")):
        folder = variant / ("predictions" if file == "model.onnx" else "exported/onnxruntime/onnx-int8")
        expected = pd.read_parquet(folder / f"{source}.parquet")
        paths = [finished.folder / root / path for path in expected["path"]]
        answers = list(dataclasses.replace(model, band=None).judge_many(paths, fast=True))
        assert len(answers) >= 5
        logits = pd.Series([answer.logit for answer in answers])
        assert (logits - expected["logit"]).abs().max() <= most
        called = ["real" if logit >= 0 else "fake" for logit in expected["logit"]]
        assert [answer.verdict for answer in answers] == called
    export = json.loads((variant / "export.json").read_text())
    band = export["band"] if file == "model.onnx" else export["int8"]["band"]
    assert str(model.band) == str(Band.of(band)), "as text, since NaN is not NaN"
    assert sum(band[verdict]["called"] for verdict in ("fake", "real")) == len(
        pd.read_parquet(variant / "predictions/valid.parquet")
    )


def test_every_command_of_the_page_on_use_runs(finished, tmp_path):
    """At 16 pixels there is no map, which the command says; a test of the demo has one."""
    schema = finished.folder / "src/detector/experiment/config.schema.yaml"
    complete(
        yaml.safe_load((finished.folder / "config.yaml").read_text()) | yaml.safe_load(chapter.overlay()), schema
    )
    pictures = sorted((finished.folder / "data/synthbuster").rglob("*.png"))[:2]
    done = chapter.run(finished.folder, "configs/tiny.yaml", "results/tiny", pictures, tmp_path / "work")
    assert len(done) == 9
    for command, (code, output) in done.items():
        assert "Traceback" not in output, command
        if "--explain" in command:
            assert code == 2, output
            assert "at 16 pixels its last block has one position" in output
        else:
            assert code == 0, (command, output)
        if command.startswith("snakemake"):
            assert "Nothing to be done" in output
    rows = list(csv.DictReader((tmp_path / "work/answers.csv").open()))
    assert [Path(row["path"]).name for row in rows] == ["a.png", "b.png"]
    assert {row["model"] for row in rows} == {"resnet18 l1-40 seed 0, int8"}


def test_a_table_s_code_reruns_that_table_and_what_is_made_of_it(finished):
    tables = finished.folder / "src/detector/tables"
    with edited(tables / "final_accuracy.py", "    rows = []", "    rows = []  # changed"):
        assert finished.stale() == {"final_accuracy": 1, "prior_work": 1, "figure_accuracy_by_sparsity": 1}
    with edited(tables / "per_generator.py", "    rows = []", "    rows = []  # changed"):
        assert finished.stale() == {"per_generator": 1}


def test_a_figure_s_code_reruns_that_figure_and_what_borrows_from_it(finished):
    figures = finished.folder / "src/detector/figures"
    with edited(figures / "roc.py", "import numpy", "import numpy  # changed"):
        assert finished.stale() == {"figure_roc": 1}
    with edited(figures / "robustness.py", "import numpy", "import numpy  # changed"):
        assert finished.stale() == {"figure_robustness": 1, "figure_brittleness": 1}


def test_export_code_reruns_exports_and_after(finished):
    with edited(finished.folder / "src/detector/export/onnx_model.py", "import json", "import json  # changed"):
        assert finished.stale() == {**EXPORTS, "environments": 1}
    with edited(
        finished.folder / "src/detector/tables/deployment.py", "    rows = []", "    rows = []  # changed"
    ):
        assert finished.stale() == {"deployment": 1, "figure_deployment": 1, "bundle": 2}


def test_probing_code_reruns_probes_and_after(finished):
    with edited(finished.folder / "src/detector/models/perturbed.py", "import numpy", "import numpy  # changed"):
        assert finished.stale() == PROBES
    with configured(finished, robustness={**TINY["robustness"], "use": ["forwarded", "jpeg-50"]}):
        assert finished.stale() == {}, "the order is that of the table of perturbations"
    with configured(finished, robustness={**TINY["robustness"], "use": []}, gradcam={"branches": []}):
        assert finished.stale() == {}


def test_training_code_reruns_training_and_after(finished):
    with edited(finished.folder / "src/detector/training/fit.py", "import logging", "import logging  # changed"):
        assert finished.stale() == {**AFTER_BASELINE, "baseline": 1}


def test_another_batch_of_evaluation_reruns_what_it_is_in(finished):
    with configured(finished, runtime={**TINY["runtime"], "evaluation_batch": 8}):
        stale = finished.stale()
        plan = finished.snakemake("--dry-run", "--printshellcmds").stdout
    assert stale == {**AFTER_BASELINE, "baseline": 1}
    assert re.search(
        r"predict\.py .*--runtime '?\{\"device\":\"cpu\",\"evaluation_batch\":8,\"memory\":8000\}", plan
    )


def test_search_code_leaves_the_baseline(finished):
    with edited(finished.folder / "src/detector/training/study.py", "import logging", "import logging  # changed"):
        stale = finished.stale()
    assert "baseline" not in stale
    assert (stale["search"], stale["finetune"], stale["predict"]) == (2, 2, 2)


def test_the_search_space_leaves_the_baseline(finished):
    with configured(finished, search={**TINY["search"], "learning_rate": [1.0e-5, 1.0e-4]}):
        stale = finished.stale()
    branches = {"predict": 2, "export": 1, "predict_exported": 1}
    assert stale == {**{k: v for k, v in AFTER_BASELINE.items() if k != "baseline_performance"}, **branches}


TWO_GOALS = {
    **TINY["search"],
    "goals": ["accuracy", "bytes"],
    "pareto": {"methods": ["l1", "channels"], "sparsity": [0.5, 0.8], "trials": 2},
}


def test_two_goals_are_one_more_search_with_its_table_and_figure(finished):
    with configured(finished, search={**TWO_GOALS, "workers": 3}):
        assert finished.stale() == {
            **{"search_pareto": 1, "search_pareto_worker": 2},
            **{"pareto": 1, "figure_pareto": 1},
        }


@pytest.mark.long
def test_a_search_for_two_goals_is_done_once_and_its_line_of_config_makes_a_branch(finished, tmp_path):
    copy = Workspace.copy_of(finished, tmp_path / "copy")
    with configured(copy, search=TWO_GOALS):
        done = copy.snakemake()
        assert done.returncode == 0, done.stdout
        assert copy.stale() == {}
        (copy.results / "runs/resnet18/seed0/pareto/trials.csv").unlink()
        again = copy.snakemake("--", "results/tiny/runs/resnet18/seed0/pareto/trials.csv")
    assert "trial 1/2" in done.stdout
    assert "trial 1/2" not in again.stdout, "the journal has them"
    table = pd.read_csv(copy.results / "tables/pareto.csv")
    assert table["trial"].tolist() == [0, 1]
    assert "yes" in set(table["front"])
    assert list((copy.results / "state").iterdir()) == []
    overlay = yaml.safe_load(table["config"][0])["prune"]["methods"]
    with configured(copy, prune={"methods": {**TINY["prune"]["methods"], **overlay}}):
        stale = copy.stale()
    assert (stale["search"], stale["finetune"]) == (1, 1), "the line makes it a branch"


def test_a_new_sparsity_runs_its_branch_and_the_tables(finished):
    with configured(finished, prune={"methods": {"l1": [0.2, 0.4]}}):
        stale = finished.stale()
    branch = {"search": 1, "finetune": 1, "predict": 1}
    # The new branch is not among those that are exported and probed.
    others = {"baseline_performance", *EXPORTS, *PROBES}
    assert stale == {**{k: v for k, v in AFTER_BASELINE.items() if k not in others}, **branch}


def test_an_architecture_with_pixels_of_its_own_comes_and_trains_itself_alone(finished):
    with configured(finished, architectures=["resnet18", {"name": "resnet18", "preprocess": "ela"}]):
        stale = finished.stale()
    assert (stale["pack_step"], stale["baseline"], stale["search"], stale["finetune"]) == (2, 1, 2, 2)
    assert not {"scan", "pack", "split", "audit", "manifest"} & stale.keys()


def test_a_matched_control_is_fine_tuned_with_what_another_branch_s_search_found(finished):
    with configured(finished, prune={"methods": {"l1": [0.4], "matched": [0.4]}}):
        stale = finished.stale()
        model = "results/tiny/runs/resnet18/seed0/matched-40/model.safetensors"
        plan = finished.snakemake("--dry-run", "--printshellcmds", model).stdout
    assert "search" not in stale
    assert "best_hyperparameters" not in stale, "it has no search of its own"
    assert (stale["finetune"], stale["predict"]) == (1, 1)
    assert "--best results/tiny/runs/resnet18/seed0/l1-40/hpo/best.json" in plan
    assert '"sparsity":0.0' in plan


def test_a_search_that_all_branches_share_replaces_theirs_and_no_other_stage_s(finished):
    """With its further workers; whether there is a dense control or not."""
    shared = {**TINY["search"], "share": "all", "workers": 3}
    with configured(finished, search=shared):
        stale = finished.stale()
        plan = finished.snakemake(
            "--dry-run", "--printshellcmds", "results/tiny/runs/resnet18/seed0/l1-40/model.safetensors"
        ).stdout
    after = {name: count for name, count in AFTER_BASELINE.items() if name != "baseline_performance"}
    of_branches = {"predict": 2, "export": 1, "predict_exported": 1}  # the baseline stays as it is
    assert stale == {**after, **of_branches, "search": 1, "search_worker": 2}
    assert "--best results/tiny/runs/resnet18/seed0/hpo/best.json" in plan
    assert "--state results/tiny/state/search-resnet18-seed0 " in plan
    assert '--branch all --pruning \'{"method":"l1","sparsity":0.0}\'' in plan
    with configured(finished, search=shared, prune={"methods": {"l1": [0.4]}, "dense_control": False}):
        stale = finished.stale()
    assert (stale["search"], stale["finetune"]) == (1, 1)
    assert finished.stale() == {}, "searches of each branch are there still"


@pytest.mark.long
def test_baselines_alone_come_to_their_end_without_any_search(tmp_path):
    """With all that hangs on a baseline."""
    study = Workspace(tmp_path / "study")
    alone = {"prune": {"methods": {"l1": []}, "dense_control": False}, "deploy": {"branches": "all"}}
    study.configure(
        {**TINY, **alone, "search": {**TINY["search"], "share": "all"}, "robustness": {"use": ["jpeg-50"]}}
    )
    planned = study.stale()
    assert {"baseline", "predict", "export", "bundle", "probe", "ablation", "figure_curves"} <= set(planned)
    assert not {job for job in planned if "search" in job or job in ("finetune", "best_hyperparameters")}
    done = study.snakemake()
    assert done.returncode == 0, done.stdout
    assert "KeyError" not in done.stdout, "no rule of branches takes itself for one that makes a baseline"
    assert study.stale() == {}


def test_what_is_cleaned_away_makes_nothing_stale_but_what_needs_pixels_begins_again(finished, tmp_path):
    """Both as `detector clean` says it before it asks."""
    items = cleaning.deletable(finished.results, pixels=True)
    pixels = [item.path for item in items if item.path.name == "images.npy"]
    assert len(pixels) == 2
    for number, path in enumerate(pixels):
        path.rename(tmp_path / str(number))
    try:
        assert finished.stale() == {}
        with configured(finished, prune={"methods": {"l1": [0.4, 0.5]}}):
            stale = finished.stale()
        assert (stale["pack"], stale["baseline"], stale["search"], stale["finetune"]) == (2, 1, 3, 3)
    finally:
        for number, path in enumerate(pixels):
            (tmp_path / str(number)).rename(path)
    assert finished.stale() == {}


def test_one_data_set_s_module_rescans_that_data_set(finished):
    path = finished.folder / "src/detector/data/sources/synthbuster.py"
    with edited(path, "\nfrom detector", "\n# changed\nfrom detector"):
        assert finished.stale() == {**FROM_AUDIT, "scan": 1, "pack": 1, "split": 1}


def test_the_audit_reruns_what_hangs_on_it(finished):
    with edited(finished.folder / "src/detector/audit/shortcuts.py", "import numpy", "import numpy  # changed"):
        assert finished.stale() == {"audit_verdict": 1, "audit_metadata": 1}, "training does not hang on metadata"
    with configured(finished, audit={"on_leak": "drop"}):
        assert finished.stale() == FROM_MANIFEST
    with configured(finished, audit={"near_duplicates": 2}):
        assert finished.stale() == FROM_AUDIT


def test_data_that_cannot_train_a_detector_can_be_audited(finished):
    with configured(finished, results="results/fakes", data={**TINY["data"], "use": ["synthbuster"]}):
        audited = finished.snakemake("results/fakes/tables/audit_verdict.csv")
        assert audited.returncode == 0, audited.stdout
        refused = finished.snakemake("results/fakes/data/manifest.parquet")
    assert refused.returncode == 1
    for words in ("train: no real image\n  valid: no real image\n", "Add a source that has them"):
        assert words in refused.stdout
    table = pd.read_csv(finished.folder / "results/fakes/tables/audit_verdict.csv")
    assert set(table["check"]) == {"duplicates", "groups", "metadata"}


def test_a_changed_image_reruns_its_source_and_after(finished):
    image = next((finished.folder / "data/synthbuster/glide").glob("*.png"))
    stat, content = image.stat(), image.read_bytes()
    image.write_bytes(content + b"\0")
    try:
        assert finished.stale() == {**FROM_AUDIT, "scan": 1, "pack": 1, "split": 1}
    finally:
        image.write_bytes(content)
        os.utime(image, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert finished.stale() == {}


def test_what_no_scan_looks_at_reruns_nothing(finished):
    """Times of images; what file browsers leave; a text beside images; a module for another kind of data set."""
    image = next((finished.folder / "data/synthbuster/glide").glob("*.png"))
    os.utime(image, (2e9, 2e9))
    left = [
        finished.folder / "data/synthbuster" / name for name in (".DS_Store", "glide/Thumbs.db", "glide/a.txt")
    ]
    left.append(finished.folder / "src/detector/data/sources/mine.py")
    for path in left:
        path.write_text("LAYOUT = 'any'\n")
    try:
        assert finished.stale() == {}
        for listing in (finished.folder / ".snakemake/detector").glob("*.files"):
            listing.unlink()
        assert finished.stale() == {}
    finally:
        for path in left:
            path.unlink()


def test_what_is_done_to_images_and_who_is_held_out_reruns_what_depends_on_it(finished):
    def changed(**data: object) -> dict[str, int]:
        config = copy.deepcopy(TINY)
        config["images"] |= data.pop("images", {})
        config["data"]["sources"]["synthbuster"] |= data.pop("synthbuster", {})
        config["data"] |= data
        finished.configure(config)
        return finished.stale()

    try:
        from_split = {**FROM_AUDIT, "split": 1}
        assert changed(hold_out=["glide"]) == {**from_split, "figure_rules": 1}
        assert changed(images={"preprocess": "center_crop"}) == {**from_split, "pack": 2}
        rescanned = {**from_split, "figure_rules": 1, "scan": 1, "pack": 1}
        assert changed(synthbuster={"pairs": "data/faces140k"}) == rescanned
    finally:
        finished.configure(TINY)
    assert finished.stale() == {}


def test_a_comment_or_another_order_of_keys_reruns_nothing(finished):
    path = finished.folder / "config.yaml"
    before = path.read_text()
    reordered = yaml.safe_dump(dict(reversed(yaml.safe_load(before).items())), sort_keys=False)
    try:
        path.write_text("# another comment\n" + reordered)
        assert finished.stale() == {}
    finally:
        path.write_text(before)


def test_touching_every_source_file_reruns_nothing(finished):
    for path in finished.folder.rglob("*"):
        if path.is_file() and path.relative_to(finished.folder).parts[0] in ("src", "workflow", "Snakefile"):
            path.touch()
    assert finished.stale() == {}


def test_the_same_seed_gives_the_same_bytes(finished, tmp_path):
    """One branch again from nothing, in another folder, each job by a Python of its own."""
    other = Workspace(tmp_path / "again")
    run = "results/tiny/runs/resnet18/seed0"
    done = other.snakemake(f"{run}/l1-40/predictions/faces140k.parquet", cold=True)
    assert done.returncode == 0, done.stdout
    models = [
        f"{branch}/{name}" for branch in ("baseline", "l1-40") for name in ("model.safetensors", "meta.json")
    ]
    for name in (*models, "l1-40/hpo/best.json", "l1-40/predictions/faces140k.parquet"):
        first, second = ((workspace.folder / run / name).read_bytes() for workspace in (finished, other))
        assert first == second, name


@pytest.mark.long
@pytest.mark.alone
def test_the_same_seed_gives_the_same_bytes_though_killed_four_times(finished, tmp_path):
    """A second run from nothing, in another folder, with SIGKILL on the way: equal but for measured times."""
    other = Round(tmp_path / "again", TINY)
    for stage, victim, delay in (
        *(("pack", "job", 0.5), ("baseline", "everything", 4)),
        *(("search", "snakemake", 5), ("finetune", "job", 5)),
    ):
        assert not other.attempt(stage, victim, delay), "it got through before it could be killed"
    done = other.workspace.snakemake()
    assert done.returncode == 0, done.stdout
    other.add(done.stdout)
    other.check(finished.results)


@pytest.mark.long
def test_all_branches_are_fine_tuned_with_what_one_search_of_a_space_found(finished, tmp_path):
    workspace = Workspace.copy_of(finished, tmp_path / "shared")
    space = {
        "optimizer": ["AdamW", "SGD"],
        "learning_rate": {"low": 1.0e-5, "high": 1.0e-3, "log": True},
        "momentum": [0.0, 0.9],
        "nesterov": [True, False],
        "batch_size": [8, 12],
        "clip": [None, 1.0],
    }
    search = {"share": "all", "workers": 2, "trials": 4, "space": space, "sampler": "gp", "startup_trials": 2}
    workspace.configure({**TINY, "search": {**TINY["search"], **search}})
    tables = [f"results/tiny/tables/{name}.csv" for name in ("ablation", "best_hyperparameters", "search_luck")]
    done = workspace.snakemake(*tables, "results/tiny/figures/search_resnet18_seed0.svg")
    assert done.returncode == 0, done.stdout
    run = workspace.results / "runs/resnet18/seed0"
    best = json.loads((run / "hpo/best.json").read_text())
    assert (best["branch"], best["trials"]) == ("all", 4)
    assert set(pd.read_csv(run / "hpo/trials.csv").columns) > set(space)
    for branch in ("l1-00", "l1-40"):
        used = json.loads((run / branch / "meta.json").read_text())["recipe"]
        assert {name: used[name] for name in space} == {name: best[name] for name in space}
    ablation, found, luck = (pd.read_csv(workspace.folder / path) for path in tables)
    assert set(ablation["same_settings"].dropna()) == {"yes"}
    assert found["branch"].tolist() == luck["branch"].unique().tolist() == ["all"]
    assert found["batch_size"].tolist() == [best["batch_size"]]
    assert list((workspace.results / "state").iterdir()) == []


@pytest.mark.long
def test_other_test_images_leave_every_trained_file_and_threshold_byte_for_byte(finished, tmp_path):
    """All again with other test images, and more of them: what is trained, found, chosen and exported is equal."""
    other = Workspace(tmp_path / "other")
    _swap_test_images(finished, other)
    quicker = {"prune": {**TINY["prune"], "dense_control": False}}  # nothing depends on it
    other.configure({**TINY, **quicker, "audit": {"on_leak": "drop"}})
    run = "results/tiny/runs/resnet18/seed0"
    done = other.snakemake("results/tiny/tables/metrics.csv", f"{run}/l1-40/export.json")
    assert done.returncode == 0, done.stdout

    ours, theirs = (workspace.folder / run for workspace in (finished, other))
    exported = [file(Path("l1-40"), name) for name in EXPORTED]
    names = [
        Path(branch) / name for branch in ("baseline", "l1-40") for name in ("model.safetensors", "meta.json")
    ]
    for name in (*names, *exported, Path("l1-40/hpo/best.json"), Path("l1-40/export.json")):
        assert (ours / name).read_bytes() == (theirs / name).read_bytes(), name
    for name in ("baseline/history.csv", "l1-40/history.csv", "l1-40/hpo/trials.csv"):
        first, second = (
            pd.read_csv(place / name).drop(columns=MEASURED, errors="ignore") for place in (ours, theirs)
        )
        pd.testing.assert_frame_equal(first, second)
    for branch in ("baseline", "l1-40"):
        valid, faces, fakes = (
            [pd.read_parquet(place / branch / f"predictions/{name}.parquet") for place in (ours, theirs)]
            for name in ("valid", "faces140k", "synthbuster")
        )
        pd.testing.assert_frame_equal(*valid)
        for first, second, more in ((*faces, 2), (*fakes, 0)):
            assert len(second) == len(first) + more
            assert not set(first["logit"]) & set(second["logit"]), "the test images are the same ones"
    key = ["branch", "testset", "threshold"]
    first, second = (
        pd.read_csv(place.parents[2] / "tables/metrics.csv", dtype=str).set_index(key) for place in (ours, theirs)
    )
    chosen = ["cut_logit", "temperature"]
    assert second[chosen].notna().all(axis=None)
    pd.testing.assert_frame_equal(first.loc[second.index, chosen], second[chosen])
    assert not first.loc[second.index, "brier"].equals(second["brier"])


def _swap_test_images(finished: Workspace, other: Workspace) -> None:
    """Each test image of `other` shows something else than that of `finished`, and three of faces140k are new.

    One of these is a training image, which the audit is to drop from test and nowhere else.
    """
    test = pd.read_parquet(finished.results / "data/manifest.parquet").query("split == 'test'")
    assert set(test["source"]) == {"faces140k", "synthbuster"}
    for number, image in enumerate(test.itertuples()):
        write_picture(other.folder / "data" / image.source / image.path, seed=9000 + number)
    root = other.folder / "data/faces140k"
    with open(root / "test.csv", "a") as rows:
        for label, name in enumerate(("fake", "real")):
            path = f"test/{name}/more.jpg"
            write_picture(root / "real_vs_fake/real-vs-fake" / path, seed=9900 + label)
            rows.write(f"{90 + label},n/a,more,{label},{name},{path}\n")
        images = root / "real_vs_fake/real-vs-fake"
        shutil.copy(images / "train/real/00000.jpg", images / "test/real/copy.jpg")
        rows.write("92,n/a,copy,1,real,test/real/copy.jpg\n")


@pytest.mark.long
@pytest.mark.alone
def test_a_second_run_is_refused_and_sigterm_ends_the_first_within_ten_seconds(tmp_path):
    workspace = Workspace(tmp_path / "stopped")
    workspace.configure({**TINY, "train": {"epochs": 20, "patience": 20}})
    target = "results/tiny/runs/resnet18/seed0/baseline/model.safetensors"
    run = subprocess.Popen(
        workspace.command(target),
        cwd=workspace.folder,
        env=workspace.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    for line in run.stdout:
        if "epoch 1/20" in line:
            break
    os.killpg(run.pid, signal.SIGSTOP)  # so that it is still there when the second one looks
    second = workspace.snakemake(target)
    os.killpg(run.pid, signal.SIGCONT)
    assert second.returncode != 0
    assert f"Another snakemake (pid {run.pid} on" in second.stdout
    assert "Traceback" not in second.stdout
    os.killpg(run.pid, signal.SIGTERM)
    begun = time.monotonic()
    output = run.stdout.read()
    assert run.wait() != 0
    assert time.monotonic() - begun < 10
    assert "stopped by SIGTERM" in output
    assert processes(run.pid) == {}
    assert list((workspace.results / "state").glob("baseline-*/*/*.state")), "the steps done were not saved"
    done = workspace.snakemake(target)
    assert done.returncode == 0, done.stdout
    assert "going on after" in done.stdout
    assert "epoch 1/20" not in done.stdout


def test_a_damaged_pack_is_named_before_anything_is_trained_on_it(finished):
    path = finished.results / "data/faces140k/images.npy"
    content = path.read_bytes()
    damaged = bytearray(content)
    damaged[len(content) // 2] ^= 1
    packs = [path.parent, finished.results / "data/synthbuster"]
    assert Images.open(finished.results / "data/manifest.parquet", packs).size == 16
    path.write_bytes(damaged)
    try:
        with pytest.raises(DetectorError, match=r"images\.npy: corrupted: 1 of 1 chunks .* Delete both files"):
            Images.open(finished.results / "data/manifest.parquet", packs)
    finally:
        path.write_bytes(content)


def test_missing_data_stops_before_any_work(tmp_path):
    workspace = Workspace(tmp_path / "empty")
    shutil.rmtree(workspace.folder / "data")
    done = workspace.snakemake(config="")
    assert done.returncode != 0
    assert "Traceback" not in done.stdout
    for name in ("faces140k", "celebdf", "synthbuster"):
        assert f"{name}: " in done.stdout, f"{name} is not named"
    for word in ("data/140k-real-and-fake-faces", "data/Celeb-DF-v2", "data/synthbuster"):
        assert word in done.stdout
    assert done.stdout.count("how to obtain it") == done.stdout.count("expected layout") == 3
    for word in ("Kaggle", "request form", "Zenodo", "make demo"):
        assert word.lower() in done.stdout.lower()
    assert not (workspace.folder / "results").exists()


def test_a_missing_extra_stops_before_any_work(tmp_path):
    workspace = Workspace(tmp_path / "light")
    names = workspace.folder / "src/detector/core/extras.py"
    names.write_text(names.read_text().replace('"torch_pruning"', '"torch_that_is_missing"'))
    done = workspace.snakemake("--dry-run")
    assert done.returncode != 0
    assert "found no package torch_that_is_missing, which a run needs" in done.stdout
    assert "pip install '.[pipeline]'" in done.stdout
    assert "Traceback" not in done.stdout
    assert not workspace.results.exists()


def test_a_wrong_config_is_one_readable_error(finished):
    with configured(finished, train={"epoch": 3}):
        done = finished.snakemake("--dry-run")
    assert done.returncode != 0
    assert "train.epoch: unknown key; did you mean 'epochs'?" in done.stdout
    assert "Traceback" not in done.stdout
    twice = finished.folder / "twice.yaml"
    twice.write_text("train: {epochs: 3}\nseeds: [0]\ntrain: {patience: 2}\n")
    done = finished.snakemake("--dry-run", "--configfile", "configs/tiny.yaml", str(twice), config="")
    twice.unlink()
    assert done.returncode != 0
    assert f"{twice}: found train twice, in lines 1 and 3; write it once" in done.stdout
    assert "Traceback" not in done.stdout


def test_sections_can_be_said_on_the_command_line(tmp_path):
    workspace = Workspace(tmp_path / "said")
    done = workspace.snakemake("--dry-run", "-p", "--config", 'train={"epochs": 3}', "seeds=[4]")
    assert done.returncode == 0, done.stdout
    assert "--arch resnet18 --seed 4 --config" in done.stdout
    assert re.search(r'"recipe":\{[^}]*"epochs":3,', done.stdout)


def test_names_are_utf_8_in_any_locale(tmp_path, monkeypatch):
    workspace = Workspace(tmp_path / "c")
    generator = next((workspace.folder / "data/synthbuster").iterdir())
    (generator / "r000.png").rename(generator / "rü→.png")
    for name, value in {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}.items():
        monkeypatch.setenv(name, value)
    done = workspace.snakemake("results/tiny/data/synthbuster/scan.parquet", cold=True)
    assert done.returncode == 0, done.stdout
    paths = pd.read_parquet(workspace.results / "data/synthbuster/scan.parquet")["path"]
    assert f"{generator.name}/rü→.png" in set(paths)


@pytest.mark.long
def test_a_protocol_trains_its_own_networks_and_leaves_the_plain_run_alone(finished, tmp_path):
    """Two networks more, each tested on what it never saw; done again, nothing is to do."""
    study = Workspace.copy_of(finished, tmp_path / "protocol")
    before = {path: path.read_bytes() for folder in ("data", "runs", "tables") for path in files_of(study, folder)}
    study.configure({**TINY, "protocol": {"kind": "leave_one_generator_out", "generators": ["glide", "dalle3"]}})
    expected = {"protocol_manifest": 2, "baseline": 2, "predict": 2}
    expected |= {"generator_matrix": 1, "figure_generator_matrix": 1, "environments": 1, "figure_rules": 1}
    assert study.stale() == expected
    done = study.snakemake()
    assert done.returncode == 0, done.stdout
    networks = before.pop(study.results / "tables/environments.csv").count(b",baseline,")
    assert {path: path.read_bytes() for path in before} == before
    listed = pd.read_csv(study.results / "tables/environments.csv")
    assert listed["kept_out"].value_counts().to_dict() == {"glide": 2, "dalle3": 2}
    assert (listed["branch"] == "baseline").sum() == networks + 4
    table = pd.read_csv(study.results / "tables/generator_matrix.csv")
    unseen = table[(table["seen"] == "no") & table["generator"].notna()]
    assert sorted(zip(unseen["held_out"], unseen["generator"], strict=True)) == [("dalle3",) * 2, ("glide",) * 2]
    assert table["held_out"].isna().sum() == 10 + 2, "ten generators by the plain run, and two rows of means"
    plain = pd.read_parquet(study.results / "data/manifest.parquet")
    for name in ("glide", "dalle3"):
        own = pd.read_parquet(study.results / f"protocols/{name}/data/manifest.parquet")
        tests = [t[t["split"] == "test"].reset_index(drop=True) for t in (own, plain)]
        pd.testing.assert_frame_equal(*tests)
        run = study.results / f"protocols/{name}/runs/resnet18/seed0/baseline"
        assert (
            json.loads((run / "meta.json").read_text())["data_fingerprint"]
            != json.loads((study.results / "runs/resnet18/seed0/baseline/meta.json").read_text())[
                "data_fingerprint"
            ]
        )
    assert list((study.results / "state").iterdir()) == []
    assert study.stale() == {}


LOOKS = {"images": {"size": 16, "pack_size": 20, "looks": {"crops": 4, "sizes": [16, 20]}}}
BASELINE = "runs/resnet18/seed0/baseline"


@pytest.fixture(scope="module")
def dated(tmp_path_factory) -> Workspace:
    """A run on a list with dates, with a network up to a day, several looks at an image, an exported baseline."""
    study, rows = Workspace(tmp_path_factory.mktemp("dated") / "study"), ["path,label,generator,date"]
    for number in range(120):
        fake, date = number % 2 == 0, ("2023-05-01", "2024-05-01")[number // 2 % 2]
        write_picture(study.folder / f"data/mine/{number:03d}.png", seed=number)
        rows.append(f"{number:03d}.png,fake,gan,{date}" if fake else f"{number:03d}.png,real,,")
    (study.folder / "data/mine/list.csv").write_text("\n".join(rows))
    data = {"use": ["mine"], "sources": {"mine": {"type": "list", "root": "data/mine", "list": "list.csv"}}}
    edges = [datetime.date(2024, 1, 1)]  # as YAML reads a day without quotes
    own = {"data": data, "protocol": {"kind": "temporal", "edges": edges}}
    study.configure(
        {**TINY, **LOOKS, **own, "systems": {"waves": {"features": "spectrum", "classifier": "logistic"}}}
    )
    wanted = (
        "tables/window_matrix.csv",
        "tables/looks.csv",
        "data/manifest.parquet",
        f"{BASELINE}/exported/parity.json",
    )
    done = study.snakemake(*(f"results/tiny/{path}" for path in wanted))
    assert done.returncode == 0, done.stdout
    return study


@pytest.mark.long
def test_several_looks_are_those_of_the_pipeline_and_of_a_bundle_and_train_nothing(dated):
    """The exported files' logits are torch's (the run ends otherwise), and those of the files are both."""
    table = pd.read_csv(dated.results / "tables/looks.csv")
    assert set(table["arch"]) == {"resnet18", "waves"}, "a system too"
    assert (table[["latency_ms_median", "latency_ms_median_one_look"]] > 0).all(axis=None)
    saved = pd.read_parquet(dated.results / BASELINE / "predictions/mine.parquet")
    assert abs(saved["logit"] - saved["one_look"]).max() > 1e-3, "the same would prove nothing"
    model = Model.open(dated.results / BASELINE / "bundle/model.onnx")
    assert model.looks == 5
    paths = [dated.folder / "data/mine" / path for path in saved["path"]]
    logits = [answer.logit for answer in model.judge_many(paths, fast=True)]
    assert logits == pytest.approx(saved["logit"].tolist(), abs=1e-4)
    before = (dated.folder / "configs/tiny.yaml").read_text()
    one = {"images": {**LOOKS["images"], "looks": None}}
    dated.configure(yaml.safe_load(before) | one)
    plan = dated.snakemake("--dry-run", f"results/tiny/{BASELINE}/exported/parity.json").stdout
    (dated.folder / "configs/tiny.yaml").write_text(before)
    assert set(re.findall(r"^rule (\w+):", plan, re.MULTILINE)) == {"predict", "export", "predict_exported"}


@pytest.mark.long
def test_networks_trained_up_to_a_day_are_tested_on_what_came_later(dated):
    """Of a list with dates: the network's training and validation images are older, the test images all there."""
    study = dated
    plain, own = (
        pd.read_parquet(study.results / place / "data/manifest.parquet")
        for place in ("", "protocols/until-2024-01-01")
    )
    late = plain["path"].str[:3].astype(int) // 2 % 2 == 1
    kept = (plain["split"] == "test") | (plain["label"] == 1) | ~late
    pd.testing.assert_frame_equal(own, plain[kept].reset_index(drop=True))
    table = pd.read_csv(study.results / "tables/window_matrix.csv", keep_default_na=False)
    assert set(table["arch"]) == {"resnet18", "waves"}
    rows = table.loc[table["arch"] == "resnet18", ["trained_until", "window", "seen"]]
    assert rows.to_numpy().tolist() == [
        ["", "before 2024-01-01", "yes"],
        ["", "from 2024-01-01", "yes"],
        ["2024-01-01", "before 2024-01-01", "yes"],
        ["2024-01-01", "from 2024-01-01", "no"],
        ["", "", "no"],
        ["", "", "yes"],
    ]


def files_of(study: Workspace, folder: str) -> list[Path]:
    """All files below a folder of the results; not the notes of what was verified, which are about a disk."""
    return [
        path for path in (study.results / folder).rglob("*") if path.is_file() and ".checked." not in path.name
    ]


def test_the_plain_config_plans_the_study(finished):
    """With data in place, config.yaml asks for one baseline, five branches, six variants on three test sets."""
    data = finished.folder / "data"
    shutil.copytree(data / "faces140k", data / "140k-real-and-fake-faces")
    (data / "Celeb-DF-v2").mkdir()
    stale = finished.stale(config="")
    assert {rule: stale[rule] for rule in ("scan", "pack", "baseline", "search", "finetune", "predict")} == {
        **{"scan": 3, "pack": 3, "baseline": 1, "search": 5, "finetune": 5, "predict": 6}
    }


def test_a_truncated_image_is_named_or_left_out(tmp_path):
    workspace = Workspace(tmp_path / "bad")
    image = workspace.folder / "data/synthbuster/glide/r000.png"
    image.write_bytes(image.read_bytes()[:-40])
    manifest = "results/tiny/data/manifest.parquet"
    done = workspace.snakemake(manifest)
    assert done.returncode != 0
    assert "glide/r000.png" in done.stdout
    assert "max_bad_images" in done.stdout
    assert not (workspace.results / "data/synthbuster/images.npy").exists()

    workspace.configure({**TINY, "data": {**TINY["data"], "max_bad_images": 1}})
    done = workspace.snakemake(manifest)
    assert done.returncode == 0, done.stdout
    assert pd.read_csv(workspace.results / "data/synthbuster/bad.csv")["path"].tolist() == ["glide/r000.png"]
    table = pd.read_parquet(workspace.folder / manifest)
    assert len(table) == 30 + 45 - 1
    assert "glide/r000.png" not in set(table["path"])


def test_a_leak_stops_before_training_or_is_left_out(tmp_path):
    """A test image that is in train too: its tables are there although `fail` stops, and `drop` leaves it out."""
    workspace = Workspace(tmp_path / "leak")
    faces = workspace.folder / "data/faces140k/real_vs_fake/real-vs-fake"
    shutil.copy(faces / "train/real/00001.jpg", faces / "test/real/00003.jpg")
    manifest = "results/tiny/data/manifest.parquet"
    workspace.configure({**TINY, "audit": {"on_leak": "fail"}})
    done = workspace.snakemake(manifest)
    assert done.returncode != 0
    assert "1 test image of faces140k is also in train" in done.stdout
    assert "audit.on_leak" in done.stdout
    assert "Traceback" not in done.stdout
    table = pd.read_csv(workspace.results / "tables/audit_duplicates.csv")
    assert table[["leak", "images", "pairs"]].to_numpy().tolist() == [["across splits", 1, 1]]
    assert table["example"][0].endswith("test/real/00003.jpg")
    assert not (workspace.folder / manifest).exists()

    workspace.configure({**TINY, "audit": {"on_leak": "drop"}})
    done = workspace.snakemake(manifest)
    assert done.returncode == 0, done.stdout
    assert "rule audit:" not in done.stdout, "the same audit, twice"
    paths = pd.read_parquet(workspace.folder / manifest)["path"]
    assert len(paths) == 30 + 45 - 1
    assert not paths.str.endswith("test/real/00003.jpg").any()


def test_meta_says_where_a_model_comes_from(finished):
    meta = json.loads((finished.results / "runs/resnet18/seed0/l1-40/meta.json").read_text())
    assert meta["method"] == "l1"
    assert meta["sparsity"] == 0.4
    assert meta["nonzero_weights"] == round(0.6 * meta["prunable_weights"])
    assert meta["libraries"]["torch"]
    assert meta["plan"]["why"]
    assert len(meta["data_fingerprint"]) == len(meta["baseline_sha256"]) == 64


@pytest.fixture(scope="module")
def failing(finished, tmp_path_factory):
    """A copy of the finished study, for runs that fail."""
    return Workspace.copy_of(finished, tmp_path_factory.mktemp("failing") / "copy")


@contextmanager
def _unknown_file(workspace: Workspace):
    path = workspace.folder / "data/synthbuster/glide/notes.docx"
    path.touch()
    yield "found 1 file(s) that are not .png"
    path.unlink()


@contextmanager
def _damaged_image(workspace: Workspace):
    """The scan gets through with it, and gives something else than before."""
    path = workspace.folder / "data/synthbuster/glide/r000.png"
    content = path.read_bytes()
    path.write_bytes(content[:-40])
    yield "at most 0 allowed"
    path.write_bytes(content)


@contextmanager
def _leak(workspace: Workspace):
    """Scan, pack, split and audit get through."""
    faces = workspace.folder / "data/faces140k/real_vs_fake/real-vs-fake"
    content = (faces / "test/real/00003.jpg").read_bytes()
    shutil.copy(faces / "train/real/00001.jpg", faces / "test/real/00003.jpg")
    with configured(workspace, audit={"on_leak": "fail"}):
        yield "1 test image of faces140k is also in train"
    (faces / "test/real/00003.jpg").write_bytes(content)


@contextmanager
def _unknown_generator(workspace: Workspace):
    with configured(workspace, data={**TINY["data"], "hold_out": ["nobody"]}):
        yield "data.hold_out: found nobody"


@contextmanager
def _broken_scripts(workspace: Workspace, *names: str):
    scripts = [workspace.folder / f"workflow/scripts/{name}.py" for name in names]
    before = [script.read_text() for script in scripts]
    for script in scripts:
        script.write_text("raise SystemExit('broken on purpose')\n")
    yield "broken on purpose"
    for script, text in zip(scripts, before, strict=True):
        script.write_text(text)


def _broken_training(workspace: Workspace):
    return _broken_scripts(workspace, "training/baseline")


def _broken_rest(workspace: Workspace):
    return _broken_scripts(
        workspace, "inference/latency", "export/export", "inference/probe", "tables/metrics", "figures/samples"
    )


QUICK = (_unknown_file, _broken_training)  # before anything is replaced, and after
SLOW = (_damaged_image, _leak, _unknown_generator, _broken_rest)


@pytest.mark.parametrize("cause", [*QUICK, *(pytest.param(cause, marks=pytest.mark.long) for cause in SLOW)])
def test_an_error_costs_nothing_once_its_cause_is_gone(failing, cause):
    model = failing.results / "runs/resnet18/seed0/baseline/model.safetensors"
    before = model.stat().st_mtime_ns
    with cause(failing) as error:
        done = failing.snakemake()
        assert done.returncode != 0
        assert error in done.stdout
        assert model.exists()
        if cause is not _unknown_file:  # what failed is not taken for done
            assert failing.stale() != {}
    assert failing.stale() == {}
    assert model.stat().st_mtime_ns == before


def killed_once(workspace: Workspace, reached: Callable[[subprocess.Popen], object]) -> None:
    """Start the workspace's run, and kill Snakemake and all its jobs as soon as `reached` says so."""
    said = workspace.folder / "said.txt"
    with said.open("w") as out:  # a pipe that nobody reads would fill
        run = subprocess.Popen(
            workspace.command(),
            cwd=workspace.folder,
            env=workspace.environment(),
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    while run.poll() is None and not reached(run):
        time.sleep(0.05)
    assert run.poll() is None, said.read_text()
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()


def test_a_kill_costs_nothing_once_its_cause_is_gone(failing):
    with configured(failing, train={"epochs": 30, "patience": 30}):
        killed_once(failing, lambda run: job_of(run.pid, "baseline") is not None)
        assert not (failing.results / "runs/resnet18/seed0/baseline/model.safetensors").exists()
    assert failing.stale() == {}


def test_a_kill_leaves_no_lock_where_a_run_reads_files_of_others(failing):
    """Images, weights to start from and a teacher of an earlier run, as `detector adapt` has them."""
    earlier = failing.results.relative_to(failing.folder)
    old = str(earlier / "data/faces140k")
    learned = earlier / "runs/resnet18/seed0/baseline/model.safetensors"
    read = {
        "results": "results/later",
        "data": {"use": ["faces140k"], "sources": {"faces140k": {"type": "run", "root": old, "split": "kept"}}},
        "inits": {"own": {"file": str(learned), "whole": True}},
        "architectures": ["resnet18@own"],
        "finetune": {**TINY["finetune"], "distill": {"teacher": str(learned)}},
    }
    locks = failing.folder / ".snakemake/locks"
    with configured(failing, **read):
        killed_once(failing, lambda _: [*locks.glob("*.input.lock")])
        text = "".join(lock.read_text() for lock in locks.iterdir())
        assert str(learned) in text
        assert f"{old}/images.npy" in text
        done = failing.snakemake("--dry-run")
        assert done.returncode == 0, done.stdout
    assert not [*locks.glob("*")]


def test_locks_of_another_workflow_stay(finished):
    """Also those of a run of it that reads our tables; what a killed run of ours left goes."""
    texts = {
        "0.input.lock": "workflow/scripts/data/pack.py\nresults/tiny/data/synthbuster/scan.parquet\n",
        "1.input.lock": "results/tiny/tables/metrics.csv\n",
        "2.input.lock": "other/data.csv\nworkflow/scripts/data/pack.py\n",
        "0.output.lock": "results/tiny/data/synthbuster/images.npy\n",
        "1.output.lock": "paper/figure.svg\n",
    }
    folder = finished.folder / ".snakemake/locks"
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text)
    try:
        with configured(finished, data={"use": ["celebdf"], "sources": {"celebdf": {"root": "nowhere"}}}):
            assert "data is missing" in finished.snakemake("--dry-run").stdout
        assert {path.name for path in folder.iterdir()} == set(texts), "the run has stopped before it began"
        finished.stale()
        assert {path.name for path in folder.iterdir()} == {"1.input.lock", "2.input.lock", "1.output.lock"}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.long
def test_videos_of_several_frames_are_trained_on_by_frame_and_counted_by_video(tmp_path):
    """From files to tables; with one frame of each there is no such table in the plan."""
    study, names = (
        Workspace(tmp_path / "study"),
        {"Celeb-real": "id{0}_{1:04d}", "Celeb-synthesis": "id{0}_id9_{1:04d}"},
    )
    for folder, name in names.items():
        for number in range(20):
            write_video(
                study.folder / "data/celebdf" / folder / f"{name.format(number % 4, number)}.mp4", frames=7
            )
    source = {"root": "data/celebdf", "expect": "any"}
    parts = {"use": ["celebdf"], "sources": {"celebdf": source}}
    small = {
        "prune": {"methods": {"l1": [0.4]}, "dense_control": False},
        "search": {**TINY["search"], "trials": 1},
    }
    study.configure({**TINY, **small, "data": parts})
    assert "videos" not in study.stale()
    study.configure({**TINY, **small, "data": {**parts, "sources": {"celebdf": {**source, "frames": 3}}}})
    assert study.stale()["videos"] == 1
    tables = study.results / "tables"
    wanted = [f"results/tiny/tables/{name}.csv" for name in ("videos", "final_accuracy")]
    done = study.snakemake(*wanted)
    assert done.returncode == 0, done.stdout
    images = pd.read_parquet(study.results / "data/manifest.parquet")
    video = images["path"].str.replace(r"@frame\d{6}$", "", regex=True)
    assert len(images) == 120
    assert (images.groupby(video)["split"].agg(["nunique", "size"]) == [1, 3]).all(axis=None)
    assert images.groupby("split")["path"].size().to_dict() == {"train": 96, "valid": 12, "test": 12}
    table = pd.read_csv(tables / "videos.csv").set_index(["branch", "judged_by"])
    whole = pd.read_csv(tables / "final_accuracy.csv").query("testset == 'celebdf'").set_index("branch")
    for branch in ("baseline", "l1-40"):
        logits = pd.read_parquet(study.results / f"runs/resnet18/seed0/{branch}/predictions/celebdf.parquet")
        means = logits.groupby(logits["path"].str[:-12])[["logit", "label"]].mean()
        right = ((means["logit"] >= 0) == (means["label"] == 1)).mean()
        assert table.loc[(branch, "each frame"), ["n", "videos"]].tolist() == [12, 4]
        assert table.loc[(branch, "all frames"), ["n", "accuracy"]].tolist() == [4, right]
        assert whole.loc[branch, ["n", "accuracy"]].tolist() == [4, right]
