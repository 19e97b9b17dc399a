"""A script's failure is one clear line and an exit code that says of what kind it was."""

import errno
import os
import subprocess
import sys

import pytest

PROGRAM = """
import argparse, pathlib, resource
from detector import entry, files
from detector.errors import DetectorError

def main(args):
    {body}

entry.run(main, argparse.ArgumentParser())
"""


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
    "weights": "import torch; from detector.checkpoints import save_weights; "
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
