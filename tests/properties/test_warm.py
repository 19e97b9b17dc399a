"""A program that is run by the warm Python does what it does by a cold one; it holds the libraries alone."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support import ROOT, warm

TOLD = """
import json, os, sys
print(json.dumps([sys.argv, os.getcwd(), os.environ["SAID"], sys.path[:3], __name__, sys.stdin.read()]))
print("aside", file=sys.stderr)
"""
SUBPROCESS = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}


@pytest.mark.parametrize("safe", ["", "1"])
@pytest.mark.parametrize("how", [["{folder}/told.py"], ["-m", "told"], ["-c", TOLD]])
def test_it_is_called_as_python_is(how, safe, tmp_path):
    (tmp_path / "told.py").write_text(TOLD)
    environment = {**os.environ, "SAID": "→", "PYTHONPATH": str(tmp_path), "PYTHONSAFEPATH": safe}
    words = [word.format(folder=tmp_path) if "{folder}" in word else word for word in (*how, "-x", "ö y")]
    cold, found = (
        subprocess.run([python, *words], cwd=ROOT, env=environment, input="given", **SUBPROCESS)
        for python in (sys.executable, warm.python())
    )
    assert found.returncode == 0, found.stderr
    assert (found.stdout, found.stderr) == (cold.stdout, cold.stderr)


@pytest.mark.parametrize(
    "ending",
    [
        *(
            "pass",
            "raise SystemExit(7)",
            "raise SystemExit('said')",
            "raise ValueError(3)",
            "import sys; sys.exit()",
        ),
        *("import os; os.abort()", "import atexit; atexit.register(print, 'last')"),
        "import threading, time; threading.Thread(target=lambda: (time.sleep(0.2), print('late'))).start()",
    ],
)
def test_it_ends_as_python_does(ending, tmp_path):
    (tmp_path / "end.py").write_text(ending)
    cold, found = (
        subprocess.run([python, tmp_path / "end.py"], **SUBPROCESS) for python in (sys.executable, warm.python())
    )
    assert found.returncode == cold.returncode
    assert found.stdout == cold.stdout
    assert found.stderr.splitlines()[-1:] == cold.stderr.splitlines()[-1:]


def test_signals_reach_the_one_that_works_and_nobody_outlives_the_one_that_was_called(tmp_path):
    body = "import os, signal, time\nsignal.signal(signal.SIGTERM, lambda *_: os.write(1, b'heard\\n'))\n"
    (tmp_path / "wait.py").write_text(f"{body}print(os.getpid(), flush=True)\nwhile True: time.sleep(0.05)")
    called = subprocess.Popen([warm.python(), tmp_path / "wait.py"], stdout=subprocess.PIPE, text=True)
    working = int(called.stdout.readline())
    called.terminate()
    assert called.stdout.readline() == "heard\n"
    called.kill()
    assert called.wait() == -signal.SIGKILL
    end = time.monotonic() + 30
    while Path(f"/proc/{working}").exists():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_it_holds_what_is_large_and_nothing_of_the_project(tmp_path):
    (tmp_path / "held.py").write_text("import sys; print(*sorted({name.split('.')[0] for name in sys.modules}))")
    found = subprocess.run([warm.python(), tmp_path / "held.py"], check=True, **SUBPROCESS).stdout.split()
    assert {"torch", "snakemake", "pandas"} <= set(found)
    assert not {"detector", "tests", "benchmarks", "snakemake_logger_plugin_detector"} & set(found)
