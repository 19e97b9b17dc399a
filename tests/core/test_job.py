"""A failing script prints one clear line and exits with a code for the kind of failure, whatever happens to its
streams, and leaves no thread behind."""

import ast
import errno
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from tests.support import ROOT

PROGRAM = """
import argparse, pathlib, resource
from detector.core import files, job
from detector.core.errors import DetectorError


def main(args):
    {body}

job.run(main, argparse.ArgumentParser())
"""


LEVELS = ("info", "warning")


def run(body, *arguments, cwd):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(body=body), *arguments], capture_output=True, text=True, cwd=cwd
    )
    return done.returncode, done.stderr


def test_bad_input_is_one_line_and_2(tmp_path):
    code, errors = run("raise DetectorError('x.yaml: found 1, expected 2')", "--log", "job.log", cwd=tmp_path)
    assert code == 2
    assert errors.count("\n") == 1
    assert errors.endswith("ERROR x.yaml: found 1, expected 2\n")
    assert (tmp_path / "job.log").read_text() == errors


def test_a_name_that_is_no_text_is_in_the_log(tmp_path):
    code, errors = run(
        "raise DetectorError(chr(0xdce9) + chr(0xe9) + '.png: wrong')", "--log", "job.log", cwd=tmp_path
    )
    assert code == 2
    assert (tmp_path / "job.log").read_text(encoding="utf-8").endswith("ERROR \\udce9é.png: wrong\n")


def test_the_log_is_ours_and_what_libraries_warn_of(tmp_path):
    """How a library gets on is not for a reader who asked us."""
    body = "; ".join(
        f"logging.getLogger({name!r}).{level}('{level} of {name}')"
        for name in ("onnx_ir.passes", "detector.export.making", "__main__", None)
        for level in LEVELS
    )
    code, errors = run(f"import logging; {body}", "--log", "job.log", cwd=tmp_path)
    assert code == 0
    said = [line.split(" ", 2)[2] for line in errors.splitlines()]
    ours = [f"{level} of {name}" for name in ("detector.export.making", "__main__", None) for level in LEVELS]
    assert said == ["warning of onnx_ir.passes", *ours]
    assert (tmp_path / "job.log").read_text() == errors


def test_a_bug_shows_its_traceback_and_1(tmp_path):
    code, errors = run("1 / 0", cwd=tmp_path)
    assert code == 1
    assert "Traceback" in errors
    assert "this is a bug" in errors


@pytest.mark.parametrize(("module", "extra"), [("torch.nn", "pipeline"), ("uvicorn", "app")])
def test_a_package_of_an_extra_that_is_missing_is_one_line_that_names_it(tmp_path, module, extra):
    code, errors = run(f"import sys; sys.modules['{module}'] = None; import {module}", cwd=tmp_path)
    assert code == 2
    assert errors.count("\n") == 1
    assert f"found no package {module.split('.')[0]}, which" in errors
    assert f"the extra `{extra}`: pip install '.[{extra}]'" in errors


def test_a_module_that_no_extra_brings_is_a_bug(tmp_path):
    code, errors = run("import numpy.nothing", cwd=tmp_path)
    assert code == 1
    assert "Traceback" in errors


WRITES = {
    "JSON": "files.write_json('out/file', ['x' * 9999])",
    "weights": "import torch; from detector.models.checkpoints import save_weights; "
    "save_weights('out/file', {'a': torch.ones(9999)})",
}


@pytest.mark.parametrize("kind", WRITES)
def test_a_write_that_does_not_fit_is_one_line_and_leaves_nothing(tmp_path, kind):
    """A limit on the size of files stands for the full disk: the same path through the code, without root."""
    limit = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); "
    code, errors = run(limit + WRITES[kind], cwd=tmp_path)
    assert code == 2, errors
    assert errors.count("\n") == 1
    assert "out/file: File too large" in errors
    assert "run again" in errors
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT])
def test_a_disk_s_refusal_names_the_file_and_what_to_do(tmp_path, number):
    body = f"with files.replacing('out/table.csv') as part: raise OSError({number}, '{os.strerror(number)}')"
    code, errors = run(body, cwd=tmp_path)
    assert code == 2
    assert errors.count("\n") == 1
    assert f"out/table.csv: {os.strerror(number)}; " in errors


HUGE = 1 << 50
WANTS_MEMORY = {
    "Python": "raise MemoryError",
    "numpy": f"import numpy; numpy.ones({HUGE})",
    "torch": f"import torch; torch.ones({HUGE})",
    "CUDA": "import torch; raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 9 GiB.')",
    "cuDNN": "raise RuntimeError('cuDNN error: CUDNN_STATUS_ALLOC_FAILED')",
    "ONNX Runtime": "raise Exception('[ONNXRuntimeError] : 6 : Status Message: std::bad_alloc')",
    "system": "raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))",
}


@pytest.mark.parametrize("kind", WANTS_MEMORY)
def test_want_of_memory_is_one_line_that_says_what_to_change(tmp_path, kind):
    code, errors = run("import errno, os; " + WANTS_MEMORY[kind], "--log", "job.log", cwd=tmp_path)
    assert code == 2, errors
    assert errors.count("\n") == 1
    assert "this is a bug" not in errors
    for word in ("out of memory", "mem_mb", "runtime.evaluation_batch", "images.size"):
        assert word in errors
    assert (tmp_path / "job.log").read_text() == errors


def test_an_error_that_only_speaks_of_memory_is_a_bug(tmp_path):
    code, errors = run(
        "raise RuntimeError('memory format option is only supported by strided tensors')", cwd=tmp_path
    )
    assert code == 1
    assert "Traceback" in errors


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("(pathlib.Path('f').touch(), files.write_json('f/x', 1))", "f: File exists; name a folder"),
        ("(pathlib.Path('d').mkdir(), open('d', 'w'))", "d: Is a directory; name a file"),
        ("(pathlib.Path('f').touch(), open('f/x', 'w'))", "f/x: Not a directory; name a place below a folder"),
        ("open('x' * 999, 'w')", "File name too long; choose a shorter name"),
    ],
)
def test_a_name_that_cannot_be_is_one_line(tmp_path, body, words):
    code, errors = run(body, cwd=tmp_path)
    assert (code, errors.count("\n")) == (2, 1), errors
    assert words in errors


def test_a_log_that_is_a_folder_is_one_line(tmp_path):
    code, errors = run("pass", "--log", ".", cwd=tmp_path)
    assert (code, errors.count("\n")) == (2, 1), errors
    assert "Is a directory; name a file" in errors


SAYS = "job.say('→ ' + 'a long answer\\n' * 9999)"


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path):
    program = PROGRAM.format(body=SAYS)
    line = f'"{sys.executable}" -c "$0" | head -n 1; exit ${{PIPESTATUS[0]}}'
    done = subprocess.run(["bash", "-c", line, program], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "→ a long answer\n", "")


def test_letters_that_the_output_lacks_are_escaped_and_bytes_of_names_stay(tmp_path):
    for encoding in ("latin-1", "ascii", "cp1252", "utf-8"):
        body = "job.say('a → é \\udcff')"
        program = PROGRAM.format(body=body)
        environment = {**os.environ, "PYTHONIOENCODING": encoding}
        done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True)
        assert (done.returncode, done.stderr) == (0, b"")
        own = "a → é ".encode(encoding, "backslashreplace")
        assert done.stdout == own + b"\xff\n"


@pytest.mark.parametrize(
    ("streams", "words"),
    [(">&-", "standard output is closed"), ("> /dev/full", "standard output: No space left on device")],
)
def test_an_answer_that_cannot_be_given_is_one_line_and_2(streams, words):
    for body in (SAYS, "job.say('short')"):
        done = subprocess.run(
            ["bash", "-c", f'"{sys.executable}" -c "$0" {streams}', PROGRAM.format(body=body)],
            *(),
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert words in done.stderr


def test_help_without_a_reader_is_no_error():
    line = f'"{sys.executable}" -c "$0" --help | true; exit ${{PIPESTATUS[0]}}'
    done = subprocess.run(["bash", "-c", line, PROGRAM.format(body="pass")], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_files_do_not_become_the_streams_that_were_closed(tmp_path):
    body = "print(open('x', 'w').fileno() > 2, *map(os.readlink, ('/proc/self/fd/0', '/proc/self/fd/2')))"
    program = PROGRAM.replace("import argparse", "import os, argparse").format(body=body)
    line = f'cd "$1" && "{sys.executable}" -c "$0" <&- 2>&-'
    done = subprocess.run(["bash", "-c", line, program, tmp_path], stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (0, b"True /dev/null /dev/null\n")


# Registered before all others, so called last.
THREADS = """
import atexit, signal, threading
atexit.register(lambda: print([thread.name for thread in threading.enumerate()]))
"""


@pytest.mark.parametrize("parent", [True, False])
def test_no_thread_is_left_when_python_ends(parent):
    """One that wakes up while Python is taken down can crash it, some time, somewhere."""
    body = "from detector.core import progress; list(map(progress.bar(3).update, range(3)))"
    environment = {**os.environ, **({"DETECTOR_PARENT": str(os.getpid())} if parent else {})}
    command = [sys.executable, "-c", THREADS + PROGRAM.format(body=body)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "['MainThread']\n", "")


def test_a_stop_is_enforced_until_the_last_thread_has_ended():
    """The main thread does as it is told; another one does not, and Python waits for it."""
    body = (
        "import time, threading; threading.Thread(target=time.sleep, args=(60,)).start(); print(1, flush=True); "
    )
    body += "time.sleep(60)"
    program = "from detector.core import signals\nsignals.GRACE = 0.5\n" + PROGRAM.format(body=body)
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.readline()
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 75
    assert time.monotonic() - begun < 20
    assert b"the last saved state counts" in errors


def test_who_waits_for_others_may_take_longer_to_end():
    body = """import time
    signals.await_others(60)
    try:
        print(1, flush=True)
        time.sleep(60)
    finally:
        time.sleep(1.5)"""
    program = "from detector.core import signals\nsignals.GRACE = 0.2\n" + PROGRAM.format(body=body)
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 75
    assert b"the same command goes on" in errors, errors


def test_one_module_makes_all_bars():
    """tqdm starts a thread with its first bar, also a hidden one, unless told not to, which `progress` does."""
    library = ROOT / "src/detector"
    makes = re.compile(r"\bt(qdm|range)\(")
    makers = [
        path.name for path in library.rglob("*.py") if makes.search(ast.unparse(ast.parse(path.read_text())))
    ]
    assert makers == ["progress.py"]
