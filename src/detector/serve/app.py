"""Web application of `detector serve`: a page and a JSON API that judge images.

Nothing of an image is written to a disk or a log.
"""

import asyncio
import base64
import dataclasses
import hashlib
import importlib.metadata
import io
import json
import logging
import re
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from detector.core.errors import DetectorError
from detector.imaging import decoding
from detector.predict.model import Model
from detector.serve import middleware, uploads
from detector.serve.uploads import Limits, RefusalError, Upload

log = logging.getLogger(__name__)

NOTE = (
    "An estimate by a small network, no proof: it errs on images like those it was tested on, and more on others."
)
SIDE = 512  # pixels; what the model looked at is shown no larger
YES, NO = frozenset({"true", "1", "yes", "on"}), frozenset({"false", "0", "no", "off"})
CODES = {404: "not_found", 405: "wrong_method"}


def page() -> tuple[bytes, str]:
    """The page, and the Content-Security-Policy under which nothing but its own script and style runs."""
    text = files("detector.serve").joinpath("page/index.html").read_text(encoding="utf-8")

    def hashes(tag: str) -> str:
        parts = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digests = (base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() for part in parts)
        return " ".join(f"'sha256-{digest}'" for digest in digests)

    policy = (
        f"default-src 'none'; script-src {hashes('script')}; style-src {hashes('style')}; img-src blob: data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return text.encode(), policy


def openapi(limits: Limits) -> dict:
    """OpenAPI description of the API, with this server's limits."""
    text = files("detector.serve").joinpath("page/openapi.json").read_text(encoding="utf-8")
    document = json.loads(text)
    document["info"]["version"] = importlib.metadata.version("detector")
    form = document["components"]["schemas"]["Form"]["properties"][uploads.FIELD]
    form["maxItems"] = limits.files
    document["components"]["schemas"]["Error"]["properties"]["code"]["enum"] = list(uploads.STATUSES)
    return document


class Service:
    """Request handlers. Images are judged in the threads of `pool`, all else in the event loop."""

    def __init__(self, model: Model, pool: Executor, limits: Limits):
        most = min(limits.pixels, model.preprocessing.max_pixels)
        self.model, self.limits = model, dataclasses.replace(limits, pixels=most)
        self.by = "by the model" if most < limits.pixels else "by --max-megapixels of the server"
        self.room = uploads.Room(limits)
        self.pool = pool
        self.page, self.policy = page()
        self.caveats = list(model.caveats)
        model.pixels(("", _blank()))  # raises DetectorError where what makes pixels is not installed
        try:
            from detector.predict import explanation  # imported here: it needs onnx, which takes a while

            explanation.check(model)  # also loads what it needs, once, before threads ask for it
            self.explains = True
        except DetectorError:
            self.explains = False
            self.caveats.append("it cannot show what it looked at: its last layers see the image as a whole")

    async def show_page(self, request: Request) -> Response:
        """GET /: the page."""
        return Response(self.page, media_type="text/html", headers={"Content-Security-Policy": self.policy})

    async def show_openapi(self, request: Request) -> Response:
        """GET /openapi.json: the description of the API."""
        return JSONResponse(openapi(self.limits))

    async def show_health(self, request: Request) -> Response:
        """GET /api/health: whether the server is up and what it is doing."""
        return JSONResponse({"status": "ok", "requests": self.room.requests})

    async def show_model(self, request: Request) -> Response:
        """GET /api/model: what the model is, its caveats and its card."""
        model, limits = self.model, self.limits
        return JSONResponse(
            {
                "model": model.name,
                "image_size": model.size,
                "looks": model.looks,
                "temperature": model.temperature,
                "band": band(model),
                "caveats": self.caveats,
                "note": NOTE,
                "card": model.card,
                "limits": {"bytes": limits.bytes, "pixels": limits.pixels, "files": limits.files},
            }
        )

    async def judge(self, request: Request) -> Response:
        """POST /api/images: the images of a form, judged: one result each, in their order.

        Raises `RefusalError` for a request that is not accepted.
        """
        explain = _flag("explain", request.query_params.get("explain", "false"))
        size = uploads.length(request.headers.get("content-length"), self.limits)
        with self.room.taken(size):
            try:
                async with asyncio.timeout(self.limits.seconds):
                    found = await uploads.read(request.headers.get("content-type"), request.stream(), self.limits)
            except TimeoutError:
                seconds = self.limits.seconds
                raise RefusalError("too_slow", f"the images did not arrive within {seconds:g} seconds") from None
            results = await self._results(found, explain, request)
        body = {"model": self.model.name, "note": NOTE, "results": results}
        errors = [result["error"] for result in results]
        if None in errors:
            return JSONResponse(body)
        return JSONResponse(body | {"error": errors[0]}, uploads.STATUSES[errors[0]["code"]])

    async def _results(self, found: list[Upload], explain: bool, request: Request) -> list[dict]:
        """One result for each image. Raises ClientDisconnect once the client is gone: what waits stays unread."""
        gone: asyncio.Future[Any] = asyncio.ensure_future(_hung_up(request))
        results: list[dict] = []
        try:
            # One at a time, so that a request of many images leaves threads to others.
            while found:
                work = self.pool.submit(self._one, found.pop(0), explain)
                answer = asyncio.wrap_future(work)
                try:
                    await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
                    if gone.done():
                        if not work.cancel():  # a thread has it, and its bytes, until it is done
                            await asyncio.wait({answer})
                        raise ClientDisconnect
                finally:
                    work.cancel()  # where this request is cancelled
                results.append(answer.result())
        finally:
            gone.cancel()
        return results

    def _one(self, upload: Upload, explain: bool) -> dict:
        """One result, as JSON has it. Never raises."""
        result: dict[str, Any] = {"name": upload.name, "verdict": None, "probability_fake": None, "logit": None}
        result |= {"why": None, "explanation": None, "error": None}
        try:
            self._check(upload.data)
            answer = self.model.judge(upload.data, name=upload.name, explain=explain and self.explains)
            if answer.error:
                raise RefusalError("not_an_image", answer.error)
            result |= {key: getattr(answer, key) for key in ("verdict", "probability_fake", "logit")}
            result["why"] = answer.why or None
            if answer.map is not None:
                result["explanation"] = picture(answer.map)
        except RefusalError as refusal:
            result["error"] = {"code": refusal.code, "message": refusal.message}
        except Exception as error:
            middleware.note(error)
            result |= dict.fromkeys(("verdict", "probability_fake", "logit", "why"))
            result["error"] = {
                "code": "internal",
                "message": "the server failed at this image; its log says where",
            }
        return result

    def _check(self, data: bytes) -> None:
        """Raises RefusalError for what the header alone gives away."""
        try:
            with decoding.opened(io.BytesIO(data), self.limits.pixels):
                pass
        except decoding.TooManyPixelsError as error:
            size, _, _ = str(error).partition(" pixels")
            raise RefusalError(
                "too_many_pixels", f"{size} pixels; an image may have {self.limits.pixels:,} in all, {self.by}"
            ) from None
        except decoding.BadImageError as error:
            raise RefusalError("not_an_image", str(error)) from None
        except Exception as error:  # Pillow's plug-ins raise almost anything on broken files
            raise RefusalError("not_an_image", decoding.reason(error, Path())) from None


def _flag(name: str, text: str) -> bool:
    """What a parameter of a request says. Raises `RefusalError` where it is neither yes nor no."""
    word = text.lower()
    if word not in YES | NO:
        raise RefusalError("malformed", f"found {name}={text[:20]!r}, expected true or false")
    return word in YES


def band(model: Model) -> list[float] | None:
    """Probabilities of fake between which a verdict is unsure; None for an old bundle without a band."""
    if model.band is None:
        return None
    return [model.probability_fake(model.band.real), model.probability_fake(model.band.fake)]


def _blank() -> bytes:
    with io.BytesIO() as out:
        Image.new("RGB", (8, 8)).save(out, "PNG")
        return out.getvalue()


def picture(pixels: np.ndarray) -> str:
    """Data URL of an image, from uint8 (height, width, 3)."""
    image, out = Image.fromarray(pixels), io.BytesIO()
    image.thumbnail((SIDE, SIDE))
    image.save(out, "PNG")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()


async def _hung_up(request: Request) -> None:
    """Returns when the client of a request that was read to its end has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _http_error(request: Request, error: HTTPException) -> Response:
    code = CODES.get(error.status_code, "malformed")
    refusal = RefusalError(code, f"{request.method} is not answered here; /openapi.json says what is")
    return middleware.refused(refusal, error.headers)  # Allow, of a wrong method


async def _gone(request: Request, error: ClientDisconnect) -> Response:
    return Response(status_code=499)  # nobody reads it


async def _failed(request: Request, error: Exception) -> Response:
    return middleware.refused(RefusalError("internal", "the server failed at this request; its log says where"))


def app(model: Model, *, pool: Executor, limits: Limits, names: Sequence[str] = ("localhost",)) -> ASGIApp:
    """Build the ASGI application. `names`: host names it answers to, beside IP addresses."""
    service = Service(model, pool, limits)
    routes = [
        Route("/", service.show_page),
        Route("/openapi.json", service.show_openapi),
        Route("/api/health", service.show_health),
        Route("/api/model", service.show_model),
        Route("/api/images", service.judge, methods=["POST"]),
    ]
    handlers: dict[Any, Callable] = {
        RefusalError: middleware.refuse,
        HTTPException: _http_error,
        ClientDisconnect: _gone,
    }
    handlers[Exception] = _failed
    return middleware.Guard(Starlette(routes=routes, exception_handlers=handlers), names)
