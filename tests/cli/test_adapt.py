"""`detector adapt` goes on from a bundle with the images of its own run beside a few new ones, refuses what it
cannot use before it writes anything, and claims what held-out images show, and no more."""

import json
import re
import shutil
import subprocess
import textwrap
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from detector.cli import adapt as command
from detector.core import parquet
from detector.core.errors import DetectorError
from detector.core.files import read_json, sha256, write_json
from detector.core.labels import FAKE, SPLIT_NAMES
from detector.data import identity, kinds
from detector.experiment.branches import branches
from detector.imaging.preprocessing import Preprocessing
from detector.starter import adaptation, gains, given, origin, plan, run
from tests.support import ROOT, chapter, warm
from tests.support.workspace import TINY, Workspace

SIDE = 32


def picture(path: Path, seed: int, mark: str) -> None:
    """A smooth picture with noise; `mark`: what a generator leaves in it, "" in a photograph."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    slope = rng.uniform(-60, 60, (2, 3))
    pixels = 128 + (x[..., None] - 0.5) * slope[0] + (y[..., None] - 0.5) * slope[1]
    pixels += rng.normal(0, 4, pixels.shape)
    if mark == "checks":
        pixels += 24 * ((np.indices((SIDE, SIDE)).sum(0) % 2) * 2 - 1)[..., None]
    elif mark == "bars":
        pixels += 24 * ((np.arange(SIDE) // 4 % 2) * 2 - 1)[None, :, None] * [1, -1, 1]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)


def pictures(folder: Path, count: int, mark: str, first: int = 0) -> Path:
    for number in range(count):
        picture(folder / f"{number:03d}.png", first + number, mark)
    return folder


OVERLAY = {
    **TINY,
    "data": {
        "use": ["mine"],
        "sources": {"mine": {"type": "folder", "root": "mine"}},
        "fractions": [0.6, 0.2, 0.2],
    },
    "images": {"size": SIDE},
    "architectures": ["small_cnn"],
    "train": {"epochs": 6, "learning_rate": 1e-3, "batch_size": 8, "patience": 6},
    "prune": {"methods": {"l1": [0.3]}, "dense_control": False},
    "search": {"trials": 1, "epochs": 1, "batch_size": 8, "optimizers": ["Adam"], "learning_rate": [1e-4, 1e-3]},
    "finetune": {"epochs": 3, "batch_size": 8},
    "deploy": {"branches": ["l1-30"], "calibration_images": 16},
    "robustness": {"use": []},
    "gradcam": {"branches": []},
}
BUNDLE = "results/tiny/runs/small_cnn/seed0/l1-30/bundle"


def adapt(workspace: Workspace, *arguments: str) -> subprocess.CompletedProcess:
    words = [warm.python(), "-m", "detector.cli.main", "adapt", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    environment = {**workspace.environment(), "OMP_NUM_THREADS": "1"}
    return subprocess.run(words, cwd=workspace.folder, env=environment, **pipes)


def write_run(results: Path, branch: str = "l1-30", arch: str = "small_cnn", **how) -> Path:
    """What a run leaves that is needed to go on from it, but for weights that are some. Returns its bundle."""
    folder = results / f"runs/{arch}/seed3/{branch}"
    write_json(folder / "meta.json", {"recipe": {"flip": 0.5, "clip": None}, "start": None})
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "bundle").mkdir()
    (folder / "bundle/SHA256SUMS").touch()
    scan = pd.DataFrame({"path": [f"{n}.png" for n in range(8)], "source": "mine", "label": [0, 1] * 4})
    scan = scan.assign(
        generator=["old", ""] * 4, group="", official="", frame=np.float32("nan"), date="", sha256="x"
    )
    manifest = scan.assign(split=["train"] * 2 + ["valid"] * 2 + ["test"] * 4).iloc[:6]
    data = results / "data/mine"
    data.mkdir(parents=True)
    parquet.write(scan, data / "scan.parquet")
    parquet.write(manifest, results / "data/manifest.parquet")
    record = Preprocessing.of({"size": 64, "resize_to": 80, "max_pixels": 1_000_000, **how}).record()
    write_json(data / "images.json", {"source": "mine", "preprocessing": record})
    (data / "bad.csv").write_text("path,error\n")
    (data / "images.npy").touch()
    return folder / "bundle"


def facts_of(bundle: Path) -> dict[str, str]:
    results = bundle.parents[4]
    index = read_json(results / "data/mine/images.json")
    manifest = parquet.read(results / "data/manifest.parquet")
    return {
        **{"arch": bundle.parts[-4], "seed": bundle.parts[-3].removeprefix("seed"), "branch": bundle.parts[-2]},
        "model_sha256": sha256(bundle.with_name("model.safetensors")),
        "data_fingerprint": identity.fingerprint(manifest, {"mine": index["preprocessing"]}),
    }


@pytest.fixture
def there(tmp_path, monkeypatch) -> Path:
    """A folder with results/, a run with a bundle that knows it, and new/, ten images of a generator."""
    bundle = write_run(tmp_path / "results")
    facts = facts_of(bundle)
    monkeypatch.setattr(origin.Model, "open", lambda path, threads: SimpleNamespace(facts=facts))
    pictures(tmp_path / "new", 10, "bars")
    return tmp_path


def asked(there: Path, **changed) -> adaptation.Adaptation:
    names = {
        "bundle": "results/runs/small_cnn/seed3/l1-30/bundle",
        "results": "results",
        "fake": "new",
        "out": "out",
    }
    paths = {name: there / value for name, value in {**names, **changed}.items()}
    return adaptation.make(ROOT, **{"real": None, **paths})


def test_the_new_run_begins_with_the_network_of_the_bundle_and_replays_its_images(there):
    before = sorted(there.rglob("*"))
    made = asked(there)
    assert sorted(there.rglob("*")) == before, "a plan writes nothing"
    config = made.config
    assert config["train"]["epochs"] == 0
    assert config["inits"]["before"]["whole"]
    assert Path(config["inits"]["before"]["file"]) == there / "results/runs/small_cnn/seed3/l1-30"
    assert (made.before.branch, str(made.after)) == ("baseline", "small_cnn@before, seed 3, l1-30")
    assert list(branches(config)) == ["l1-30"]
    assert config["images"] == {**config["images"], "size": 64, "pack_size": None, "resize_to": 80}
    assert config["data"]["max_pixels"] == 1_000_000
    assert config["data"]["use"] == ["mine", "new"]
    old = config["data"]["sources"]["mine"]
    assert (old["type"], Path(old["root"])) == ("run", there / "results/data/mine")
    made.write(there / "out")
    records = kinds.module("list").scan(there / "out/given", {"list": "list.csv"})
    assert Counter(record.official for record in records) == {"train": 4, "valid": 1, "test": 5}
    assert {record.generator for record in records} == {"new"}
    again = asked(there)
    assert again.text is None, "what is there is used as it stands"
    assert again.config == config


def test_what_is_counted_for_the_time_is_what_is_replayed_and_given(there, monkeypatch):
    made = asked(there)
    assert made.counts.parts == {
        **{("train", 0): 1 + 4, ("train", 1): 1, ("valid", 0): 1 + 1, ("valid", 1): 1},
        **{("test", 0): 1 + 5, ("test", 1): 1},
    }
    monkeypatch.setattr(adaptation, "REPLAYED", 1)
    assert made.counts.of("train") < 6
    assert made.counts.of("test") == 7, "all of the old test images are looked at"


@pytest.mark.parametrize(
    ("branch", "after"),
    [("baseline", "l1-00"), ("l1-00", "l1-00"), ("matched-30", "l1-00"), ("channels-50", "l1-00")]
    + [(name, name) for name in ("random-40", "gradual-40", "lamp-40", "l1-30")],
)
def test_what_is_pruned_stays_pruned(there, monkeypatch, branch, after):
    bundle = write_run(there / "other", branch)
    facts = facts_of(bundle)
    monkeypatch.setattr(origin.Model, "open", lambda path, threads: SimpleNamespace(facts=facts))
    made = asked(there, bundle=bundle, results="other")
    assert made.after.branch == after
    assert list(branches(made.config)) == [after]


def test_windows_and_error_levels_of_the_old_run_are_those_of_the_new_one(there, monkeypatch):
    bundle = write_run(there / "other", arch="small_cnn+ela", centre=48)
    (there / "other/data/ela").mkdir()
    shutil.copytree(there / "other/data/mine", there / "other/data/ela/mine")
    looks = {"crops": 4, "sizes": [48]}
    facts = {**facts_of(bundle), "preprocessing": json.dumps({"mine": {"looks": looks}})}
    monkeypatch.setattr(origin.Model, "open", lambda path, threads: SimpleNamespace(facts=facts))
    made = asked(there, bundle=bundle, results="other")
    assert made.config["images"]["looks"] == looks
    assert made.config["architectures"] == ["small_cnn@before+ela"]
    assert (made.config["images"]["size"], made.config["images"]["pack_size"]) == (48, 64)


def test_an_adapted_bundle_can_be_adapted_once_more(there):
    """Its run has the packed images of the first one, where they are, and its own new ones."""
    (there / "earlier/data").mkdir(parents=True)
    shutil.move(there / "results/data/mine", there / "earlier/data/mine")
    shutil.copy(there / "results/data/manifest.parquet", there / "earlier/data")
    with pytest.raises(DetectorError, match=r"--run: found no scan\.parquet"):
        asked(there)
    overlay = {
        "data": {"use": ["mine"], "sources": {"mine": {"type": "run", "root": f"{there}/earlier/data/mine"}}}
    }
    (there / "results/config.yaml").write_text(yaml.safe_dump(overlay))
    assert Path(asked(there).config["data"]["sources"]["mine"]["root"]) == there / "earlier/data/mine"


def wrong_weights(there):
    (there / "results/runs/small_cnn/seed3/l1-30/model.safetensors").write_bytes(b"others")


def other_data(there):
    file = there / "results/data/manifest.parquet"
    parquet.write(parquet.read(file).assign(sha256="y"), file)


def broken_image(there):
    (there / "new/004.png").write_bytes((there / "new/004.png").read_bytes()[:90])


def many(there):
    for number in range(101):
        shutil.copy(there / "new/001.png", there / f"new/more{number}.png")


def both(there):
    (there / "photos").mkdir()
    shutil.copy(there / "new/001.png", there / "photos/1.png")


def other_out(there):
    (there / "out").mkdir()
    (there / "out/thesis.txt").touch()


def made_for_others(there):
    asked(there).write(there / "out")
    (there / "new/004.png").unlink()


@pytest.mark.parametrize(
    ("spoil", "changed", "words"),
    [
        (None, {"bundle": "new"}, "BUNDLE: found a folder without SHA256SUMS"),
        (None, {"bundle": "new/001.png"}, "BUNDLE: found a file at .*001.png, expected the folder"),
        (None, {"bundle": "gone"}, "BUNDLE: found nothing at .*gone, expected the folder of a bundle"),
        (None, {"results": "gone"}, "--run: found nothing at .*gone, expected the results folder"),
        (None, {"results": "new"}, r"--run: found no .*model\.safetensors, .*another run, or they were deleted"),
        (wrong_weights, {}, "--run: found SHA-256 .*it is the bundle of another run"),
        (other_data, {}, "not the images that .* was trained with"),
        (
            lambda p: (p / "results/data/mine/images.npy").unlink(),
            {},
            r"--run: found no images\.npy .*clean --pixels",
        ),
        (lambda p: (p / "results/data/manifest.parquet").unlink(), {}, r"--run: found no .*manifest\.parquet"),
        (None, {"fake": "gone"}, "--fake: found nothing at .*gone, expected a folder"),
        (
            lambda p: (p / "empty").mkdir(),
            {"fake": "empty"},
            "--fake: found no file in .*empty, expected a folder",
        ),
        (None, {"real": "new/001.png"}, "--real: found a file at"),
        (None, {"real": "new"}, "one in the other"),
        (both, {"real": "photos"}, "found .*001.png among real and fake images alike"),
        (broken_image, {}, r"--fake: found 1 of 10 images that cannot be read.*\n.*004\.png: "),
        (many, {}, "--fake: found 111 images in .*, expected 1 to 100"),
        (other_out, {}, "--out: found thesis.txt in"),
        (None, {"out": "new/out"}, "--out: found .*which lies in --fake"),
        (None, {"out": "my out"}, "--out: found .*my out', expected letters"),
        (made_for_others, {}, "--out: found .*made for another bundle or other images"),
    ],
)
def test_what_is_of_no_use_is_one_error_and_nothing_is_written(there, spoil, changed, words):
    if spoil:
        spoil(there)
    before = sorted(there.rglob("*"))
    with pytest.raises(DetectorError, match=words):
        asked(there, **changed)
    assert sorted(there.rglob("*")) == before


@pytest.mark.parametrize(
    ("count", "shares"), [(1, (1, 0, 0)), (2, (1, 1, 0)), (3, (2, 1, 0)), (4, (1, 1, 2)), (30, (11, 4, 15))]
)
def test_a_half_is_held_out_by_content_and_of_three_none(tmp_path, count, shares):
    pictures(tmp_path / "new", count, "bars")
    found = given.read(tmp_path / "new", None, 10**6)
    assert tuple(found.of(FAKE, split) for split in SPLIT_NAMES) == shares
    splits = {image.sha256: image.split for image in found.images}
    for number in range(count):
        (tmp_path / f"new/{number:03d}.png").rename(tmp_path / f"new/x{count - number}.png")
    shutil.copy(tmp_path / "new/x1.png", tmp_path / "new/copy.png")
    again = given.read(tmp_path / "new", None, 10**6)
    assert {image.sha256: image.split for image in again.images} == splits
    assert again.copies == 1


def near_copies(folder: Path, of: Path, names: range, first: int = 1) -> None:
    """The same a little lighter, each more than the one before."""
    one = np.asarray(Image.open(of)).astype(int)
    for more, number in enumerate(names, first):
        Image.fromarray((one + more).clip(0, 255).astype(np.uint8)).save(folder / f"{number:03d}.png")


@pytest.mark.parametrize(("alike", "shares"), [(6, (6, 0, 0)), (5, (5, 1, 0)), (4, (5, 1, 0)), (2, (3, 1, 2))])
def test_near_copies_count_as_one_and_stay_together(tmp_path, alike, shares):
    """Of six images the first ones look alike: of two in different parts the audit would leave out the later."""
    pictures(tmp_path / "new", 6, "bars")
    near_copies(tmp_path / "new", tmp_path / "new/000.png", range(1, alike))
    found = given.read(tmp_path / "new", None, 10**6)
    split = {image.file.name: image.split for image in found.images}
    assert {split[f"{number:03d}.png"] for number in range(alike)} == {"train"}, "most of what there is is learned"
    assert tuple(found.of(FAKE, name) for name in SPLIT_NAMES) == shares


def test_of_near_copies_one_is_tested_and_one_chosen_by(tmp_path):
    """Four motifs, five pictures of each: a test of ten pictures would take two motifs for ten draws."""
    pictures(tmp_path / "new", 4, "bars")
    for motif in range(4):
        near_copies(tmp_path / "new", tmp_path / f"new/{motif:03d}.png", range(10 + 4 * motif, 14 + 4 * motif))
    found = given.read(tmp_path / "new", None, 10**6)
    assert tuple(found.of(FAKE, name) for name in SPLIT_NAMES) == (5, 1, 2)
    assert found.copies == 20 - 5 - 1 - 2


def test_near_copies_of_another_class_or_generator_are_for_the_same(tmp_path):
    """A fake that was made of a given photograph, two generators of one prompt."""
    pictures(tmp_path / "new/one", 8, "bars")
    for more, other in enumerate(("new/two", "photos"), 1):
        (tmp_path / other).mkdir()
        for number in range(8):
            of = tmp_path / f"new/one/{number:03d}.png"
            near_copies(tmp_path / other, of, range(number, number + 1), more)
    found = given.read(tmp_path / "new", tmp_path / "photos", 10**6)
    split: dict[str, set[str]] = {}
    for image in found.images:
        split.setdefault(image.file.name, set()).add(image.split)
    assert len(found.images) == 24
    assert len(split) == 8
    assert all(len(names) == 1 for names in split.values())
    assert tuple(found.of(FAKE, name) for name in SPLIT_NAMES) == (6, 2, 8)


def logits(name: str, before: list[bool], after: list[bool], generator: str, groups=()) -> list[pd.DataFrame]:
    """Predictions before and after of fakes of a generator, or of real images (""); whether each was right."""
    label = 1 if generator == "" else 0
    rows = pd.DataFrame({"path": [f"{generator}{n}" for n in range(len(before))], "source": name, "label": label})
    rows = rows.assign(generator=generator, group=list(groups) or "")
    return [rows.assign(logit=np.where(right, 1.0, -1.0) * (1 if label else -1)) for right in (before, after)]


def sets(**parts):
    return {name: tuple(pd.concat(tables) for tables in zip(*some, strict=True)) for name, some in parts.items()}


YES, NO = [True], [False]


def test_what_was_gained_and_what_was_forgotten_are_told_apart():
    found = gains.table(
        sets(
            old=[
                logits("old", YES * 40, YES * 40, ""),
                logits("old", YES * 40, YES * 25 + NO * 15, "a"),
                logits("old", YES * 20 + NO * 20, YES * 21 + NO * 19, "b"),
            ],
            new=[logits("new", NO * 12, YES * 10 + NO * 2, "n")],
        ),
        "new",
    ).set_index(["part", "generator"])
    row = found.loc[("new", "n")]
    assert (row["n"], row["before"], row["gained"], row["lost"]) == (12, 0.0, 10, 0)
    assert -1 <= row["difference_low"] <= 10 / 12 <= row["difference_high"] <= 1
    assert row["mcnemar_p_holm"] == row["mcnemar_p"] == 2 * 0.5**10, "one question, asked once"
    assert found["verdict"].to_dict() == {
        **{("new", "n"): "better", ("old", "real"): "undecided", ("old", "a"): "worse"},
        **{("old", "b"): "undecided", ("old", "all"): "worse"},
    }
    assert found.loc[("old", "a"), "mcnemar_p_holm"] == pytest.approx(3 * 2 * 0.5**15), "of three old parts"
    whole = found.loc[("old", "all")]
    assert whole["mcnemar_p_holm"] == whole["mcnemar_p"], "all together are one question of their own"
    said = " ".join(gains.words(found.reset_index(), {"n": 24}))
    for part in (
        "New generator n: 0.0% called right before, 83.3% after, of 12",
        "That is gained.",
        "Forgotten: a 100.0% called right before, 62.5% after, of 40",
        "That is forgetting.",
        "false alarms on photographs like those of the new source are not known",
    ):
        assert part in said, said
    assert "b " not in said.partition("Forgotten")[2].partition("All old")[0]


def test_where_the_interval_leaves_zero_out_and_the_test_does_not_reject_both_are_said():
    before = YES * 20 + NO * 9 + YES * 71
    found = gains.table(
        sets(
            old=[logits("old", before, NO * 20 + YES * 9 + YES * 71, "a")],
            new=[logits("new", YES * 12, YES * 12, "n")],
        ),
        "new",
    ).set_index(["part", "generator"])
    row = found.loc[("old", "all")]
    assert row["mcnemar_p"] >= 0.05 > 0 > row["difference_high"]
    assert row["verdict"] == "undecided"
    said = " ".join(gains.words(found.reset_index(), {"n": 24}))
    assert "The interval says that some was forgotten, the test does not show it." in said
    assert "No forgetting was shown" not in said


def test_of_equal_generators_nothing_is_claimed():
    found = gains.table(
        sets(
            old=[logits("old", YES * 40, YES * 39 + NO, ""), logits("old", NO + YES * 39, YES * 40, "a")],
            new=[logits("new", YES * 11 + NO, YES * 12, "n"), logits("new", YES * 5, YES * 5, "")],
        ),
        "new",
    )
    assert set(found["verdict"]) == {"undecided"}
    said = " ".join(gains.words(found, {"n": 24, "few": 3}))
    assert (
        "It was found before already"
        in gains.words(gains.table(sets(new=[logits("new", YES, YES, "n")]), "new"), {})[0]
    )
    for part in ("A gain is not shown", "No forgetting was shown", "New generator few: nothing can be said. Of 3"):
        assert part in said, said
    assert "gained" not in said
    assert "not be learned at all" not in said
    assert "it may not be learned at all" in gains.words(found, {"n": 24, "one": 1})[1]
    (low,) = found.loc[found["source"] == "combined", "difference_low"]
    assert f"of more than {-100 * low:.1f} points" in said


def test_five_images_can_show_nothing_and_six_can():
    for count, verdict in ((5, "undecided"), (6, "better")):
        found = gains.table(sets(new=[logits("new", NO * count, YES * count, "n")]), "new")
        assert list(found["verdict"]) == [verdict]
        said = gains.words(found, {"n": 2 * count})[0]
        assert ("nothing can be shown" in said) == (count == 5)


def test_images_of_a_group_are_one_draw():
    """Twelve images of two prompts say less than twelve of twelve."""
    together = [f"p{n // 6}" for n in range(12)]
    before, after = NO * 6 + YES * 6, YES * 12
    found = gains.table(sets(new=[logits("new", before, after, "n", together)]), "new").iloc[0]
    assert found["groups"] == 2
    assert found["grouped_low"] < found["difference_low"]
    assert found["grouped_high"] - found["grouped_low"] > found["difference_high"] - found["difference_low"]


def test_the_command_runs_what_it_needs_and_says_what_came_of_it(there, monkeypatch, capsys):
    """A stage that fails is no report; the same command goes on, and ends with table, page and words."""
    monkeypatch.chdir(there)
    calls = []

    def pipeline(root, line, expected, look):
        """All that was asked for fails the first time; then each network has its logits."""
        calls.append(line)
        made = sets(mine=[logits("mine", YES * 9, YES * 9, "old")], new=[logits("new", NO * 5, YES * 5, "new")])
        for name, pair in made.items():
            for branch, rows in zip(("baseline", "l1-30"), pair, strict=True):
                folder = there / f"out/runs/small_cnn@before/seed3/{branch}/predictions"
                folder.mkdir(parents=True, exist_ok=True)
                parquet.write(rows.reset_index(drop=True), folder / f"{name}.parquet")
        return len(calls) == 1

    steps = []
    measured = {"start": 1.0, "step": 0.5, "image": 0.01, "parameters": 1000, "memory": 300}
    monkeypatch.setattr(plan, "_step", lambda arguments: steps.append(arguments) or measured)
    monkeypatch.setattr(run, "run", pipeline)
    bundle = Path("results/runs/small_cnn/seed3/l1-30/bundle")
    arguments = {"results": Path("results"), "fake": Path("new"), "real": None, "out": Path("out")}
    before = sorted(there.rglob("*"))
    assert command.adapt(bundle, **arguments, plan_only=True) == command.DONE
    assert (sorted(there.rglob("*")), calls) == (before, []), "a plan writes and starts nothing"
    planned = capsys.readouterr().out
    assert command.adapt(bundle, **arguments) == command.FAILED
    assert not (there / "out/report.md").exists()
    said = capsys.readouterr().out
    assert "10 of a new generator (4 to train, 1 to choose by, 5 held out to test)" in said
    assert re.search(
        r"^Time +about \d+ \w+, of which \d+ \w+ are training: a step of 16 images took 0\.50 s here, the start",
        said,
        re.M,
    )
    assert read_json(there / "out/plan.json")["stages"]["finetune"] > 1
    written = (there / "out/config.yaml").read_text()
    assert textwrap.indent(written.strip(), "    ") in planned, "the settings that it would use"
    assert said.split("Running")[0].strip() in planned
    assert command.adapt(bundle, **arguments) == command.DONE
    assert (there / "out/config.yaml").read_text() == written
    assert len(steps) == 2, "what was measured is on record but for a plan's"
    said = " ".join(capsys.readouterr().out.split())
    assert "which is there and used as it stands" in said
    assert "With 5 held-out images nothing can be shown" in said
    after = "out/runs/small_cnn@before/seed3/l1-30/bundle"
    assert said.endswith(f"Bundle {after} Report out/report.md")
    assert "With 5 held-out images" in (there / "out/report.md").read_text()
    table = pd.read_csv(there / "out/tables/adaptation.csv")
    assert list(table.columns) == list(gains.COLUMNS)
    assert f"{there}/{after}/SHA256SUMS" in calls[1]
    assert calls[0] == calls[1]


@pytest.mark.long
def test_a_new_generator_is_found_after_and_of_an_old_one_nothing_is_claimed(tmp_path):
    """Bars are missed by a network that knows checks alone; more images with checks are no news to it."""
    workspace = Workspace(tmp_path / "copy")
    pictures(workspace.folder / "mine/real", 60, "")
    pictures(workspace.folder / "mine/fake/old", 60, "checks", 1000)
    workspace.configure(OVERLAY)
    done = workspace.snakemake(f"{BUNDLE}/SHA256SUMS")
    assert done.returncode == 0, done.stdout
    shutil.rmtree(workspace.folder / "mine")  # what is replayed are the packed images
    pictures(workspace.folder / "given/bars", 24, "bars", 2000)
    pictures(workspace.folder / "given/more", 24, "checks", 3000)
    (line,) = chapter.adapting()
    line = line.replace("results/mine/runs/resnet18/seed0/l1-40/bundle", BUNDLE).replace(
        "results/mine", "results/tiny"
    )
    done = adapt(workspace, *line.replace("--fake new", "--fake given").split()[2:])
    assert done.returncode == 0, done.stdout
    results = workspace.folder / "results/more"
    rows = pd.read_csv(results / "tables/adaptation.csv").set_index(["part", "generator"])
    new, more = rows.loc[("new", "bars")], rows.loc[("new", "more")]
    assert new["verdict"] == "better", done.stdout
    assert new["before"] < 0.2 < 0.8 < new["after"]
    assert more["before"] > 0.8, "it knew these"
    assert more["verdict"] == "undecided"
    old = rows.loc["old"]
    assert set(old["verdict"]) == {"undecided"}, "nothing is forgotten"
    assert old["after"].min() > 0.8
    after = results / "runs/small_cnn@before/seed0/l1-30"
    assert (after / "bundle/SHA256SUMS").is_file()
    was, begun = (
        parquet.read(folder / "predictions/mine.parquet")
        for folder in (workspace.results / "runs/small_cnn/seed0/l1-30", after.with_name("baseline"))
    )
    pd.testing.assert_frame_equal(was, begun)
    meta, old_meta = (
        read_json(f / "meta.json") for f in (after, workspace.results / "runs/small_cnn/seed0/l1-30")
    )
    assert meta["nonzero_weights"] == old_meta["nonzero_weights"], "what was pruned stays pruned"
    report = (results / "report.md").read_text()
    assert "New generator bars" in report
    assert "No forgetting was shown" in report


def test_frames_of_one_video_show_nothing_and_of_six_videos_something():
    """All frames turn; how many videos they are of says whether that is evidence."""
    for videos, verdict in ((1, "undecided"), (5, "undecided"), (6, "better")):
        group = [f"v{n % videos}" for n in range(60)]
        new = logits("new", NO * 60, YES * 60, "n", group)
        found = gains.table(sets(new=[new], old=[logits("old", YES * 60, NO * 60, "a", group)]), "new")
        assert list(found.loc[found["part"] == "new", "verdict"]) == [verdict]
        first, *_, last = gains.words(found, {"n": 120})
        assert ("nothing can be shown" in first) == (videos < 6)
        assert (f"60 held-out images of {videos} groups" in first) == (videos < 6)
        assert ("all of one group" in last) == ("Of others nothing can be said" in last) == (videos == 1)
        assert ("That is forgetting" in last) == (videos == 6)
        assert "nan" not in first + last
