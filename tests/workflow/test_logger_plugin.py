"""A run shows a line for each stage and all that went wrong, on a terminal and in a file; logs have the rest."""

import io
import json
import logging
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from snakemake_interface_logger_plugins.common import LogEvent

import snakemake_logger_plugin_detector as plugin
from tests.support import warm
from tests.support.workspace import ROOT, Workspace

STAGE = """
import argparse, logging, sys, time
from detector.core import job
from detector.core.errors import DetectorError


def main(args):
    logging.info("an ordinary line")
    if args.kind == "odd":
        logging.warning("an odd thing")
    if args.kind == "bad":
        raise DetectorError("x.yaml: found 1, expected 2\\n  and a second line")
    if args.kind == "slow":
        time.sleep(60)
    open(args.out, "w").close()

parser = argparse.ArgumentParser()
parser.add_argument("kind")
parser.add_argument("out")
job.run(main, parser)
"""
RULES = """
rule all:
    input:
        expand("out/{kind}-{seed}", kind=config["kinds"], seed=[0]),

rule work:
    output:
        "out/{kind}-{seed}",
    log:
        "logs/{kind}-{seed}.log",
    shell:
        "python stage.py {wildcards.kind} {output} --log {log}"
"""
PLAN = "2 stages to run: 2 work"


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "stage.py").write_text(STAGE)
    (tmp_path / "Snakefile").write_text(RULES)
    return tmp_path


def command(*arguments: str, kinds: str, python: str = sys.executable) -> list[str]:
    """Snakemake with the project's profile."""
    run = [python, "-m", "snakemake", "--cores", "1", "--config", f"kinds=[{kinds}]"]
    return [*run, "--workflow-profile", str(ROOT / "profiles/default"), *arguments]


def environment() -> dict[str, str]:
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def lines(folder: Path, *arguments: str, kinds: str) -> tuple[int, list[str]]:
    done = subprocess.run(
        command(*arguments, kinds=kinds, python=warm.python()),
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout.splitlines()


def test_a_file_gets_a_line_for_each_stage_with_its_time_and_its_warnings(folder):
    code, shown = lines(folder, kinds="good,odd")
    assert code == 0, shown
    assert shown[1] == PLAN
    stage = re.compile(r" +\d+:\d\d +(\d) of 2  work (\w+) seed 0 +(\d+\.\d s|\d+:\d\d)")
    found = {line: stage.fullmatch(line) for line in shown}
    assert [(match[1], match[2]) for match in found.values() if match] in (
        *([("1", "good"), ("2", "odd")], [("1", "odd"), ("2", "good")]),
    )
    (odd,) = (number for number, match in enumerate(found.values()) if match and match[2] == "odd")
    assert shown[odd + 1].strip() == "warning: an odd thing"
    assert any(re.fullmatch(r"all 2 stages are done, in \d+:\d\d", line) for line in shown)
    log = Path(re.fullmatch(r"Complete log\(s\): (.*)", shown[-1])[1])
    assert "rule work:" in log.read_text()
    assert len(shown) == 7, shown
    assert "an ordinary line" in (folder / "logs/good-0.log").read_text()


def test_a_failure_names_stage_log_and_message_and_the_others_go_on(folder):
    code, shown = lines(folder, kinds="bad,good")
    assert code == 1
    at = next(number for number, line in enumerate(shown) if line.startswith("FAILED  work bad seed 0 after "))
    assert shown[at + 1] == "  its log, logs/bad-0.log:"
    assert re.fullmatch(r"    \d\d:\d\d:\d\d ERROR x\.yaml: found 1, expected 2", shown[at + 2])
    assert shown[at + 3] == "      and a second line"
    assert "\n".join(shown).count("expected 2") == 1
    assert any("1 of 2" in line and "work good seed 0" in line for line in shown)
    assert "At least one job did not complete successfully." in shown
    assert not any("\x1b" in line for line in shown)


def test_a_stage_that_was_told_to_stop_has_not_failed(folder):
    """Ctrl-C reaches Snakemake and its stages at once."""
    run = subprocess.Popen(
        command(kinds="slow"),
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    log = folder / "logs/slow-0.log"
    while run.poll() is None and not (log.exists() and "ordinary" in log.read_text()):
        time.sleep(0.05)
    os.killpg(run.pid, signal.SIGINT)
    shown = run.communicate()[0]
    assert run.returncode != 0
    assert "FAILED" not in shown
    assert re.search(
        r"^stopped  work slow seed 0 after .*\n    \S+ ERROR stopped by SIGINT", shown, re.MULTILINE
    ), shown


@pytest.mark.parametrize(("told", "first"), [(True, "stopped"), (False, "FAILED")])
def test_a_stage_without_a_log_has_failed_unless_all_were_told_to_stop(tmp_path, told, first):
    handler = object.__new__(plugin.LogHandler)
    handler._stream, handler._plain = io.StringIO(), logging.NullHandler()
    handler._full = handler._terminal = handler._ending = False
    handler._jobs = {}
    events = [{"msg": f"{plugin.ENDING}, this might take some time."}] if told else []
    error = {"event": LogEvent.JOB_ERROR, "jobid": 1, "rule_name": "scan", "log": [str(tmp_path / "no.log")]}
    for event in (*events, {"msg": "", "aux": {}, "shellcmd": "", **error}):
        handler._emit(logging.makeLogRecord({"levelno": logging.INFO, **event}))
    assert handler._stream.getvalue().startswith(f"{first}  scan\n")


def test_an_error_before_the_first_stage_is_shown(folder):
    (folder / "Snakefile").write_text('raise WorkflowError("data is missing")\n')
    code, shown = lines(folder, kinds="good")
    assert code == 1
    assert any("data is missing" in line for line in shown)


def test_what_stages_should_take_is_announced_and_what_is_left_said(folder, monkeypatch):
    """Of one that is long; the last stage leaves nothing, and a file that cannot be read changes nothing."""
    (folder / "expected.json").write_text(json.dumps({"stages": {"work": 100}, "others": 1}))
    monkeypatch.setenv("DETECTOR_EXPECTED", str(folder / "expected.json"))
    code, shown = lines(folder, kinds="good,odd")
    assert code == 0, shown
    assert (
        sum(bool(re.fullmatch(r" +0:\d\d +now  work (good|odd) seed 0 +about 2 min", line)) for line in shown) == 2
    )
    ends = [line for line in shown if " of 2  work" in line]
    assert re.search(r" s +about (\d+ s|[12] min) left$", ends[0])
    assert "left" not in ends[1]
    for text in ("{", "[]", '{"stages": {"work": "long"}, "others": 1}'):
        (folder / "expected.json").write_text(text)
        assert plugin._Rest.read(str(folder / "expected.json")) == plugin._Rest.read(None)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--logger-detector-full", ("an ordinary line", "rule work:")),
        ("--dry-run", ("job      count", "rule work:")),
    ],
)
def test_all_of_it_is_there_on_request(folder, option, words):
    code, shown = lines(folder, option, kinds="good")
    assert code == 0, shown
    assert all(any(word in line for line in shown) for word in words), shown


def test_a_terminal_gets_the_same_and_ctrl_c_stops_within_ten_seconds(folder):
    log, shown, begun = folder / "logs/slow-0.log", b"", 0.0
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(folder)
        run = command(kinds="good,slow")
        os.execve(run[0], run, environment())
    with suppress(OSError):  # EIO: the end
        while True:
            if select.select([terminal], [], [], 0.1)[0]:
                shown += os.read(terminal, 1 << 16)
            if not begun and log.is_file() and "ordinary" in log.read_text():
                os.write(terminal, b"\x03")
                begun = time.monotonic()
    _, status = os.waitpid(process, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 1
    assert time.monotonic() - begun < 10
    text = shown.decode().replace("\r", "").replace("\x1b[K", "")
    assert PLAN in text
    assert "stopped by SIGINT" in text
    assert "Traceback" not in text
    assert "an ordinary line" not in text


def test_the_profile_of_a_plain_run_asks_for_it(tmp_path):
    """And the tests' own runs ask for everything, which they read."""
    profile = yaml.safe_load((ROOT / "profiles/default/config.yaml").read_text())
    assert profile["logger"] == "detector"
    assert "--logger-detector-full" in Workspace(tmp_path / "copy").command()
