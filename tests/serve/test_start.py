"""`detector serve` that cannot start ends with status 2 and says what to do; one that others can reach warns of
that."""

import logging
import socket
import subprocess
import sys

import pytest
import uvicorn

from detector.imaging.preprocessing import Preprocessing
from detector.predict.model import Model
from detector.serve import server
from detector.serve.uploads import Limits
from tests.predict import test_model
from tests.support import served


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return served.write_bundle(tmp_path_factory.mktemp("serving") / "bundle")


def command(*options, code=""):
    """`detector serve` as a process that ends by itself."""
    return subprocess.run(
        [sys.executable, "-c", f"{code}\nfrom detector.cli import main\nmain.main()", "serve", *map(str, options)],
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_without_the_extra_the_remedy_is_named(bundle):
    done = command("--model", bundle, code="import sys\nsys.modules['uvicorn'] = None")
    assert done.returncode == 2
    assert "found no package uvicorn" in done.stderr
    assert "pip install '.[app]'" in done.stderr


def test_what_a_model_needs_and_is_not_installed_is_named(tmp_path):
    how = Preprocessing(8, face_crop=True, max_pixels=10_000)
    test_model.brightness(tmp_path, preprocessing={"faces": how.record()})
    done = command("--model", tmp_path, code="import sys\nsys.modules['cv2'] = None")
    assert done.returncode == 2
    assert "found no package cv2, which face_crop needs" in done.stderr


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--port", "70000", "--port: expected a whole number from 0 to 65535, found '70000'"),
        ("--port", "-5", "--port: expected a whole number from 0 to 65535, found '-5'"),
        ("--port", "http", "--port: expected a whole number from 0 to 65535, found 'http'"),
        ("--host", "300.1.1.1", "--host 300.1.1.1: found no such address, expected an address of this machine"),
        ("--host", "a" * 70, "found no such address, expected an address of this machine"),
        (
            "--host",
            "192.0.2.1",
            "cannot listen there (Cannot assign requested address); choose another --host, an",
        ),
    ],
)
def test_where_nobody_can_listen_the_option_is_named(bundle, option, value, words):
    done = command("--model", bundle, option, value)
    assert done.returncode == 2
    assert words in done.stderr


def test_a_port_that_is_taken_is_named(bundle):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = command("--model", bundle, "--port", port)
    assert done.returncode == 2
    assert f"--port {port}: cannot listen there (Address already in use); choose another --port" in done.stderr


@pytest.mark.parametrize(("host", "warned"), [("127.0.0.1", False), ("localhost", False), ("0.0.0.0", True)])
def test_a_host_that_others_reach_is_warned_of(bundle, monkeypatch, caplog, host, warned):
    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: None)
    with caplog.at_level(logging.WARNING):
        server.run(Model.open(bundle, threads=1), host=host, port=0, workers=1, limits=Limits())
    assert ("other machines reach this server" in caplog.text) == warned
