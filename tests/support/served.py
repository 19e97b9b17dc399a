"""A hand-made bundle, written in milliseconds, and `detector serve` around it in a process of its own.

Its network takes what is bright for real and what is dark for fake; grey is a close call."""

import contextlib
import http.client
import io
import json
import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper
from PIL import Image

from detector.core.files import sha256
from detector.export import onnx_model
from detector.imaging import preprocessing
from detector.predict import bundles

SIZE, CELL, SCALE = 32, 4, 10.0
FACTS = {
    "arch": "resnet18",
    "branch": "l1-40",
    "seed": 0,
    "precision": "fp32",
    "image_size": SIZE,
    "temperature": 1.5,
    "band": {"fake": {"cut": -1.0, "bound": 0.01}, "real": {"cut": 1.0, "bound": 0.01}, "wanted": 0.01},
    "preprocessing": {"tiny": preprocessing.Preprocessing(SIZE).record()},
    "labels": {"0": "fake", "1": "real"},
}
CARD = """# Real or AI-generated? resnet18, l1-40, seed 0

A network of **two** filters; `model.onnx` is all there is.

## Use

```
python example.py PICTURE

sha256sum -c SHA256SUMS
```

Then look.

## Results on test images

| test set | accuracy |
| --- | --- |
| `tiny` | 71.0 % (60.0–80.0) |

## Meant for, and not

Meant for tests. <b>Not for accusing anyone</b>.

## Limits

- It looks at brightness
  alone.
- A verdict is no proof.
"""


def write_bundle(folder: Path, cell: int = CELL) -> Path:
    """A bundle of one file, its card and checksums; its network answers logit = 10 · (mean brightness − 1/2).

    cell: side in pixels of what one position of its last layer sees."""
    weight = np.full((2, 3, cell, cell), 1 / (255 * 3 * cell**2), np.float32)
    weight[1] *= -1
    arrays = {
        "weight": weight,
        "bias": np.array([-0.5, 0.5], np.float32),
        "out": np.array([[SCALE], [-SCALE]], np.float32),
        "axes": np.array([2, 3], np.int64),
        "last": np.array([1], np.int64),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "weight", "bias"], ["maps"], strides=[cell, cell]),
        helper.make_node("Relu", ["maps"], ["features"]),
        helper.make_node("ReduceMean", ["features", "axes"], ["pooled"], keepdims=0),
        helper.make_node("Gemm", ["pooled", "out"], ["column"]),
        helper.make_node("Squeeze", ["column", "last"], ["logit"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", onnx.TensorProto.UINT8, ["n", SIZE, SIZE, 3])],
        [helper.make_tensor_value_info("logit", onnx.TensorProto.FLOAT, ["n"])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", onnx_model.OPSET)], ir_version=10)
    onnx_model.set_facts(model, FACTS)
    folder.mkdir(parents=True)
    onnx_model.write(folder / "model.onnx", model)
    (folder / "card.md").write_text(CARD)
    sums = [f"{sha256(folder / name)}  {name}\n" for name in ("card.md", "model.onnx")]
    (folder / bundles.SUMS).write_text("".join(sums))
    return folder


def encoded(brightness: float, size: tuple[int, int] = (48, 40), format: str = "PNG", seed: int = 0) -> bytes:
    """A noisy picture of this mean brightness, 0 to 1, brightest in its middle."""
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid(np.linspace(-1, 1, size[0]), np.linspace(-1, 1, size[1]))
    hill = np.exp(-3 * (x**2 + y**2))
    values = 255 * brightness + 20 * (hill - hill.mean())[..., None] + rng.normal(0, 5, (size[1], size[0], 3))
    with io.BytesIO() as out:
        Image.fromarray(values.clip(0, 255).astype(np.uint8)).save(out, format)
        return out.getvalue()


REAL, FAKE, UNSURE = encoded(0.9), encoded(0.1), encoded(0.5)


@contextlib.contextmanager
def serving(
    bundle: Path, *options: str, folder: Path, preexec: Callable[[], None] | None = None
) -> Iterator[tuple[int, subprocess.Popen]]:
    """`detector serve` on a free port: the port and the process. What it prints goes to `folder`/serve.txt."""
    log = folder / "serve.txt"
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "detector.cli.main", "serve", "--model", str(bundle), "--port", "0", *options],
        env={**os.environ, "TMPDIR": str(folder / "tmp")},
        stdout=writer,
        stderr=writer,
        preexec_fn=preexec,
    )
    os.close(writer)
    with open(reader, "rb", buffering=0) as output:
        text = b""
        while not (found := re.search(rb"open http://\S+:(\d+)", text)):
            piece = output.read(1 << 16)
            assert piece, f"it did not start:\n{text.decode()}"
            text += piece
        try:
            yield int(found[1]), process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.wait(20)
            log.write_bytes(text + output.read())


def form(pictures: Mapping[str, bytes], field: str = "images") -> tuple[bytes, str]:
    """The body of a form with these files, and its Content-Type."""
    boundary = uuid.uuid4().hex
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n'.encode()
        + b"Content-Type: application/octet-stream\r\n\r\n"
        + data
        + b"\r\n"
        for name, data in pictures.items()
    ]
    return b"".join([*parts, f"--{boundary}--\r\n".encode()]), f"multipart/form-data; boundary={boundary}"


def ask(
    port: int, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def judge(port: int, pictures: Mapping[str, bytes], query: str = "", **headers: str) -> tuple[int, dict]:
    """POST images: the status and the answer."""
    body, kind = form(pictures)
    status, _, answer = ask(port, "POST", f"/api/images{query}", body, {"Content-Type": kind} | headers)
    return status, json.loads(answer)
