"""What a file says about itself before any pixel is decoded: size in pixels, format, hash."""

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import av
from PIL import Image

from detector import parallel

# Pillow reads by content, not by suffix: without this list a file named x.png could start Ghostscript.
# JPEG includes MPO, what phones write into .jpg files that hold a second picture.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")


@dataclass(frozen=True, slots=True)
class Header:
    """One file. Where `error` is not "", what could not be read is 0 or ""."""

    width: int = 0
    height: int = 0
    format: str = ""  # Pillow's name, or "MP4/<codec>"
    bytes: int = 0
    sha256: str = ""
    error: str = ""


class BadImage(Exception):
    """A file that is no image, is too large or has an unknown kind of pixels."""


@contextlib.contextmanager
def opened(file: str | os.PathLike | BinaryIO, max_pixels: int) -> Iterator[Image.Image]:
    """An image with its header read, nothing decoded.

    Raises BadImage for more than `max_pixels` pixels, and whatever Pillow raises for what it cannot read.
    Pillow's own limit (a warning, at twice the size an error) is off meanwhile: ours is in the config.
    """
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with Image.open(file, formats=FORMATS) as image:
            check_size(image.width, image.height, max_pixels)
            yield image
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Raises BadImage where there are more than `max_pixels` pixels, or none."""
    if width * height > max_pixels:
        raise BadImage(f"{width} x {height} pixels are more than data.max_pixels, {max_pixels}")
    if width * height == 0:
        raise BadImage(f"{width} x {height} pixels")


def read(path: Path, max_pixels: int, *, video: bool) -> Header:
    """The header of one file. Never raises: what is wrong with the file is in `error`."""
    size, digest = 0, ""
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            if video:
                width, height, kind = _video_header(path, max_pixels)
            else:
                file.seek(0)
                with opened(file, max_pixels) as image:
                    width, height, kind = image.width, image.height, image.format
        return Header(width, height, kind, size, digest)
    except Exception as error:  # Pillow's plug-ins raise almost anything on broken files
        return Header(bytes=size, sha256=digest, error=reason(error, path))


def read_chunk(root: Path, paths: Sequence[str], videos: Sequence[bool], max_pixels: int) -> list[Header]:
    """The headers of `root / path` for each path."""
    found = []
    for path, video in zip(paths, videos, strict=True):
        parallel.at(path)
        found.append(read(root / path, max_pixels, video=video))
    return found


def reason(error: Exception, path: Path) -> str:
    """One line about why a file is bad, without its absolute path: tables must not depend on the machine."""
    text = " ".join(str(error).replace(str(path), path.name).split())
    return text if isinstance(error, BadImage) else f"{type(error).__name__}: {text}"


def _video_header(path: Path, max_pixels: int) -> tuple[int, int, str]:
    with av.open(str(path)) as container:
        if not container.streams.video:
            raise BadImage("holds no video stream")
        codec = container.streams.video[0].codec_context
        check_size(codec.width, codec.height, max_pixels)
        return codec.width, codec.height, f"MP4/{codec.name}"
