"""`detector train` makes an overlay that people can edit and a plan that fits, refuses what it cannot use, and
gets from two folders to a bundle, also when it is stopped on the way."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from detector.cli import train as command
from detector.core import locks, signals
from detector.core.errors import DetectorError
from detector.core.files import write_json
from detector.demo.generate import make_demo
from detector.experiment.config import config_of
from detector.starter import checkout, estimate, outcome, overlay, plan, run
from detector.starter.folders import FEWEST, counted, size_of
from tests.support import ROOT, chapter, warm
from tests.support.samples import write_picture
from tests.support.workspace import Workspace

MEASURED = {
    **{"start": 4.0, "step": 1.5, "image": 0.01, "parameters": 3_000_000, "memory": 900},
    **{"device": "cpu", "precision": "fp32"},
}


@pytest.fixture
def images(tmp_path, monkeypatch) -> Path:
    """A folder with photos/ and made/{a,b}/, of 20 images each; nothing is measured, no Snakemake started."""
    for number in range(FEWEST):
        write_picture(tmp_path / f"photos/{number}.png", number, (70, 40))
        write_picture(tmp_path / f"made/{'ab'[number % 2]}/{number}.jpg", 100 + number, (50, 90))
    monkeypatch.setattr(plan, "_step", lambda arguments: MEASURED)
    monkeypatch.setattr(run, "run", lambda *arguments: pytest.fail("it was started"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def asked(images: Path, out: str = "out", real: str = "photos", fake: str = "made", **more) -> plan.Plan:
    options = {"start": "resnet18", "minutes": None, **more}
    return plan.make(ROOT, images / real, images / fake, images / out, **options)


def test_a_plan_says_what_and_how_long_and_writes_nothing(images, capsys):
    before = sorted(images.rglob("*"))
    assert command.train(Path("photos"), Path("made"), out=Path("out"), start="resnet18", plan=True) == 0
    said = capsys.readouterr().out
    for words in (
        "20 real in photos, 20 fake in made (10 a, 10 b): 28 to train, 7 to choose by, 5 to test",
        "resnet18 at 32 px on cpu",
        "1.50 s here",
        "Nothing was started",
        f"results: {images}/out",
    ):
        assert words in " ".join(said.split()), said
    assert sorted(images.rglob("*")) == before


def test_the_overlay_is_written_run_and_used_as_it_stands(images, capsys, monkeypatch):
    runs = []
    monkeypatch.setattr(run, "run", lambda *given: runs.append(given) or 1)
    arguments = {"out": Path("out"), "start": "resnet18"}
    assert command.train(Path("photos"), Path("made"), **arguments) == command.FAILED
    file = images / "out/config.yaml"
    written = file.read_text()
    assert written.strip() in capsys.readouterr().out.replace("\n    ", "\n").replace("\n   \n", "\n\n")
    ((root, line, expected, look),) = runs
    assert (root, line[-2:], expected) == (ROOT, ["--configfile", str(file)], images / "out/plan.json")
    stages = json.loads(expected.read_text())["stages"]
    (images / "out/logs").mkdir()
    (images / "out/logs/baseline-resnet18-seed0.log").write_text("10:00:00 INFO baseline: epoch 3/20  loss 0.1\n")
    with locks.held(images / "out/state/baseline-resnet18-seed0.lock"):
        look()
        look()
    assert capsys.readouterr().out.split("\n") == [f"{'':>21}baseline: epoch 3/20  loss 0.1", ""], "said once"
    assert stages["baseline"] > stages["finetune"] > MEASURED["start"]

    file.write_text(written.replace("epochs: 20", "epochs: 77").replace("patience: 20", "patience: 5"))
    edited = file.read_text()
    assert edited != written
    assert command.train(Path("photos"), Path("made"), **arguments) == command.FAILED
    assert file.read_text() == edited
    assert "77 epochs" in " ".join(capsys.readouterr().out.split())
    assert json.loads(expected.read_text())["stages"]["baseline"] > 2 * stages["baseline"]


def test_what_an_overlay_that_is_there_contradicts_is_one_error(images):
    folder(images / "others", 1)
    text = asked(images).text
    for name in ("out", "moved"):
        (images / name).mkdir()
        (images / name / "config.yaml").write_text(text)
    assert asked(images, start=None).text is None, "used as it stands"
    for arguments, words in (
        ({"real": "others"}, r"data.sources: found .*photos of real images, expected .*others \(REAL_DIR\)"),
        ({"fake": "others"}, r"data.sources: found .*made of fake images, expected .*others \(FAKE_DIR\)"),
        ({"start": "resnet34"}, r"architectures: found resnet18, expected resnet34 \(--start\)"),
        ({"minutes": 5}, r"it was made without --minutes, found --minutes 5"),
        ({"out": "moved"}, r"results: found .*out, expected .*moved"),
    ):
        with pytest.raises(DetectorError, match=words):
            asked(images, **arguments)


def test_the_same_command_goes_on_although_the_machine_is_busier(images, monkeypatch):
    made = asked(images, minutes=10)
    (images / "out").mkdir()
    (images / "out/config.yaml").write_text(made.text)
    write_json(images / "out/plan.json", made.record)
    monkeypatch.setattr(plan, "_step", lambda arguments: pytest.fail("it was measured again"))
    assert asked(images, minutes=10).estimate == made.estimate
    with pytest.raises(DetectorError, match="made for --minutes 10, found --minutes 3"):
        asked(images, minutes=3)
    (images / "out/plan.json").write_text("{")
    monkeypatch.setattr(plan, "_step", lambda arguments: MEASURED)
    assert asked(images).measured == MEASURED, "a record that cannot be read is none"


def test_more_minutes_train_more_and_what_is_chosen_fits(images, monkeypatch):
    monkeypatch.setattr(plan, "_step", lambda arguments: {**MEASURED, "step": 15.0})
    for start in ("resnet18", "tf_efficientnet_lite0@pretrained"):
        found = {minutes: asked(images, start=start, minutes=minutes) for minutes in (8, 15, 500)}
        epochs = [made.config["train"]["epochs"] for made in found.values()]
        assert epochs == sorted(set(epochs)), epochs
        assert all(made.estimate.seconds <= 60 * minutes for minutes, made in found.items())
        assert found[500].config["prune"]["dense_control"]
        with pytest.raises(DetectorError, match=r"--minutes: found 1, expected \d+ or more for the least"):
            asked(images, start=start, minutes=1)


def test_every_overlay_is_a_valid_one_of_few_branches(images):
    (images / "w+2.pth").touch()
    for start in ("resnet18", f"resnet18@{images}/w+2.pth"):
        architecture, init = overlay.started(start)
        for effort in overlay.efforts(architecture)[::4]:
            choice = overlay.Choice("out", "photos", "made", 3, architecture, init, 64, 1, effort)
            config = config_of(ROOT, [yaml.safe_load(overlay.text(choice))])
            assert (config["architectures"], config["train"]["epochs"]) == ([architecture], effort.epochs)
            assert config["inits"] == ({"start": f"{images}/w+2.pth"} if init else {})
            assert overlay.BRANCH in config["deploy"]["branches"]


def folder(path: Path, count: int, name: str = "{}.png") -> None:
    for number in range(count):
        write_picture(path / name.format(number), number)


@pytest.mark.parametrize(
    ("spoil", "arguments", "words"),
    [
        (None, {"real": "none"}, "REAL_DIR: found nothing at .*none, expected a folder"),
        (None, {"fake": "photos/1.png"}, "FAKE_DIR: found a file at"),
        (None, {"fake": "photos/../photos"}, "found the same folder twice"),
        (None, {"real": "made/a"}, "REAL_DIR: found .*made/a, which lies in FAKE_DIR"),
        (None, {"real": ".", "fake": "made"}, "FAKE_DIR: found .*made, which lies in REAL_DIR"),
        (None, {"out": "photos/out"}, "--out: found .*photos/out, which lies in REAL_DIR"),
        (None, {"out": "made/a/../out"}, "--out: found .*out, which lies in FAKE_DIR"),
        (None, {"out": "photos/1.png"}, "--out: found .*1.png, which lies in REAL_DIR"),
        (lambda p: (p / "out").write_text(""), {}, "--out: found the file .*out, expected a folder"),
        (lambda p: folder(p / "out", 1), {}, "--out: found 0.png in .*out, expected nothing, or the config.yaml"),
        (None, {"out": "my results"}, "--out: found .*my results', expected letters .* no blanks"),
        (
            lambda p: (p / "few").mkdir(),
            {"fake": "few"},
            "FAKE_DIR: found no file in .*few, expected a folder of",
        ),
        (
            lambda p: folder(p / "few", 19),
            {"fake": "few"},
            "found 19 fake images by the names of files, expected at least 20 of each class",
        ),
        (lambda p: folder(p / "few", 20, "{0}/{0}.png"), {"fake": "few"}, "no fake image for valid and test once"),
        (lambda p: folder(p / "made/0_real", 1), {}, "0_real: found a folder called like real images"),
        (lambda p: (p / "photos/film.doc").write_text(""), {}, "found 1 file.* that are not"),
        (None, {"start": "resnet17"}, "--start: no network is called 'resnet17'; did you mean"),
        (None, {"start": "resnet18@gone.pth"}, "--start: found no file gone.pth"),
        (None, {"start": "resnet18@"}, "--start: found nothing after the @"),
    ],
)
def test_what_is_of_no_use_is_one_error_that_says_what_was_expected(images, spoil, arguments, words):
    if spoil:
        spoil(images)
    with pytest.raises(DetectorError, match=words):
        asked(images, **arguments)


def test_a_missing_extra_is_named_with_a_way_around_it(images, monkeypatch):
    monkeypatch.setattr("detector.core.extras.find_spec", lambda name: None)
    with pytest.raises(
        DetectorError, match=r"extra `start`: pip install .*; or train from scratch.* --start resnet18"
    ):
        asked(images, start="pretrained")


def test_the_project_is_found_from_its_folder_and_from_the_package(images, monkeypatch):
    assert checkout.find() == ROOT, "the package's own"
    monkeypatch.setattr(checkout.detector, "__file__", str(images / "lib/detector/__init__.py"))
    with pytest.raises(DetectorError, match=f"{images}: found no Snakefile of the project"):
        checkout.find()
    monkeypatch.chdir(ROOT)
    assert checkout.find() == ROOT


def test_a_size_suits_the_images_and_no_broken_file_stands_in_the_way(images):
    assert size_of(images / "photos", images / "made") == 32
    for number in range(100):
        write_picture(images / f"made/c/{number}.png", number, (300, 130))
    for path in (images / "photos").iterdir():
        path.write_text("no image")
    assert size_of(images / "photos", images / "made") == 128


def test_an_estimate_grows_with_what_is_asked_for(images):
    config = asked(images).config
    counts = counted(config, ROOT)

    def found(cores: int = 2, **changed) -> estimate.Estimate:
        more = {key: {**config[key], **value} for key, value in changed.items()}
        return estimate.estimate({**config, **more}, counts, MEASURED, cores)

    def seconds(cores: int = 2, **changed) -> float:
        return found(cores, **changed).seconds

    usual = seconds()
    assert seconds(train={"epochs": 40}) > usual + 20
    assert seconds(search={"trials": 9}) > usual
    assert seconds(finetune={"epochs": 40}) > usual
    assert seconds(prune={"dense_control": True}) > usual
    assert seconds(deploy={"branches": []}) < usual
    assert seconds(cores=1) > usual
    larger = {"pack_size": config["images"]["size"] + 8}
    assert seconds(images=larger) == usual
    degraded = {"perturbations": {"half": [{"scale": 0.5}]}, "use": "all", "branches": "all"}
    several, once = (
        found(images={**larger, "looks": looks}, robustness=degraded).stages
        for looks in ({"crops": 9, "sizes": None}, None)
    )
    slower = {rule for rule in once if several[rule] > once[rule]}
    assert slower == {"predict", "latency", "export", "predict_exported", "probe"}


def test_the_best_bundle_is_chosen_by_validation_alone_and_of_equal_ones_the_smaller(tmp_path):
    """Both classes weigh the same in it: with nine of ten images real, to call all real is no merit."""
    rows = []
    for branch, missed, false, weights, test in (
        ("baseline", 1, 9, 100, 0.7),
        ("l1-40", 1, 9, 60, 0.6),
        ("l1-10", 10, 0, 9, 1.0),  # 90 % of the 100 validation images called right, and no fake
        ("l1-20", 2, 0, 70, 1.0),
    ):
        variant = tmp_path / "runs/resnet18@start/seed3" / branch
        write_json(variant / "meta.json", {"nonzero_weights": weights})
        label = np.repeat([0, 1], [10, 90])
        called = np.where(label == 1, np.arange(100) >= 10 + false, np.arange(100) < missed)
        (variant / "predictions").mkdir()
        valid = pd.DataFrame({"label": label, "logit": np.where(called, 1.0, -1.0)})
        valid.to_parquet(variant / "predictions/valid.parquet")
        (variant / "bundle").mkdir()
        (variant / "bundle/SHA256SUMS").touch()
        row = {"arch": "resnet18@start", "seed": 3, "branch": branch, "n": 50, "accuracy": test}
        row |= {"tp": 3, "fn": 2, "tn": 40, "fp": 5}
        rows += [
            {**row, "testset": t, "accuracy_low": test - 0.1, "accuracy_high": 1.0, "groups": None}
            for t in ("real", "combined")
        ]
    (tmp_path / "tables").mkdir()
    pd.DataFrame(rows).to_csv(tmp_path / "tables/final_accuracy.csv", index=False)
    best = outcome.best(tmp_path)
    assert best.bundle == tmp_path / "runs/resnet18@start/seed3/l1-40/bundle"
    assert (best.images, best.accuracy, best.low, best.high) == (50, 0.6, 0.5, 1.0)
    assert (best.fakes, best.reals) == ((3, 5), (40, 45))
    grouped = [{**row, "groups": 7, "grouped_low": 0.3, "grouped_high": 0.9} for row in rows]
    pd.DataFrame(grouped).to_csv(tmp_path / "tables/final_accuracy.csv", index=False)
    assert (outcome.best(tmp_path).low, outcome.best(tmp_path).high) == (0.3, 0.9), "images belong together"
    with pytest.raises(DetectorError, match="found no bundle"):
        outcome.best(tmp_path / "tables")


def test_a_run_is_looked_at_from_time_to_time(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "EVERY", 0.1)
    monkeypatch.setattr(run.signals, "await_others", lambda seconds: None)
    program = "import os, sys, time\ntime.sleep(1)\nsys.exit(len(os.environ['DETECTOR_EXPECTED']))"
    (tmp_path / "snakemake.py").write_text(program)
    looks = []
    assert run.run(tmp_path, ["snakemake"], Path("four"), lambda: looks.append(1)) == 4
    assert looks


def test_a_stop_reaches_the_jobs_too_which_snakemake_tells_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "EVERY", 0.1)
    monkeypatch.setattr(run.signals, "await_others", lambda seconds: None)
    (tmp_path / "work.py").write_text(
        "import signal, time\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "try:\n open('begun', 'w')\n time.sleep(30)\nexcept KeyboardInterrupt:\n open('saved', 'w')"
    )
    (tmp_path / "snakemake.py").write_text(
        "import signal, subprocess, sys\nsignal.signal(signal.SIGINT, lambda *_: None)\n"
        "subprocess.run([sys.executable, 'work.py'])"
    )

    def look() -> None:
        if (tmp_path / "begun").exists():
            raise signals.StoppedError(signal.SIGINT)

    with pytest.raises(signals.StoppedError):
        run.run(tmp_path, ["snakemake"], Path("expected"), look)
    assert (tmp_path / "saved").exists()


def test_help_and_wrong_options_come_before_anything_heavy():
    program = (
        "import sys\nfrom detector.cli import main\nsys.argv = ['detector', 'train', *sys.argv[1:]]\n"
        "try: main.main()\nexcept SystemExit as end: code = end.code\n"
        "print(code, *sorted({'torch', 'pandas', 'snakemake', 'scipy', 'sklearn'} & set(sys.modules)))"
    )
    for arguments, code in ((["--help"], 0), (["a", "b", "--out", "c", "--minutes", "0"], 2)):
        done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True)
        assert done.stdout.splitlines()[-1] == str(code), done.stderr


@pytest.mark.long
def test_two_folders_become_a_bundle_also_when_it_is_stopped_on_the_way(tmp_path):
    """The commands of the page, on images of the demo; the run is interrupted once, in the first training."""
    workspace = Workspace(tmp_path / "copy")
    make_demo(tmp_path / "demo", scale=0.15)
    for label, name in (("real", "photos"), ("fake", "generated")):
        found = sorted((tmp_path / "demo/faces140k").rglob(f"{label}/*.jpg"))
        assert len(found) >= 40
        (workspace.folder / name).mkdir()
        for number, path in enumerate(found[:80]):
            path.rename(workspace.folder / name / f"{number}.jpg")
    planned, started = chapter.training()
    assert "--plan" in planned
    results = workspace.folder / "results/first"

    def begin(line: str, python: str = sys.executable) -> subprocess.Popen:
        words = [python, "-m", "detector.cli.main", *line.split()[1:]]
        environment = {**workspace.environment(), "OMP_NUM_THREADS": "1"}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(words, cwd=workspace.folder, env=environment, **pipes)

    first = begin(planned)
    said, _ = first.communicate()
    assert first.returncode == 0, said
    assert not results.exists()
    log = "logs/baseline-tf_efficientnet_lite0@pretrained-seed0.log"
    stopped = begin(started)
    while "epoch 1/" not in (results / log).read_text() if (results / log).is_file() else True:
        assert stopped.poll() is None, stopped.communicate()[0]
        time.sleep(0.2)
    os.kill(stopped.pid, signal.SIGINT)  # not its group, as a terminal would
    said, _ = stopped.communicate(timeout=180)
    assert stopped.returncode == 130, said
    assert "the same command goes on from there" in said
    again = begin(started, warm.python())
    said, _ = again.communicate()
    assert again.returncode == 0, said
    assert "going on after epoch" in (results / log).read_text()
    best = outcome.best(results)
    assert f"detector predict PICTURE --model {best.bundle.relative_to(workspace.folder)}" in said
    assert f"{best.accuracy:.1%} of {best.images} test images called right" in said
    assert f"{best.fakes[0]} of {best.fakes[1]} fakes" in " ".join(said.split())
    assert "  clean  " in said or "unknown  " in said, "the audit's verdict"
    assert " left" in said
