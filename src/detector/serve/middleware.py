"""Request guards of `detector serve`: which requests are answered, and the errors for all others."""

import asyncio
import ipaddress
import logging
import re
import traceback
from collections.abc import Mapping, Sequence

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from detector.serve import uploads
from detector.serve.uploads import RefusalError

log = logging.getLogger(__name__)

READ = "detector.read"  # in a request's scope: whether its body was read to its end
DRAIN = 10.0  # seconds for the rest of a refused body


class Guard:
    """Middleware around the app: refuses other sites' requests, and adds the headers that all answers have.

    A page of another site can make a browser send images here or, once its name resolves to this machine (DNS
    rebinding), read the answers. So the Host must be an IP address or one of `names`, and the Origin, which
    browsers send along, must equal the Host.
    """

    HEADERS = (
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"cross-origin-resource-policy", b"same-origin"),
    )

    def __init__(self, app: ASGIApp, names: Sequence[str]):
        self.app, self.names = app, {name.lower() for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        started = False

        async def guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message["headers"], *self.HEADERS]
            await send(message)

        async def watched() -> Message:
            message = await receive()
            scope[READ] = message["type"] != "http.request" or not message.get("more_body")
            return message

        request = Request(scope, receive)
        host, origin = request.headers.get("host", ""), request.headers.get("origin")
        if not self._known(host):
            refusal = RefusalError(
                "wrong_host", "this server does not go by the name it was called by (see --name)"
            )
            return await refused(refusal)(scope, watched, guarded)
        if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
            refusal = RefusalError("wrong_origin", "pages of other sites may not ask this server")
            return await refused(refusal)(scope, watched, guarded)
        try:
            await self.app(scope, watched, guarded)
        except Exception as error:  # the app has answered; the server would log the error's text
            note(error)
        except asyncio.CancelledError:  # the server is told to stop, and this takes too long for it
            if not started:
                await refused(RefusalError("stopping", "the server is being stopped"))(scope, watched, guarded)

    def _known(self, host: str) -> bool:
        name = re.sub(r":\d+$", "", host).lower()
        try:
            ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
        except ValueError:
            return name in self.names
        return True


def note(error: Exception) -> None:
    """Log where an error came from. Not its text, which may hold what a client sent."""
    log.error("%s\n%s", type(error).__name__, "".join(traceback.format_tb(error.__traceback__)))


def refused(refusal: RefusalError, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """JSON answer for a refusal: its status, code and message."""
    if refusal.status == 503:
        headers = {"Retry-After": str(uploads.BUSY)}
    return JSONResponse(
        {"error": {"code": refusal.code, "message": refusal.message}}, refusal.status, headers=headers
    )


async def refuse(request: Request, error: RefusalError) -> Response:
    """Answer a refused request whose body may not have been read."""
    if error.code != "too_slow":  # it had its time
        await _drain(request)
    return refused(error)


async def _drain(request: Request) -> None:
    """Take the rest of a refused body and drop it: a browser that is still sending would never see the answer."""
    if request.method != "POST" or "expect" in request.headers or request.scope.get(READ):
        return
    try:
        async with asyncio.timeout(DRAIN):
            async for _ in request.stream():
                pass
    except (TimeoutError, ClientDisconnect):
        pass
