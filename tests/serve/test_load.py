"""`detector serve` under many clients fails no request, answers as `detector predict` and keeps no memory; the
load test would detect a wrong answer."""

import io
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from benchmarks import serving as bench
from detector.predict.model import Model
from tests.serve.test_requests import PICTURES
from tests.support import ROOT, served
from tests.support.served import REAL

CLIENTS, SECONDS = 32, 4


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return served.write_bundle(tmp_path_factory.mktemp("serving") / "bundle")


@pytest.fixture(scope="module")
def model(bundle):
    return Model.open(bundle, threads=1)


@pytest.fixture(scope="module")
def server(bundle, tmp_path_factory):
    """(port, process)"""
    folder = tmp_path_factory.mktemp("server")
    (folder / "tmp").mkdir()
    with served.serving(bundle, "--max-mb", "5", folder=folder) as (port, process):
        yield port, process


def test_the_memory_of_large_images_is_given_back(server):
    port, process = server
    with io.BytesIO() as out:
        Image.new("RGB", (4000, 3000)).save(out, "PNG")
        large = out.getvalue()
    before = bench.resident(process.pid)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: served.judge(port, {"a.png": large})[0], range(2)))
    assert answers == [200, 200]
    assert bench.resident(process.pid) - before < 24  # MiB


def test_many_clients_at_once(server, bundle, tmp_path):
    """Nothing fails, answers are those of `detector predict`, memory stays flat.

    A full minute of it: python -m benchmarks.serving."""
    port, process = server
    for name, data in PICTURES.items():
        (tmp_path / name).write_bytes(data)
    expected = bench.predicted(bundle, [tmp_path / name for name in PICTURES])
    found = bench.load(port, process.pid, PICTURES, expected, CLIENTS, SECONDS)
    assert (found.failures, found.different) == ([], 0)
    assert len(found.milliseconds) >= bench.LEAST * CLIENTS
    assert found.growth < bench.FLAT, found.memory


def test_the_benchmark_prints_its_section(bundle):
    options = ["--model", bundle, "--seconds", "1", "--clients", "2", "--pictures", "2", "--size", "32"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.serving", *map(str, options)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "## Serving" in done.stdout
    assert re.search(r"\| 0 \| 0 \| \d+ \| -?\d", done.stdout), done.stdout


@pytest.mark.parametrize("wrong", [{"verdict": "fake"}, {"why": "because"}, {"logit": 1.0}])
def test_the_load_would_show_a_wrong_answer(server, model, wrong):
    expected = vars(model.judge(REAL)) | wrong
    found = bench.load(server[0], server[1].pid, {"a.png": REAL}, {"a.png": expected}, 2, 0.2)
    assert found.different == len(found.milliseconds) > 0
