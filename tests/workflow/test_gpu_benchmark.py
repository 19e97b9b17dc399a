"""The script for a GPU works before there is one: each part runs dry, what is done is not done again, what is
lacking is said, and nothing of a dry run can be taken for a measurement."""

import argparse
import json
import signal

import pytest
import torch

from benchmarks import common, gpu, gpu_parts, step
from detector.core.errors import DetectorError


class Killed(Exception):
    """The end of a process that is none here."""


class Here:
    """A side of a comparison in this process."""

    def __init__(self, make, *arguments):
        self._run = make(*arguments)

    def __call__(self):
        return self._run()

    def close(self):
        pass


def one_by_one(calls):
    """As `gpu_parts.beside`, in this process."""
    ended = []
    for function, arguments in calls:
        try:
            ended.append((0, function(*arguments)))
        except Killed:
            ended.append((-signal.SIGKILL, None))
    return ended


@pytest.fixture
def here(monkeypatch):
    """Parts that need no process beside this one; a list of what was compiled."""

    def kill(process, number):
        assert number == signal.SIGKILL
        raise Killed

    made = []
    monkeypatch.setattr(common, "Side", Here)
    monkeypatch.setattr(gpu_parts, "beside", one_by_one)
    monkeypatch.setattr(gpu_parts.os, "kill", kill)
    monkeypatch.setattr(torch, "compile", lambda network: made.append(network) or network)
    return made


@pytest.fixture
def card(monkeypatch):
    """A GPU that is not there."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "Some GPU")
    monkeypatch.setattr(gpu, "where", lambda setting: "dry run" if setting.dry else "- Some GPU")


def arguments(folder, *parts, **more):
    given = {"out": folder / "out", "work": folder / "work", "cifake": None, "dry": False, "only": None}
    return argparse.Namespace(**given | {"parts": parts or list(gpu.PARTS), "minutes": 12} | more)


def in_process(name, setting, limit):
    gpu.measure(name, setting)


def said(folder, name):
    return json.loads((folder / f"out/{name}.json").read_text())


@pytest.mark.parametrize("part", gpu.PARTS)
def test_each_part_runs_dry_and_its_table_has_no_figure(part, tmp_path, here):
    if part == "compiled" and gpu.lacks(gpu.PARTS[part], gpu_parts.Setting(True, tmp_path, tmp_path, None), 720):
        pytest.skip("no C++ compiler here")
    assert gpu.main(arguments(tmp_path, part, dry=True), in_process) == 0
    found = said(tmp_path, part)
    assert found["status"] == gpu.DONE
    assert found["rows"]
    assert {(value, target) for _, value, target in found["rows"]} == {(gpu.NOT_MEASURED, "")}
    assert bool(here) == (part == "compiled")
    assert not (tmp_path / "out/gpu.md").exists()
    page = (tmp_path / "out/dry-run.md").read_text()
    assert page.startswith("# Dry run of benchmarks.gpu: nothing was measured\n")
    lines = [line.split(" | ") for line in page.splitlines() if line.startswith(f"| {part} | ")]
    assert [cells[2:] for cells in lines] == [[gpu.NOT_MEASURED, " |"]] * len(found["rows"])


def test_a_part_that_is_done_is_not_run_again_and_a_killed_or_failed_one_is(tmp_path, card):
    begun = []

    def start(name, setting, limit):
        begun.append(name)
        if begun == ["masked", "memory"]:
            raise KeyboardInterrupt  # the machine goes
        if begun == ["masked", "memory", "memory"]:
            return gpu.note(name, setting, gpu.FAILED, "ended with 1", seconds=5.0)
        gpu.note(name, setting, gpu.DONE, rows=[["what", "1.0", ""]], seconds=10.0)

    three = arguments(tmp_path, "masked", "memory", "worker")
    with pytest.raises(KeyboardInterrupt):
        gpu.main(three, start)
    assert "| memory | **failed**: was killed before its end |" in gpu.table(
        gpu_parts.Setting(False, tmp_path / "out", tmp_path, None)
    )
    assert gpu.main(three, start) == 1, "one failed"
    assert begun == ["masked", "memory", "memory", "worker"]
    assert "| memory | **failed**: ended with 1 |" in (tmp_path / "out/gpu.md").read_text()
    assert gpu.main(three, start) == 0
    assert begun == ["masked", "memory", "memory", "worker", "memory"]
    assert said(tmp_path, "memory")["seconds"] == 15, "both tries count"
    assert gpu.main(three, start) == 0
    assert len(begun) == 5
    page = (tmp_path / "out/gpu.md").read_text()
    assert page.startswith("# On a GPU\n\n- Some GPU\n")
    assert page.count("| what | 1.0 |") == 3


def test_all_parts_together_keep_to_their_minutes(tmp_path, card):
    given = []

    def start(name, setting, limit):
        given.append(limit)
        gpu.note(name, setting, gpu.DONE, seconds=100.0)

    assert gpu.main(arguments(tmp_path, "masked", "memory", minutes=3), start) == 0
    assert gpu.main(arguments(tmp_path, "worker", minutes=10), start) == 0
    assert gpu.main(arguments(tmp_path, "sharing", minutes=5.5), start) == 1
    assert given[:2] == pytest.approx([180, 180], abs=5)
    assert given[2:] == [gpu.LIMIT]
    assert said(tmp_path, "sharing")["why"] == "30 s are left, it needs 40; raise --minutes"


def test_what_a_part_lacks_is_said_aloud_and_the_others_go_on(tmp_path, card, monkeypatch, capsys):
    def start(name, setting, limit):
        gpu.note(name, setting, gpu.DONE, rows=[["what", "1.0", ""]])

    monkeypatch.setattr(gpu.shutil, "which", lambda name: None)
    assert gpu.main(arguments(tmp_path, "precision", "compiled", "masked"), start) == 0
    page, printed = (tmp_path / "out/gpu.md").read_text(), capsys.readouterr().out
    for part, why in (
        ("precision", "no CIFAKE; give its archive or folder to --cifake"),
        ("compiled", "no C++ compiler"),
    ):
        assert f"{part}: skipped: {why}\n" in printed
        assert f"| {part} | **skipped**: {why} |" in page
    assert "| masked | what | 1.0 |" in page


def test_an_archive_that_is_not_there_or_too_large_and_a_gpu_without_bf16(tmp_path, card, monkeypatch):
    part, archive = gpu.PARTS["precision"], tmp_path / "cifake.tar.xz"
    setting = gpu_parts.Setting(False, tmp_path, tmp_path, archive)
    assert gpu.lacks(part, setting, 720) == f"no CIFAKE: {archive} is not there"
    archive.touch()
    assert gpu.lacks(part, setting, 720) is None
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)
    assert gpu.lacks(part, setting, 720) == "Some GPU has no bf16"
    monkeypatch.setattr(gpu, "CARRIED", -1)
    assert "has more than" in gpu.lacks(part, setting, 720)


def test_without_a_gpu_every_part_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main(arguments(tmp_path), in_process) == 1
    page = (tmp_path / "out/gpu.md").read_text()
    assert page.count("**skipped**: no CUDA device") == len(gpu.PARTS)


def test_what_was_measured_is_not_written_over_elsewhere_nor_by_a_dry_run(tmp_path, card, monkeypatch):
    def start(name, setting, limit):
        gpu.note(name, setting, gpu.DONE, rows=[["what", "1.0", ""]])

    gpu.main(arguments(tmp_path, "masked"), start)
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    with pytest.raises(DetectorError, match=r"(?s)masked\.json: found .*Some GPU.*dry run.*another --out"):
        gpu.main(arguments(tmp_path, "masked", dry=True), in_process)
    monkeypatch.setattr(gpu, "where", lambda setting: "- Another GPU")
    with pytest.raises(DetectorError, match="Another GPU"):
        gpu.main(arguments(tmp_path), start)
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_cifake_is_read_from_its_archive_as_from_a_folder(tmp_path):
    folder = tmp_path / "DATASET"
    common.write_pictures(folder, {"train": 10, "test": 2}, 32)
    for place in sorted(folder.glob("*/*")):
        place.rename(place.with_name(place.name.upper()))
    archive = gpu.shutil.make_archive(str(tmp_path / "cifake"), "xztar", tmp_path, "DATASET")
    found = []
    for number, place in enumerate((folder, archive)):
        work = tmp_path / str(number)
        work.mkdir()
        setting = gpu_parts.Setting(True, tmp_path, work, gpu_parts.Path(place))
        train, valid, test, label = gpu_parts.cifake(setting)
        plan = setting.plan(32)
        assert [len(part(plan)) for part in (train, valid, test)] == [18, 2, 4]
        images = [images for images, _ in test(plan).evaluate(8)]
        found.append(sorted((int(one), float(image.sum())) for one, image in zip(label, images[0], strict=True)))
        assert sorted(label) == [0, 0, 1, 1]
    assert found[0] == found[1]


def test_a_part_that_takes_too_long_is_stopped(tmp_path):
    setting = gpu_parts.Setting(True, tmp_path, tmp_path, None)
    gpu.apart("masked", setting, 0.2)
    found = gpu.noted("masked", setting)
    assert (found["status"], found["why"]) == (gpu.FAILED, "stopped after 0 s")


def test_what_a_killed_training_and_two_workers_came_to_is_told(tmp_path, here):
    """The figures that a dry run leaves out; on a CPU a resumed training is the unbroken one."""
    setting = gpu_parts.Setting(True, tmp_path, tmp_path, None)
    resumed = [row[1:] for row in gpu_parts.resume(setting)]
    assert resumed == [("-9", "met"), ("1", "met"), ("0.00e+00", ""), ("0.00e+00", "")]
    assert next(gpu_parts.worker(setting))[1:] == ("2 and 0", "met"), "one after the other here"


def test_what_compiling_gives_is_ours_alone_and_by_the_clock_that_is_asked_for(
    tmp_path, here, capsys, monkeypatch
):
    ticks = iter(range(10**6))
    monkeypatch.setattr(step.time, "process_time", lambda: float(next(ticks)))
    args = gpu_parts.step_arguments(gpu_parts.Setting(True, tmp_path, tmp_path, None), 2)
    args.cpu_seconds = True
    step.compare_compiled(args)
    assert len(here) == 1, "one side of three is compiled"
    printed = capsys.readouterr().out
    assert printed.startswith("## Compiled step: resnet18, 32 px, batch 2, 1 thread(s)\n")
    assert "Milliseconds of the CPU a step" in printed
    for side in ("naive", "ours", "ours, compiled"):
        assert f"| {side} | 1,000 (1,000–1,000) | 1.00 (1.00–1.00) | 1.00 (1.00–1.00) |" in printed


@pytest.mark.long
def test_processes_beside_and_apart_are_processes(tmp_path):
    """One of two that train at the same time is killed in earnest, and goes on; a part runs by its command."""
    setting = gpu_parts.Setting(True, tmp_path, tmp_path, None)
    calls = [(gpu_parts.trained, (setting, tmp_path / name, name == "killed")) for name in ("killed", "other")]
    (killed, nothing), (code, other) = gpu_parts.beside(calls)
    assert (killed, nothing, code, other["before"]) == (-signal.SIGKILL, None, 0, 0)
    gone_on = gpu_parts.trained(setting, tmp_path / "killed")
    assert gone_on["before"] == 1
    assert gone_on["losses"] == other["losses"]
    gpu.apart("evaluation", setting, 120)
    found = gpu.noted("evaluation", setting)
    assert (found["status"], found["rows"][0][1]) == (gpu.DONE, gpu.NOT_MEASURED)
