"""`detector clean` deletes only what can be made again, and only after listing it and being told to: nothing that
cost training, belongs to others, or is being made."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from detector.cli import clean as cleaning
from detector.cli import main, status
from detector.core import job, locks
from detector.core.errors import DetectorError
from detector.core.files import finish_state, write_json

LOG = "10:00:00 INFO baseline resnet18 seed 1: epoch 7/12  loss 0.1\n"


@pytest.fixture
def results(tmp_path):
    """Packed pixels, a model, a state of a job that is through, a half-done one, and what is kept for an undo."""
    results = tmp_path / "results"
    (results / "data/mine").mkdir(parents=True)
    np.save(results / "data/mine/images.npy", np.ones(1_000_000, np.uint8))
    write_json(results / "data/mine/images.json", {"format": "detector-pack", "shape": [10, 8, 8, 3]})
    np.save(results / "data/images.npy", np.ones(3))
    (results / "data/mine/scan.parquet").touch()
    write_json(results / "runs/resnet18/seed0/baseline/meta.json", {"epochs": 2, "valid_accuracy": 0.5})
    finish_state(results / "state/baseline-resnet18-seed0", "key")
    (results / "state/baseline-resnet18-seed1/key").mkdir(parents=True)
    (results / "state/baseline-resnet18-seed1/key/000007").write_bytes(bytes(300_000))
    (results / "state/before").mkdir()
    (results / "tables").mkdir()
    for name in cleaning.LAST:
        (results / f"tables/{name}.csv").touch()
    (results / "logs").mkdir()
    (results / "logs/baseline-resnet18-seed1.log").write_text(LOG)
    return results


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def clean(monkeypatch, *arguments: object, answer: str | None = None) -> int:
    """The command's exit code; `answer`: what is typed, None where nobody is there."""

    def typed(prompt: str) -> str:
        if answer is None:
            raise EOFError
        return answer

    monkeypatch.setattr("builtins.input", typed)
    monkeypatch.setattr("sys.argv", ["detector", "clean", *map(str, arguments)])
    monkeypatch.setattr(job.signals, "install", lambda: None)
    monkeypatch.setattr("logging.raiseExceptions", True)  # put back afterwards
    try:
        main.main()
    except SystemExit as end:
        return end.code
    return 0


def test_states_go_and_all_else_stays(results, monkeypatch, capsys):
    before = files(results)
    assert clean(monkeypatch, results, answer="y") == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].endswith("state/baseline-resnet18-seed0  (nothing, its job is through)")
    assert said[1].endswith("seed1  (half-done work: baseline resnet18 seed 1: epoch 7/12  loss 0.1)")
    assert said[2].endswith("MB in all")
    assert float(said[1].split()[0]) == pytest.approx(0.3, abs=0.05)
    gone = before - files(results)
    assert {Path(name).parts[1] for name in gone} == {"baseline-resnet18-seed0", "baseline-resnet18-seed1"}
    assert clean(monkeypatch, results, answer="y") == 0
    assert capsys.readouterr().out == "nothing to clean\n"


def test_states_of_a_protocol_s_networks_go_too_and_their_locks_hold(results):
    state = results / "state/protocols/gan/baseline-resnet18-seed0"
    (state / "key").mkdir(parents=True)
    assert state in {item.path for item in cleaning.deletable(results)}
    with locks.held(job.lock_of(state)), pytest.raises(DetectorError, match="held by a process that is at work"):
        cleaning.deletable(results)


def test_pixels_go_where_they_are_asked_for_and_it_is_said_what_that_costs(results, monkeypatch, capsys):
    (results / "data/ela").mkdir()
    shutil.copytree(results / "data/mine", results / "data/ela/mine")
    before = files(results)
    assert clean(monkeypatch, results, "--pixels", "--yes") == 0
    said = capsys.readouterr().out
    assert said.startswith(cleaning.PIXELS)
    assert said.count("1.0 MB") == 2
    gone = {name for name in before - files(results) if not name.startswith("state/")}
    assert gone == {"data/mine/images.npy", "data/ela/mine/images.npy"}


def test_the_pixels_of_a_run_that_is_not_finished_stay(results):
    (results / "tables/efficiency.csv").unlink()
    with pytest.raises(DetectorError, match=r"--pixels: found no \S+efficiency.csv"):
        cleaning.deletable(results, pixels=True)
    assert len(cleaning.deletable(results)) == 2


@pytest.mark.parametrize(("answer", "code"), [("", 0), ("n", 0), ("yesterday", 0), (None, 2)])
def test_without_a_yes_nothing_goes(results, monkeypatch, answer, code):
    before = files(results)
    assert clean(monkeypatch, results, "--pixels", answer=answer) == code
    assert files(results) == before


@pytest.mark.parametrize(
    "lock", ["state/baseline-resnet18-seed1.lock", "state/run.lock", ".snakemake/detector.lock"]
)
def test_what_is_being_made_stays(results, monkeypatch, lock):
    monkeypatch.chdir(results)
    with (
        locks.held(Path(lock)),
        pytest.raises(DetectorError, match="held by a process that is at work"),
    ):
        cleaning.deletable(Path())


def test_what_is_somebody_else_s_stays(results, tmp_path):
    theirs = tmp_path / "theirs"
    (theirs / "state").mkdir(parents=True)
    with pytest.raises(DetectorError, match="found no results in it"):
        cleaning.deletable(theirs)
    for name in ("photos", "baseline"):
        (results / "state" / name).mkdir()
    (theirs / "pack-mine").mkdir()
    os.symlink(theirs / "pack-mine", results / "state/pack-mine")
    (results / "data/other").mkdir()
    os.rename(results / "data/mine/images.npy", theirs / "images.npy")
    os.symlink(theirs / "images.npy", results / "data/mine/images.npy")
    np.save(results / "data/other/images.npy", np.ones(3))
    names = {item.path.name for item in cleaning.deletable(results, pixels=True)}
    assert names == {"baseline-resnet18-seed0", "baseline-resnet18-seed1"}


def test_states_and_locks_of_any_architecture_are_those_of_jobs(results):
    names = ("baseline-resnet18@a.b+ela-seed1", "pack-ela-mine")
    for name in names:
        (results / "state" / name / "key").mkdir(parents=True)
    assert {item.path.name for item in cleaning.deletable(results)} > set(names)
    for name in (f"{names[0]}.lock", f"{names[0]}.2.lock"):
        (results / "state" / name).touch()
    jobs = [line for line in status.text(results).splitlines() if "a.b" in line]
    assert len(jobs) == 1, "one job, with or without a lock"
