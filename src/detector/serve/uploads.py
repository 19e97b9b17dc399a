"""Uploads: images of a multipart form, held in memory only, with limits on size and number."""

from collections.abc import AsyncIterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

FIELD = "images"  # the form's field; one part per image
NAME_LENGTH = 200  # characters of a file's name that are kept
BUSY = 2  # seconds after which a refused client may ask again
SMALLER = "send fewer images or smaller ones, or start the server with a larger --max-mb"
# Code of a refusal → status. The codes are what programs look at: two of them share a status.
STATUSES = {
    "malformed": 400,
    "wrong_origin": 403,
    "not_found": 404,
    "wrong_method": 405,
    "too_slow": 408,
    "length_required": 411,
    "too_many_bytes": 413,
    "too_many_files": 413,
    "not_a_form": 415,
    "not_an_image": 415,
    "wrong_host": 421,
    "too_many_pixels": 422,
    "internal": 500,
    "too_busy": 503,
    "stopping": 503,
}


class RefusalError(Exception):
    """Refusal of a request or an image: `code`, of STATUSES, for programs and `message` for people."""

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code, self.message, self.status = code, message, STATUSES[code]


@dataclass(frozen=True)
class Limits:
    """Limits on uploads: per image, per request, and over all requests at the same time."""

    pixels: int = 50_000_000  # of one image
    bytes: int = 32 << 20  # of one request
    files: int = 16  # of one request
    requests: int = 64  # at the same time, those that wait included
    held: int = 256 << 20  # bytes of all requests at the same time
    seconds: float = 30.0  # that sending one request may take


@dataclass(frozen=True)
class Upload:
    """One file as it was sent; `name` is the client's word, used for nothing but the answer."""

    name: str
    data: bytes


class Room:
    """Account of the requests in progress and the bytes reserved for them. Not thread-safe."""

    def __init__(self, limits: Limits):
        self.limits, self.requests, self.bytes = limits, 0, 0

    @contextmanager
    def taken(self, size: int) -> Iterator[None]:
        """Context in which `size` bytes are reserved. Raises `RefusalError` where there is no room for them."""
        if self.requests >= self.limits.requests or self.bytes + size > max(self.limits.held, size):
            raise RefusalError("too_busy", f"too much at once; ask again in {BUSY} seconds")
        self.requests, self.bytes = self.requests + 1, self.bytes + size
        try:
            yield
        finally:
            self.requests, self.bytes = self.requests - 1, self.bytes - size


def length(header: str | None, limits: Limits) -> int:
    """Length of a body in bytes, by its Content-Length.

    Raises `RefusalError` where that is missing, no number or too large.
    """
    if header is None:
        raise RefusalError("length_required", "send the length of the body (Content-Length)")
    if not (header.isascii() and header.isdigit() and len(header) < 20):  # Python refuses thousands of digits
        raise RefusalError("malformed", "Content-Length is not a number of bytes")
    if int(header) > limits.bytes:
        raise RefusalError(
            "too_many_bytes", f"{int(header):,} bytes; one request may have {limits.bytes:,}: {SMALLER}"
        )
    return int(header)


class Form:
    """Parser of one multipart body that arrives in pieces: `write` each, then `close` for the files."""

    def __init__(self, content_type: str | None, limits: Limits):
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise RefusalError(
                "not_a_form", f"send multipart/form-data with one part named {FIELD!r} for each image"
            )
        self.files: list[Upload] = []
        self._limits, self._ended = limits, False
        self._headers: dict[bytes, bytes] = {}
        self._field = self._value = b""
        self._data = bytearray()  # not a list: a part may come in millions of pieces of a byte each
        callbacks = {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._add("_field", data[start:end]),
            "on_header_value": lambda data, start, end: self._add("_value", data[start:end]),
            "on_header_end": self._header,
            "on_part_data": lambda data, start, end: self._data.extend(data[start:end]),
            "on_part_end": self._end,
            "on_end": self._finish,
        }
        try:
            self._parser = MultipartParser(options[b"boundary"], callbacks, limits.bytes)
        except FormParserError:
            raise RefusalError("malformed", "the form's boundary is too long") from None

    def write(self, data: bytes) -> None:
        """Parse the next piece. Raises `RefusalError` for what is no such form, and for too many files."""
        try:
            self._parser.write(data)
        except FormParserError:
            raise RefusalError(
                "malformed", "the form cannot be read: it does not have the parts that it says"
            ) from None

    def close(self) -> list[Upload]:
        """Finish the form; returns its files. Raises `RefusalError` where it ended too early or holds none."""
        if not self._ended:
            raise RefusalError("malformed", "the form ends before its last part does")
        if not self.files:
            raise RefusalError("malformed", f"the form holds no image; its field is named {FIELD!r}")
        return self.files

    def _begin(self) -> None:
        if len(self.files) == self._limits.files:
            raise RefusalError(
                "too_many_files", f"more than {self._limits.files} images in one request: send fewer"
            )
        self._headers, self._data = {}, bytearray()

    def _add(self, name: str, data: bytes) -> None:
        setattr(self, name, getattr(self, name) + data)

    def _header(self) -> None:
        self._headers[self._field.lower()] = self._value
        self._field = self._value = b""

    def _end(self) -> None:
        disposition = self._headers.get(b"content-disposition", b"").decode("latin-1")
        _, options = parse_options_header(disposition)
        field = options.get(b"name", b"").decode("utf-8", "replace")
        name = (
            options[b"filename"].decode("utf-8", "replace") if b"filename" in options else _extended(disposition)
        )
        if field != FIELD or name is None:
            raise RefusalError("malformed", f"a part is no file of the field {FIELD!r}")
        self.files.append(Upload(name[:NAME_LENGTH], bytes(self._data)))
        self._data = bytearray()

    def _finish(self) -> None:
        self._ended = True


def _extended(disposition: str) -> str | None:
    """The name in `filename*=UTF-8''…`, which forms should not have and some clients send; None without one."""
    message = Message()
    message["content-disposition"] = disposition
    return message.get_filename()


async def read(content_type: str | None, body: AsyncIterable[bytes], limits: Limits) -> list[Upload]:
    """Read the files of a request's body. Raises `RefusalError` at the first byte too many."""
    form, size = Form(content_type, limits), 0
    async for data in body:
        size += len(data)
        if size > limits.bytes:  # a server that checks Content-Length lets none through
            raise RefusalError("too_many_bytes", f"more than {limits.bytes:,} bytes in one request: {SMALLER}")
        if data:
            form.write(data)
    return form.close()
