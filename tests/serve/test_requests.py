"""`detector serve` gives the command's answers, refuses each kind of bad request with a status and code of its
own, holds no more than its limits, and leaves nothing of an image on a disk or in its log."""

import asyncio
import base64
import dataclasses
import http.client
import io
import json
import os
import re
import resource
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files

import jsonschema
import pytest
from PIL import Image

from detector.predict.model import Model
from detector.serve import app as app_module
from detector.serve import uploads
from detector.serve.uploads import Limits
from tests.properties import test_bombs
from tests.support import served
from tests.support.served import FAKE, REAL, UNSURE

PICTURES = {
    "real.png": REAL,
    "fake.jpg": served.encoded(0.1, format="JPEG"),
    "unsure.webp": served.encoded(0.5, format="WEBP"),
    "large.bmp": served.encoded(0.8, (300, 500), "BMP"),
}
LIMITS = Limits(pixels=10_000, bytes=100_000, files=3, requests=2, held=150_000, seconds=0.3)
POOL = ThreadPoolExecutor(1)


def no_files():
    """In the server's process: it can make no file longer than nothing."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return served.write_bundle(tmp_path_factory.mktemp("serving") / "bundle")


@pytest.fixture(scope="module")
def model(bundle):
    return Model.open(bundle, threads=1)


@pytest.fixture(scope="module")
def server(bundle, tmp_path_factory):
    """(port, process, its folder)"""
    folder = tmp_path_factory.mktemp("server")
    (folder / "tmp").mkdir()

    with served.serving(bundle, "--max-mb", "5", folder=folder, preexec=no_files) as (port, process):
        yield port, process, folder


@pytest.fixture
def small(model):
    """The application with small limits, without a network."""
    return app_module.app(model, pool=POOL, limits=LIMITS)


def call(
    app, method="POST", path="/api/images", body=b"", pause=0.0, query=b"", cut=None, gone=lambda: False, **headers
):
    """One request to an application: (status, headers, JSON). Pieces of the body come `pause` seconds apart; after
    `cut` seconds the request is cancelled; once `gone` the client has hung up."""
    if method == "POST":
        headers = {"content-length": str(len(body))} | headers
    headers = {"host": "127.0.0.1:8000"} | headers
    scope = {"type": "http", "method": method, "path": path, "query_string": query, "http_version": "1.1"}
    scope["headers"] = [
        (key.replace("_", "-").encode(), value.encode()) for key, value in headers.items() if value
    ]
    pieces = [body[start : start + 40_000] for start in range(0, len(body), 40_000)] or [b""]
    sent = []

    async def receive():
        await asyncio.sleep(pause)
        while not pieces:  # as a server does that waits for the client to hang up
            await asyncio.sleep(0.01)
            if gone():
                return {"type": "http.disconnect"}
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    async def send(message):
        sent.append(message)

    async def run():
        task = asyncio.ensure_future(app(scope, receive, send))
        if cut is not None:
            await asyncio.sleep(cut)
            task.cancel()
        await asyncio.wait_for(task, 20)

    asyncio.run(run())
    body = b"".join(message.get("body", b"") for message in sent[1:])
    answered = {key.decode(): value.decode() for key, value in sent[0]["headers"]}
    return sent[0]["status"], answered, json.loads(body or b"null")


def send(app, pictures, field="images", **options):
    body, kind = served.form(pictures, field)
    return call(app, body=body, **{"content-type": kind} | options)


def schema(name: str) -> jsonschema.Draft202012Validator:
    document = app_module.openapi(Limits())
    return jsonschema.Draft202012Validator({"$ref": f"#/components/schemas/{name}", **document})


def told(answer: tuple[int, dict, dict]) -> tuple[int, str]:
    """Status and code of a refusal that is as documented."""
    status, headers, body = answer
    schema("Refusal").validate(body)
    assert ("Retry-After".lower() in headers) == (status == 503)
    documented = app_module.openapi(Limits())["paths"]["/api/images"]["post"]["responses"]
    assert str(status) in documented
    return status, body["error"]["code"]


# --- answers


def test_answers_are_those_of_the_model(server, model):
    status, body = served.judge(server[0], PICTURES)
    assert status == 200
    schema("Answer").validate(body)
    assert [result["verdict"] for result in body["results"]] == ["real", "fake", "unsure", "real"]
    for (name, data), result in zip(PICTURES.items(), body["results"], strict=True):
        answer = model.judge(data, name=name)
        assert (result["name"], result["verdict"], result["logit"]) == (name, answer.verdict, answer.logit)
        assert (result["probability_fake"], result["why"]) == (answer.probability_fake, answer.why or None)
        assert result["explanation"] is None


def test_an_explanation_is_a_picture(server):
    status, body = served.judge(server[0], {"a.png": REAL}, "?explain=true")
    schema("Answer").validate(body)
    kind, _, text = body["results"][0]["explanation"].partition(",")
    with Image.open(io.BytesIO(base64.b64decode(text))) as image:
        assert (status, kind, image.format, image.mode) == (200, "data:image/png;base64", "PNG", "RGB")


def test_a_model_that_has_no_places_to_show_says_so(tmp_path):
    """Its last layer sees the image as a whole, as that of a ResNet does at 32 pixels."""
    whole = Model.open(served.write_bundle(tmp_path / "bundle", cell=served.SIZE), threads=1)
    app = app_module.app(whole, pool=POOL, limits=LIMITS)
    status, _, body = send(app, {"a.png": REAL}, query=b"explain=true")
    assert (status, body["results"][0]["verdict"], body["results"][0]["explanation"]) == (200, "real", None)
    assert "cannot show what it looked at" in call(app, "GET", "/api/model")[2]["caveats"][0]


def test_a_bad_file_among_good_ones_has_its_own_error(server):
    status, body = served.judge(server[0], {"a.png": REAL, "b.png": b"no", "c.png": FAKE[:-200], "d.png": UNSURE})
    schema("Answer").validate(body)
    results = body["results"]
    assert (status, [result["verdict"] for result in results]) == (200, ["real", None, None, "unsure"])
    assert [result["error"] and result["error"]["code"] for result in results] == [
        None,
        *["not_an_image"] * 2,
        None,
    ]


@pytest.mark.parametrize("name", ["ü;=ñ 图.png", "../../etc/passwd", "<b>x</b>", "a" * 500])
def test_a_name_is_given_back_and_no_more(server, name):
    status, body = served.judge(server[0], {name: REAL})
    assert (status, body["results"][0]["name"]) == (200, name[: uploads.NAME_LENGTH])


def test_the_model_and_the_page_are_shown(server, model):
    for path, kind in (("/api/model", "Model"), ("/api/health", "Health")):
        status, _, body = served.ask(server[0], "GET", path)
        assert status == 200
        schema(kind).validate(json.loads(body))
    shown = json.loads(served.ask(server[0], "GET", "/api/model")[2])
    assert (shown["card"], shown["limits"]["bytes"], shown["looks"]) == (model.card, 5_000_000, 1)
    assert shown["band"] == pytest.approx([1 / (1 + 2.718281828 ** (cut / 1.5)) for cut in (1, -1)])
    status, headers, body = served.ask(server[0], "GET", "/")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'none'" in headers["content-security-policy"]


def test_the_page_asks_nobody_else():
    """No address but in the text that people copy, and nothing but its own script and style."""
    text = files("detector").joinpath("serve/page/index.html").read_text()
    assert re.findall(r"https?://[\w.]+|//\w+\.\w+|@import|url\(", text) == []
    assert re.findall(r"<(?:script|style|link|img|iframe)\b[^>]*>", text) == [
        '<link rel="icon" href="data:,">',
        "<style>",
        "<script>",
    ]


def test_the_description_is_whole(server):
    """Every reference in it leads somewhere, and every answered path is in it."""
    document = json.loads(served.ask(server[0], "GET", "/openapi.json")[2])
    for reference in re.findall(r'"\$ref": ?"#/([^"]+)"', json.dumps(document)):
        part = document
        for key in reference.split("/"):
            part = part[key]
    assert document["components"]["schemas"]["Error"]["properties"]["code"]["enum"] == list(uploads.STATUSES)
    for name in document["components"]["schemas"]:
        jsonschema.Draft202012Validator.check_schema(document["components"]["schemas"][name])
    assert {path for path in document["paths"] if path.startswith("/api/")} == {
        "/api/images",
        "/api/model",
        "/api/health",
    }


# --- refusals

REFUSED = {
    "bytes": (lambda app: send(app, {"a": bytes(200_000)}), (413, "too_many_bytes")),
    "files": (lambda app: send(app, dict.fromkeys("abcd", REAL)), (413, "too_many_files")),
    "pixels": (lambda app: send(app, {"a": served.encoded(0.5, (101, 100))}), (422, "too_many_pixels")),
    "bomb": (lambda app: send(app, {"a": test_bombs.png(2**31 - 1, 2**31 - 1)}), (422, "too_many_pixels")),
    "text": (lambda app: send(app, {"a.png": b"hello"}), (415, "not_an_image")),
    "cut": (lambda app: send(app, {"a.png": REAL[:-300]}), (415, "not_an_image")),
    "nothing": (lambda app: send(app, {"a.png": b""}), (415, "not_an_image")),
    "json": (lambda app: call(app, body=b"{}", content_type="application/json"), (415, "not_a_form")),
    "no type": (lambda app: call(app, body=REAL), (415, "not_a_form")),
    "no parts": (lambda app: send(app, {}), (400, "malformed")),
    "field": (lambda app: send(app, {"a": REAL}, field="file"), (400, "malformed")),
    "no form": (
        lambda app: call(app, body=REAL, content_type="multipart/form-data; boundary=x"),
        (400, "malformed"),
    ),
    "boundary": (
        lambda app: call(app, body=REAL, content_type="multipart/form-data; boundary=" + "x" * 300),
        (400, "malformed"),
    ),
    "no length": (lambda app: send(app, {"a": REAL}, **{"content-length": ""}), (411, "length_required")),
    "endless length": (lambda app: send(app, {"a": REAL}, **{"content-length": "9" * 5000}), (400, "malformed")),
    "odd length": (lambda app: send(app, {"a": REAL}, **{"content-length": "-5"}), (400, "malformed")),
    "explain": (lambda app: send(app, {"a": REAL}, query=b"explain=please"), (400, "malformed")),
    "slow": (lambda app: send(app, {"a": bytes(90_000)}, pause=0.2), (408, "too_slow")),
    "host": (lambda app: send(app, {"a": REAL}, host="evil.example"), (421, "wrong_host")),
    "origin": (lambda app: send(app, {"a": REAL}, origin="https://evil.example"), (403, "wrong_origin")),
    "no origin": (lambda app: send(app, {"a": REAL}, origin="null"), (403, "wrong_origin")),
}


@pytest.mark.parametrize("name", REFUSED)
def test_each_refusal_has_its_status_and_code(small, name):
    ask, expected = REFUSED[name]
    assert told(ask(small)) == expected


def test_what_is_no_image_is_worded_as_predict_words_it(small, model, tmp_path):
    for content in (b"hello", b"", REAL[:-300], b"\xff\x0a\xfa\x7f\x01"):
        (tmp_path / "a.png").write_bytes(content)
        error = send(small, {"a.png": content})[2]["error"]
        assert error["message"] == model.judge(tmp_path / "a.png").error


@pytest.mark.parametrize(
    ("spelling", "expected"), [("1", True), ("TRUE", True), ("yes", True), ("0", False), ("No", False)]
)
def test_an_explanation_is_asked_for_in_the_usual_spellings(small, spelling, expected):
    (result,) = send(small, {"a": REAL}, query=f"explain={spelling}".encode())[2]["results"]
    assert (result["explanation"] is not None) == expected


def test_the_option_behind_a_limit_is_named(model):
    for own, words in ((10_000, "by --max-megapixels"), (10**9, "by the model")):
        app = app_module.app(model, pool=POOL, limits=dataclasses.replace(LIMITS, pixels=own))
        large = model.preprocessing.max_pixels if own > 10**6 else 10_000
        picture = test_bombs.png(large + 1, 1)
        assert words in send(app, {"a": picture})[2]["error"]["message"]
    message = send(app, {"a": bytes(200_000)})[2]["error"]["message"]
    assert "fewer images or smaller ones, or start the server with a larger --max-mb" in message


def test_a_form_that_is_cut_is_refused(small):
    body, kind = served.form({"a.png": REAL})
    assert told(call(small, body=body[:-60], content_type=kind)) == (400, "malformed")


def test_other_paths_and_methods_are_refused(small):
    assert call(small, "GET", "/nothing")[0] == 404
    status, headers, _ = call(small, "GET")
    assert (status, headers["allow"]) == (405, "POST")
    for path in ("/", "/openapi.json", "/api/health", "/api/model"):
        status, headers, _ = call(small, "DELETE", path)
        assert (status, sorted(headers["allow"].split(", "))) == (405, ["GET", "HEAD"])


def test_who_is_too_slow_hears_of_it_at_once(small):
    """Not after another ten seconds, in which the rest of a refused body is taken."""
    begun = time.monotonic()
    assert told(send(small, {"a": bytes(90_000)}, pause=3.0)) == (408, "too_slow")
    assert LIMITS.seconds <= time.monotonic() - begun < 3


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ("filename*=UTF-8''caf%C3%A9.png", "café.png"),
        ("filename*=iso-8859-1'en'caf%e9.png", "café.png"),
        ('filename*0="a-long-"; filename*1="name.png"', "a-long-name.png"),
        ("filename=\"plain.png\"; filename*=UTF-8''caf%C3%A9.png", "plain.png"),
        ("filename*=no-such-charset''a%ff.png", "aÿ.png"),
        ("filename*=UTF-8''" + "a" * 500, "a" * uploads.NAME_LENGTH),
    ],
)
def test_a_name_in_the_extended_form_is_one_too(small, disposition, name):
    body, kind = served.form({"a.png": REAL})
    assert body.count(b'filename="a.png"') == 1
    body = body.replace(b'filename="a.png"', disposition.encode())
    status, _, answer = call(small, body=body, content_type=kind)
    assert (status, answer["results"][0]["name"]) == (200, name)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8000", "[::1]:8000", "192.168.1.7:80", "box"])
def test_addresses_and_own_names_are_answered(model, host):
    app = app_module.app(model, pool=POOL, limits=LIMITS, names=("localhost", "box"))
    assert call(app, "GET", "/api/health", host=host, origin=f"http://{host}")[0] == 200


def test_too_much_at_once_is_told_when_to_come_again(bundle, tmp_path):
    """Two clients that stop half-way fill a queue of two; once they are gone, others are served."""
    (tmp_path / "tmp").mkdir()
    with served.serving(bundle, "--queue", "2", folder=tmp_path) as (port, _):
        idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(2)]
        body, kind = served.form({"a.png": REAL})
        for client in idle:
            client.sendall(
                b"POST /api/images HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"
                b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
            )
        until(lambda: json.loads(served.ask(port, "GET", "/api/health")[2])["requests"] == 2)
        status, headers, answer = served.ask(port, "POST", "/api/images", body, {"Content-Type": kind})
        assert (status, json.loads(answer)["error"]["code"]) == (503, "too_busy")
        assert int(headers["Retry-After"]) > 0
        for client in idle:
            client.close()
        until(lambda: json.loads(served.ask(port, "GET", "/api/health")[2])["requests"] == 0)
        assert served.judge(port, {"a.png": REAL})[0] == 200


def until(reached, seconds=10):
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_no_more_bytes_are_held_than_there_is_room_for():
    room = uploads.Room(Limits(held=100, requests=9))
    with (
        room.taken(60),
        room.taken(40),
        pytest.raises(uploads.RefusalError, match="too much at once"),
        room.taken(1),
    ):
        pass
    assert (room.bytes, room.requests) == (0, 0)
    with room.taken(500):  # one request alone always may, else none ever could
        pass


def test_a_refused_body_is_taken_to_its_end(server):
    """A browser that is still sending would see a broken connection, not the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server[0], timeout=20)
    for _ in range(2):  # the second time on the same connection
        body, kind = served.form({"a.png": bytes(20_000_000)})
        connection.request("POST", "/api/images", body, {"Content-Type": kind})
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())["error"]["code"]) == (413, "too_many_bytes")
    connection.close()


# --- what is left


def test_nothing_of_an_image_is_written_or_logged(bundle, tmp_path):
    """The server cannot write a byte to a file, and does not try to: also for 4 MB, also for bad files."""
    (tmp_path / "tmp").mkdir()

    noise = io.BytesIO()
    Image.frombytes("RGB", (1200, 1200), os.urandom(1200 * 1200 * 3)).save(noise, "PNG")
    # A description said to be longer than the file: Pillow would warn of it.
    tag = b"\x01\x0e\0\x02\0\x0f\x42\x40\0\0\0\x1a"
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + tag + b"\0\0\0\0"
    odd = io.BytesIO()
    Image.new("RGB", (20, 20)).save(odd, "JPEG", exif=exif)
    with pytest.warns(UserWarning, match="larger than file"), Image.open(odd) as image:
        image.getexif()
    with served.serving(bundle, "--max-mb", "5", folder=tmp_path, preexec=no_files) as (port, _):
        pictures = {
            "private-large.png": noise.getvalue(),
            "private-bad.png": b"private" * 9,
            "private-ok.png": REAL,
            "private-odd.jpg": odd.getvalue(),
        }
        status, body = served.judge(port, pictures, "?explain=true")
        assert status == 200
        assert [result["error"] is None for result in body["results"]] == [True, False, True, True]
        assert served.judge(port, {"private.png": b"private"})[0] == 415
    assert list((tmp_path / "tmp").iterdir()) == []
    lines = (tmp_path / "serve.txt").read_text().splitlines()
    assert [re.sub(r"^[\d:]+ \w+ ", "", line).split(" ")[0] for line in lines] == ["model:", "open", "stopped"]


class Changed:
    """A model of which some things are others."""

    def __init__(self, model: Model, **others):
        self._model = model
        vars(self).update(others)

    def __getattr__(self, name):
        return getattr(self._model, name)


def test_a_bug_is_logged_without_what_was_sent(model, caplog):
    def judge(data, name, explain):
        raise ValueError(f"private {name}")

    app = app_module.app(Changed(model, judge=judge), pool=POOL, limits=LIMITS)
    assert told(send(app, {"secret.png": REAL})) == (500, "internal")
    assert "ValueError" in caplog.text
    assert "private" not in re.sub(r"raise ValueError.*", "", caplog.text)
    assert "secret" not in caplog.text


def test_a_bug_elsewhere_is_answered_and_logged_without_its_text(model, caplog, monkeypatch):
    app = app_module.app(model, pool=POOL, limits=LIMITS)
    monkeypatch.setattr(uploads, "length", lambda *_: [].index("private"))
    assert told(send(app, {"secret.png": REAL})) == (500, "internal")
    assert "ValueError" in caplog.text
    assert "is not in list" not in caplog.text


def test_nothing_more_is_judged_for_a_client_that_is_gone(model):
    begun, judged, released = [], [], threading.Event()

    def judge(data, name, explain):
        begun.append(name)
        answer = model.judge(data, name=name)
        time.sleep(0.1)
        judged.append(name)
        return answer

    app = app_module.app(Changed(model, judge=judge), pool=POOL, limits=LIMITS)
    pictures = {"1.png": REAL, "2.png": REAL, "3.png": REAL}
    assert send(app, pictures)[0] == 200
    assert judged == list(pictures)
    begun.clear()
    judged.clear()
    assert send(app, pictures, gone=lambda: bool(begun))[0] == 499
    assert judged == ["1.png"]  # which a thread had: its bytes count until it is done
    POOL.submit(released.wait, 20)  # all threads are busy with others' images
    assert send(app, {"late.png": REAL}, gone=lambda: True)[0] == 499
    released.set()
    POOL.submit(int).result()
    assert judged == ["1.png"]
    assert call(app, "GET", "/api/health")[2]["requests"] == 0  # its room is given back


def test_a_stop_waits_for_the_request_under_way(bundle, tmp_path):
    (tmp_path / "tmp").mkdir()
    body, kind = served.form({"a.png": REAL})
    with served.serving(bundle, folder=tmp_path) as (port, process):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.putrequest("POST", "/api/images")
        connection.putheader("Content-Type", kind)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body[:100])
        until(lambda: json.loads(served.ask(port, "GET", "/api/health")[2])["requests"] == 1)
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        connection.send(body[100:])
        assert connection.getresponse().status == 200
        connection.close()
        assert process.wait(10) == 0


def test_a_request_that_takes_too_long_for_a_stop_is_told(model):
    """After its few seconds the server cancels what is under way."""
    released = threading.Event()
    app = app_module.app(
        Changed(model, judge=lambda data, name, explain: released.wait(20)), pool=POOL, limits=LIMITS
    )
    try:
        assert told(send(app, {"a.png": REAL}, cut=0.2)) == (503, "stopping")
    finally:
        released.set()
