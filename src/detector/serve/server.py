"""Server process of `detector serve`: socket, workers, memory, and the run until a signal."""

import errno
import ipaddress
import logging
import os
import socket
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import uvicorn

from detector.core import machine, signals
from detector.core.errors import DetectorError
from detector.predict.model import Model
from detector.serve.app import app
from detector.serve.uploads import Limits

log = logging.getLogger(__name__)
ADDRESSES = "an address of this machine (127.0.0.1, ::1, one of its own, or 0.0.0.0 for all) or a name of one"
CLOSING = 4  # seconds for requests under way when the server is told to stop


def bound(host: str, port: int) -> socket.socket:
    """Open a listening socket; port 0: any that is free. Raises `DetectorError` where that fails."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    except (OSError, UnicodeError):
        raise DetectorError(
            f"--host {host}: found no such address, expected {ADDRESSES}; without --host this machine alone "
            "reaches it"
        ) from None
    try:
        return socket.create_server((host, port), family=family, backlog=256)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else error  # its own text names the address once more
        other = f"--host, {ADDRESSES}" if error.errno == errno.EADDRNOTAVAIL else "--port"
        raise DetectorError(
            f"--host {host} --port {port}: cannot listen there ({why}); choose another {other}"
        ) from None


def is_local(host: str) -> bool:
    """Whether only programs on this machine can reach the host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def run(model: Model, *, host: str, port: int, workers: int, limits: Limits, names: Sequence[str] = ()) -> None:
    """Serve until SIGINT or SIGTERM; requests in progress are finished, within CLOSING seconds."""
    machine.return_freed_memory()  # of two large images it would hold a gigabyte for ever
    warnings.filterwarnings("ignore", module=r"PIL\.")  # they tell of an image's metadata
    listener, pool = bound(host, port), ThreadPoolExecutor(workers, "judge")
    if not is_local(host):
        log.warning(
            "--host %s: other machines reach this server, which asks nobody who they are and encrypts nothing",
            host,
        )
    shown = f"[{host}]" if ":" in host else host
    config = uvicorn.Config(
        app(model, pool=pool, limits=limits, names=("localhost", host, socket.gethostname(), *names)),
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=max(256, 4 * limits.requests),  # of connections, those that send nothing included
        timeout_graceful_shutdown=CLOSING,
    )
    log.info("model: %s", model.name)
    for caveat in model.caveats:
        log.warning("%s", caveat)
    log.info("open http://%s:%d (Ctrl-C stops it)", shown, listener.getsockname()[1])
    with listener:
        try:
            uvicorn.Server(config).run(sockets=[listener])
        except signals.StoppedError as stop:
            log.info("stopped by %s", stop)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # images of requests that CLOSING was too short for
