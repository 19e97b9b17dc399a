"""Every benchmark runs, at a size that takes seconds, and prints its section; the peer prunes as it should."""

import importlib
import os
import re
import runpy
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks import adaptation, common, deployed, first_run, naive, robust_training, two_files, two_runs
from benchmarks import run as run_all
from detector.core import parquet
from detector.experiment.formats import file
from detector.export.onnx_model import save_onnx
from detector.models import checkpoints, networks, sparse
from tests.support import ROOT

SMALL = {
    "feeding": ["--sizes", "32", "--files", "8", "--megabytes", "1", "--repeats", "1"],
    "augmentation": ["--sizes", "32", "--batch", "4", "--pixels", "8192", "--threads", "1", "--repeats", "1"],
    "step": [
        *("--size", "32", "--batch", "4", "--files", "8", "--turns", "1", "--repeats", "1"),
        *("--workers", "1"),
    ],
    "masks": ["--arch", "resnet18", "--repeats", "1"],
    "end_to_end": [
        *("--sizes", "16", "--images", "16", "--repeats", "1", "--cores", "1", "--epochs", "1"),
        *("--trials", "1", "--trial-epochs", "1", "--finetune-epochs", "1"),
    ],
    "pruning_search": ["--searches", "3"],
    "predicting": ["--size", "32", "--stored", "32", "--images", "32", "--repeats", "1"],
}
LONG = {"augmentation", "end_to_end", "step", "masks"}


def run(name: str, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py")))
def test_each_can_be_asked_what_it_does(name, monkeypatch, capsys):
    """And so loads what it needs; what only others use has nothing to say."""
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    if "__main__" not in (ROOT / f"benchmarks/{name}.py").read_text():
        importlib.import_module(f"benchmarks.{name}")
        return
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(f"benchmarks.{name}", run_name="__main__")
    said = capsys.readouterr().out or str(ended.value)
    assert "usage: " in said or f"benchmarks/{name}.py" in said


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.long) if name in LONG else name for name in SMALL]
)
def test_it_runs_and_prints_its_section(name):
    section = run(name, *SMALL[name])
    assert section.startswith("## ") or "\n## " in section
    assert "| --- |" in section
    assert "met" in section


def test_precisions_are_laid_side_by_side():
    small = ["--size", "32", "--batch", "4", "--repeats", "1"]
    section = run("step", "--precisions", "--arch", "small_cnn", *small)
    sides = re.findall(r"^\| (\w+) \| [\d,]+ \(.*\) \| (\d+\.\d\d) \(", section, re.MULTILINE)
    assert [name for name, _ in sides] == ["fp32", "bf16"]
    assert float(sides[0][1]) == 1


@pytest.mark.parametrize("page", run_all.PAGES)
def test_what_is_written_by_hand_stays_on_a_page(page, tmp_path, monkeypatch):
    """All benchmarks print the same here: of the page their part alone is another."""
    monkeypatch.setattr(
        run_all.subprocess, "run", lambda *_, **__: SimpleNamespace(stdout="## Measured\n\n| 1 |\n")
    )
    run_all.write(page, tmp_path)
    before, after = (folder / f"{page}.md" for folder in (ROOT / "docs", tmp_path))
    old, new = (path.read_text().partition(run_all.BEGIN) for path in (before, after))
    assert new[0] == old[0]
    measured, _, by_hand = new[2].partition(run_all.END)
    assert by_hand == old[2].partition(run_all.END)[2]
    assert measured.count("## Measured") == measured.count("\n## ") == len(run_all.PAGES[page])
    with pytest.raises(SystemExit, match="expected it around what is measured"):
        run_all.replaced("# A page\n", "")


def test_curves_are_recorded_and_replayed(tmp_path):
    images = tmp_path / "images"
    common.write_pictures(images, {"train": 8}, 16)
    (images / "train/real").rename(images / "train/REAL")
    (images / "train/fake").rename(images / "train/FAKE")
    out = tmp_path / "curves.csv"
    options = ("--train", 8, "--valid", 8, "--size", 16, "--rates", 2, "--epochs", 2, "--baseline-epochs", 1)
    run("curves", images / "train", *options, "--out", out)
    table = pd.read_csv(out, comment="#")
    assert len(table) == 2 * 2 * 2  # optimizers, rates, epochs
    assert "Search with a pruner" in run("pruning_search", "--curves", out, "--searches", 2)


def test_what_training_on_degraded_images_recovers_is_a_share_of_what_was_lost(tmp_path):
    """100 images, 2 seeds: without 90 right, 60 of them once shrunk; with 88 and 78."""
    right = {"plain": {"clean": 90, "scale-0.75": 60}, "robust": {"clean": 88, "scale-0.75": 78}}
    label = np.arange(100) % 2
    for results, counts in right.items():
        for seed in (0, 1):
            columns = {
                name: np.where(np.arange(100) < count, 1.0, -1.0) * np.where(label == 1, 1, -1)
                for name, count in counts.items()
            }
            told = {"branch": "baseline", "source": "s", "path": [f"{i:02}" for i in range(100)]}
            rows = pd.DataFrame({**told, "generator": "", "group": "", "label": label, **columns})
            folder = tmp_path / results / f"runs/resnet18/seed{seed}"
            folder.mkdir(parents=True)
            other = rows.assign(branch="l1-40", **{name: -rows[name] for name in columns})
            parquet.write(pd.concat([rows, other], ignore_index=True), folder / "perturbed.parquet")
    first, second = (robust_training.of_runs(tmp_path / name, "baseline") for name in right)
    clean, shrunk = robust_training.compare({"a system": first["resnet18/seed0"], **first}, second)
    assert clean["seeds"] == 2, "what one has alone does not count"
    with pytest.raises(SystemExit, match="no run is in both"):
        robust_training.compare(first, {})
    assert clean["difference"] == pytest.approx(-0.02)
    assert np.isnan(clean["recovered_share"])
    assert shrunk["lost_without"] == pytest.approx(0.30)
    assert shrunk["difference"] == pytest.approx(0.18)
    assert shrunk["recovered_share"] == pytest.approx(0.60)
    assert shrunk["difference_low"] < 0.18 < shrunk["difference_high"]


def test_two_runs_are_compared_by_the_branches_and_seeds_that_both_have(tmp_path):
    """100 images: 80 and 88 right in the first run, 90 and 90 in the second; what one has alone does not count."""
    label = np.arange(100) % 2
    runs = {"a": {(0, "l1-40"): 80, (1, "l1-40"): 88, (2, "l1-40"): 9, (0, "l1-90"): 9}}
    runs["b"] = {(0, "l1-40"): 90, (1, "l1-40"): 90, (0, "baseline"): 9}
    for results, counts in runs.items():
        for (seed, branch), count in counts.items():
            logit = np.where(np.arange(100) < count, 1.0, -1.0) * np.where(label == 1, 1, -1)
            rows = pd.DataFrame(
                {"path": [f"{i:02}" for i in range(100)], "source": "s", "label": label, "logit": logit}
            )
            folder = tmp_path / results / f"runs/resnet18/seed{seed}/{branch}/predictions"
            folder.mkdir(parents=True)
            for name in ("s", "valid"):
                parquet.write(rows, folder / f"{name}.parquet")
    (row,) = two_runs.compare(tmp_path / "a", tmp_path / "b")
    assert (row["arch"], row["branch"], row["seeds"], row["images"]) == ("resnet18", "l1-40", 2, 100)
    assert (row["accuracy_first"], row["accuracy_second"]) == (pytest.approx(0.84), pytest.approx(0.90))
    assert row["difference"] == pytest.approx(0.06)
    assert row["difference_low"] < 0.02, "two trainings alone say little of a third"
    assert row["auc_first"] == pytest.approx((0.80 + 0.88) / 2), "of logits of two values"
    (row,) = two_runs.compare(tmp_path / "a", tmp_path / "b", [("l1-90", "baseline"), ("l1-40", "l1-80")])
    assert (row["branch"], row["seeds"], row["difference"]) == ("l1-90 → baseline", 1, 0)


def judged(right: dict[tuple[str, str], list[bool]]) -> pd.DataFrame:
    """Predictions by source and generator ("" of real images) of images that are called right or not."""
    rows = [
        {
            "path": f"{source}{maker}{n}",
            "source": source,
            "label": int(maker == ""),
            "generator": maker,
            "group": "",
        }
        | {"logit": 1.0 if (maker == "") == good else -1.0}
        for (source, maker), all_good in right.items()
        for n, good in enumerate(all_good)
    ]
    return pd.DataFrame(rows)


def test_what_adaptation_gains_and_forgets_is_a_mean_over_parts_and_draws():
    yes, no = [True], [False]
    held = ("new", "third")
    before = {("a", ""): yes * 4, ("a", "old"): yes * 40, ("a", "new"): no * 10, ("a", "third"): no * 10}
    first = {**before, ("a", ""): yes * 2 + no * 2, ("a", "new"): yes * 6 + no * 4}
    second = {**before, ("a", ""): yes * 4, ("a", "new"): yes * 8 + no * 2}
    cases = [
        adaptation.Case(1, 0, {"before": judged(before), "adapted": judged(one), "retrained": judged(before)})
        for one in (first, second)
    ]
    found = pd.DataFrame(adaptation.rows(adaptation.answers(cases, "new", held))).set_index(
        ["network", "against", "part"]
    )
    new = found.loc[("adapted", "before", "new")]
    assert (new["n"], new["accuracy"], new["difference"]) == (10, pytest.approx(0.7), pytest.approx(0.7))
    old = found.loc[("adapted", "before", "old")]
    assert (old["n"], old["parts"]) == (44, 2)
    assert old["difference"] == pytest.approx(-0.25 / 2), "four real images count as much as forty fakes"
    assert found.loc[("adapted", "before", "real"), "difference"] == pytest.approx(-0.25)
    assert found.loc[("adapted", "before", "other"), ["n", "difference"]].tolist() == [10, 0]
    assert found.loc[("adapted", "retrained", "new"), "difference"] == pytest.approx(0.7)
    assert found.loc[("before", "", "new"), "auc"] == 0.5, "all of them, and all photographs, are called real"


def test_adaptation_to_several_generators_judges_each_by_the_network_that_was_given_it():
    yes, no = [True], [False]
    before = {("a", ""): yes * 4, ("a", "old"): yes * 8, ("a", "one"): no * 10, ("a", "two"): no * 2}

    def given(generator: str, **right: list[bool]) -> dict[str, adaptation.Answers]:
        after = {**before, **{("a", maker.strip("_")): values for maker, values in right.items()}}
        tables = {"before": judged(before), "adapted": judged(after), "retrained": judged(before)}
        return adaptation.answers([adaptation.Case(1, 0, tables)], generator, ("one", "two"))

    some = [given("one", one=yes * 5 + no * 5, _=no * 2 + yes * 2), given("two", one=yes * 10, two=yes * 2)]
    found = pd.DataFrame(adaptation.rows(adaptation.together(some))).set_index(["network", "against", "part"])
    new = found.loc[("adapted", "before", "new")]
    assert (new["n"], new["parts"]) == (12, 2)
    assert new["difference"] == pytest.approx((0.5 + 1) / 2), "ten images of one weigh as much as two of the other"
    assert found.loc[("adapted", "before", "real"), "difference"] == pytest.approx(-0.25), (
        "half lost by one of two"
    )
    assert found.loc[("adapted", "before", "real"), "n"] == 4
    assert found.loc[("adapted", "before", "old"), ["n", "difference"]].tolist() == [12, pytest.approx(-0.125)]
    other = {("b", ""): no * 4}
    table = judged({**before, **other})
    of = adaptation.answers([adaptation.Case(1, 0, dict.fromkeys(found.index.levels[0], table))], "one", ("one",))
    assert (of["new"].area["before"], of["new"].own["before"]) == (0.25, 0.5), "photographs of another source"
    assert (len(of["real"].image), len(of["beside"].image)) == (8, 4)
    assert not (found.index.get_level_values("part") == "other").any()
    fakes = [judged({("a", ""): yes * 4, ("b", "one"): no * 4, ("b", "two"): no * 4})] * 3
    tables = dict(zip(found.index.levels[0], fakes, strict=True))
    alone = [adaptation.answers([adaptation.Case(1, 0, tables)], name, ("one", "two")) for name in ("one", "two")]
    assert "beside" not in adaptation.together(alone), "their source has no photographs"


def test_images_of_one_group_are_one_draw_in_the_tables_of_several_networks():
    """A copy of a given image is no test image, so that tables differ; numbers of groups in them would too."""
    table = judged({("a", ""): [True] * 3, ("a", "one"): [True, False] * 4, ("a", "two"): [True, False] * 4})
    table["group"] = [
        f"prompt{n}" if maker else "" for maker, n in zip(table["generator"], range(19), strict=True)
    ]
    table.loc[table["generator"] == "two", "group"] = table.loc[table["generator"] == "one", "group"].tolist()
    some = []
    for name, gone in (("one", 0), ("two", 1)):
        tables = dict.fromkeys(("before", "adapted", "retrained"), table.iloc[gone:])
        some.append(adaptation.answers([adaptation.Case(1, 0, tables)], name, ("one", "two"))["new"])
    assert some[0].group.tolist() == some[1].group.tolist(), "the same prompts"
    assert len({*some[0].group}) == 8
    beside = adaptation.answers([adaptation.Case(1, 0, tables)], "two", ("one", "two"))["beside"]
    assert len({*beside.group} | {*some[0].group}) == 2 + 8, "images of which none is known are their own"


def test_the_peer_s_pruned_weights_stay_zero():
    model = naive.pruned(naive.make_model("resnet18"), 0.4)
    optimizer = naive.make_optimizer("Adam", model, 1e-3)
    naive.train_step(model, optimizer, torch.rand(2, 3, 32, 32), torch.tensor([0, 1]))
    for module, name in naive.prunable(model):
        naive.prune.remove(module, name)
    zeros = sum(int((module.weight == 0).sum()) for module, _ in naive.prunable(model))
    assert zeros == round(0.4 * sum(module.weight.numel() for module, _ in naive.prunable(model)))


def test_sides_take_turns_and_the_ratio_is_that_of_medians():
    turns = []

    def side(name, values):
        values = iter(values)
        return lambda: turns.append(name) or next(values)

    measured = common.interleave({"a": side("a", [9.0, 2.0, 4.0]), "b": side("b", [9.0, 1.0, 1.0])}, repeats=2)
    assert "".join(turns) == "ababab"
    assert measured == {"a": [2.0, 4.0], "b": [1.0, 1.0]}
    assert common.ratio(measured["a"], measured["b"]) == (3.0, "3.00 (2.00–4.00)")
    assert np.isclose(common.ratio([1.0], [4.0])[0], 0.25)


def test_the_first_run_s_section_counts_the_seconds_of_its_log():
    log = (
        "The demo makes its own images\n"
        "   0:04     1 of 3  scan synthbuster                                     1.5 s\n"
        "   1:27     2 of 3  baseline resnet10 seed 0                             1:02\n"
        "                     warning: baseline: something\n"
        "   1:29     3 of 3  scan faces140k                                       2.0 s\n"
        "all 3 stages are done, in 1:29\n"
    )
    text = first_run.section(log, 95.4)
    assert "took 95 s on 2 cores (target ≤ 300 s: met)" in text
    assert "3 stages, two at a time, were at work for 66 s" in text
    assert "| baseline | 1 | 62 |\n| scan | 2 | 4 |\n| all others | 0 | 0 |" in text
    with pytest.raises(ValueError, match="no line"):
        first_run.section("nothing", 1)


def test_files_are_laid_beside_those_of_the_network_that_they_replace(tmp_path):
    folder = tmp_path / "small_cnn/seed0/baseline"
    network = networks.build("small_cnn", size=32).eval()
    checkpoints.save_weights(folder / "model.safetensors", network.state_dict())
    for name in deployed.ONNX:
        save_onnx(file(folder, name), network, 32, {})
    for name in deployed.SPARSE:
        sparse.save(file(folder, name), network.state_dict(), name.removeprefix("sparse-"), {})
    table = deployed.compare([folder], "resnet18", size=32, threads=1, warmup=1, rounds=5).set_index(
        ["arch", "file"]
    )
    other, ours = table.loc["resnet18"], table.loc["small_cnn"]
    reference = other.loc["safetensors-fp32"]
    assert reference[["times_smaller", "times_faster_than_eager"]].tolist() == [1, 1]
    assert other.loc["onnx-fp32", "times_faster_than_onnx"] == 1
    assert (ours["times_smaller"] * ours["file_mb"]).to_numpy() == pytest.approx(reference["file_mb"])
    assert ours.loc["sparse-int8", "times_smaller"] > 20, "28.7 times fewer weights of a quarter of the bytes"
    timed = ours.loc[["safetensors-fp32", *deployed.ONNX]]
    for column, against in deployed.REFERENCES.items():
        found = timed[column] * timed["latency_ms_median"]
        assert found.to_numpy() == pytest.approx(other.loc[against, "latency_ms_median"])
    assert ours.loc[list(deployed.SPARSE), "latency_ms_median"].isna().all(), "no file that computes"


def test_two_files_of_a_network_take_turns_and_are_asked_the_same(tmp_path):
    network = networks.build("small_cnn", size=32).eval()
    for name, turn in (("first", 1.0), ("second", -1.0)):
        with torch.no_grad():
            network.fc.bias.fill_(turn)
        save_onnx(tmp_path / f"{name}.onnx", network, 32, {"image_size": 32})
    row = two_files.compare(tmp_path / "first.onnx", tmp_path / "second.onnx", threads=1, warmup=0, rounds=3)
    name, size, first, second, faster, apart = row
    assert (name, size) == ("`second.onnx`", 32)
    assert float(faster) == pytest.approx(float(first) / float(second), rel=0.1)
    assert float(apart) == pytest.approx(2, abs=0.01), "their biases are so far apart"
