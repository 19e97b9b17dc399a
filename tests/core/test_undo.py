"""A failed run costs nothing that was there: whatever it had begun to replace is put back, with times and
metadata, however it ended, and what it finished stays."""

import errno
import os
from pathlib import Path

import pytest

from detector.core import files, locks
from detector.core import undo as undo_module
from detector.core.errors import DetectorError
from detector.core.undo import Output, Undo


class Study:
    """What Snakemake does to the files of a few jobs: deletes, notes, marks."""

    def __init__(self, folder: Path, jobs: dict[str, int]):
        self.folder = folder
        self.jobs = {
            name: [
                Output(*(str(folder / kind / f"{name}{i}") for kind in ("out", "notes", "marks")))
                for i in range(count)
            ]
            for name, count in jobs.items()
        }
        for kind in ("out", "notes", "marks"):
            (folder / kind).mkdir()

    def undo(self) -> Undo:
        return Undo(self.folder / "state", self.folder / "label")

    def started(self, name: str) -> None:
        for path, _, marker in self.jobs[name]:
            Path(path).unlink(missing_ok=True)
            Path(marker).touch()

    def done(self, name: str, content: str) -> None:
        self.started(name)
        for path, record, marker in self.jobs[name]:
            Path(path).write_text(content)
            Path(record).write_text(f"made from {content}")
            Path(marker).unlink()

    def failed(self, name: str, content: str) -> None:
        """Snakemake notes a failed job as if it were done, then deletes."""
        self.done(name, content)
        for path, *_ in self.jobs[name]:
            Path(path).unlink()

    def state(self) -> dict[str, tuple[str, int]]:
        """What freshness hangs on: contents and times of outputs, contents of notes, marks."""
        found = {}
        for kind in ("out", "notes", "marks"):
            for path in (self.folder / kind).iterdir():
                assert not path.name.startswith("."), f"left behind: {path}"
                found[f"{kind}/{path.name}"] = path.read_text(), path.stat().st_mtime_ns if kind == "out" else 0
        return found

    def run(self, key: str, work) -> None:
        """A run that ends as `work` says: True if all went well."""
        now = self.undo()
        now.recover(key)
        now.begin(self.jobs.values(), key)
        now.end(succeeded=work())


@pytest.fixture(autouse=True)
def no_sync(monkeypatch):
    """Hundreds of kills, none of them a power cut."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture
def study(tmp_path):
    """Three jobs in a row, done once with the key "a"."""
    study = Study(tmp_path, {"scan": 1, "pack": 3, "train": 2})

    def work():
        for name in study.jobs:
            study.done(name, "a")
        return True

    study.run("a", work)
    assert not list((tmp_path / "state").iterdir())
    return study


def killed(work) -> int:
    """Run `work` in processes of their own that end like by kill -9 before the 1st, 2nd, … change of a file.

    Yields after each; stops when one got through.
    """
    for step in range(200):
        child = os.fork()
        if child == 0:
            left = step

            def counted(change):
                def act(*args, **more):
                    nonlocal left
                    if left == 0:
                        os._exit(9)
                    left -= 1
                    return change(*args, **more)

                return act

            for name in ("link", "replace", "unlink", "rmdir"):
                setattr(os, name, counted(getattr(os, name)))
            try:
                work()
            finally:
                os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        yield step
        if status == 0:
            return
    pytest.fail("it never got through")


def test_a_job_that_fails_gets_back_what_it_had(study):
    before = study.state()
    study.run("b", lambda: study.failed("scan", "b"))
    assert study.state() == before


def test_names_may_be_as_long_as_names_can_be(tmp_path):
    study = Study(tmp_path, {"x" * 200: 1})
    outputs = study.jobs["x" * 200]
    long = [output._replace(record=str(Path(output.record).parent / ("n" * 255))) for output in outputs]
    study.jobs["x" * 200] = long
    study.run("a", lambda: study.done("x" * 200, "a") or True)
    before = study.state()
    study.run("b", lambda: study.failed("x" * 200, "b"))
    assert study.state() == before


def test_a_job_that_got_through_stays_and_the_next_one_has_what_it_had(study):
    before = study.state()

    def work():
        study.done("scan", "b")
        study.failed("pack", "b")

    study.run("b", work)
    after = study.state()
    assert after["out/scan0"][0] == "b"
    assert {k: v for k, v in after.items() if "scan" not in k} == {
        k: v for k, v in before.items() if "scan" not in k
    }


def test_where_what_it_was_made_from_comes_back_so_do_the_results_and_back_again(study):
    first = study.state()

    def work():
        study.done("scan", "b")
        study.failed("pack", "b")

    study.run("b", work)
    second = study.state()
    assert not study.undo().recover("b")
    assert not study.undo().recover("c")
    assert study.state() == second
    assert study.undo().recover("a")
    assert study.state() == first
    assert not study.undo().recover("a")
    assert study.undo().recover("b"), "a look at the old settings has lost what was done with the new ones"
    assert study.state() == second
    study.undo().recover("a")
    study.run("a", lambda: study.done("train", "c") or True)
    assert not list((study.folder / "state").iterdir())


def test_what_a_new_job_left_goes_with_the_settings_it_was_made_with(tmp_path):
    """Else it would be newer than the inputs that came back, and count as made from them."""
    study = Study(tmp_path, {"scan": 1, "train": 1})
    study.run("a", lambda: study.done("scan", "a") or True)

    def work():
        study.done("scan", "b")
        study.done("train", "b")

    study.run("b", work)
    assert study.undo().recover("a")
    assert set(study.state()) == {"out/scan0", "notes/scan0"}


def test_several_failed_runs_in_a_row_lose_nothing(study):
    first = study.state()
    study.run("b", lambda: study.done("scan", "b") or study.failed("pack", "b"))
    study.run("b", lambda: study.done("pack", "b") or study.failed("train", "b"))
    second = study.state()
    study.run("c", lambda: study.failed("scan", "c"))
    assert study.state() == second
    assert study.undo().recover("a")
    assert study.state() == first


@pytest.mark.parametrize("end", ["started", "failed", "half"])
def test_a_killed_run_is_tidied_up_at_the_next_start(study, end):
    before = study.state()
    child = os.fork()
    if child == 0:
        try:
            study.undo().begin(study.jobs.values(), "b")
            study.failed("pack", "b") if end == "failed" else study.started("pack")
            if end == "half":
                Path(study.jobs["pack"][0].path).write_text("b")
        finally:
            os._exit(9)
    os.waitpid(child, 0)
    assert study.state() != before
    study.undo().recover("b")
    assert study.state() == before


def test_the_tidying_up_may_be_killed_at_any_moment(study):
    before = study.state()
    run = study.undo()
    run.begin(study.jobs.values(), "b")
    study.failed("pack", "b")
    study.started("train")
    run._presence.leave()  # as if it were killed
    for _ in killed(lambda: study.undo().recover("b")):
        pass
    study.undo().recover("b")
    assert study.state() == before
    assert [path.name for path in (study.folder / "state").iterdir()] == ["before"]


def test_the_change_of_places_may_be_killed_at_any_moment(study):
    first = study.state()
    study.run("b", lambda: study.done("scan", "b") or study.failed("pack", "b"))
    second = study.state()
    for step in killed(lambda: study.undo().recover("a")):
        study.undo().recover("a")
        assert study.state() == first, f"killed at step {step}"
        study.undo().recover("b")
        assert study.state() == second, f"killed at step {step}"


def test_a_begin_that_was_killed_is_of_no_harm(study):
    before = study.state()
    for _ in killed(lambda: study.undo().begin(study.jobs.values(), "b")):
        study.undo().recover("b")
        assert study.state() == before


def test_a_job_of_a_dead_run_is_waited_for(study, monkeypatch):
    run = study.undo()
    run.begin(study.jobs.values(), "b")
    study.started("pack")
    job = locks.Presence(run.lock)
    run._presence._file.close()
    monkeypatch.setattr(undo_module, "WAIT", 0.1)
    with pytest.raises(DetectorError, match="held by another process"):
        study.undo().recover("b")
    job.leave()
    study.undo().recover("b")
    assert "out/pack0" in study.state()


def test_a_file_system_without_links_gets_copies(study, monkeypatch):
    def refused(*_, **__):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    before = study.state()
    study.run("b", lambda: study.failed("pack", "b"))
    assert study.state() == before


def test_the_results_are_not_copied(study):
    inode = os.stat(study.jobs["pack"][0].path).st_ino
    run = study.undo()
    run.begin(study.jobs.values(), "b")
    kept = next((study.folder / "state").glob("replaced.*"))
    assert inode in {path.stat().st_ino for path in kept.iterdir()}
    assert files.read_json(kept / undo_module.NOTES)["now"] == "b"
    run.end(succeeded=False)
