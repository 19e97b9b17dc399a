"""What a file says about itself before any pixel is decoded: size in pixels, format, JPEG settings, EXIF, hash."""

import contextlib
import hashlib
import os
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import BinaryIO

import av
from PIL import Image, JpegImagePlugin

from detector import parallel

# Pillow reads by content, not by suffix: without this list a file named x.png could start Ghostscript.
# JPEG includes MPO, what phones write into .jpg files that hold a second picture.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
CONTAINERS = ("mov", "mp4", "matroska", "webm", "mpegts", "h264", "avi")  # of FFmpeg's names, those of videos
MAX_SCANS = 100  # of a JPEG; programs write about ten
START_OF_SCAN, END_OF_IMAGE = b"\xff\xda", b"\xff\xd9"
NEXT_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)
# The luma table of ITU-T T.81, annex K.1, in any order: what libjpeg scales for each quality.
LUMA = (
    *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56),
    *(14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
)
SUBSAMPLING = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}


_limit, _inside = threading.Lock(), []  # Pillow's own limit, once for each image that is open


@dataclass(frozen=True, slots=True)
class Header:
    """One file. Where `error` is not "", what could not be read is 0 or ""."""

    width: int = 0
    height: int = 0
    format: str = ""  # Pillow's name, or "MP4/<codec>"
    bytes: int = 0
    sha256: str = ""
    mode: str = ""  # Pillow's: channels and bits, such as RGB, RGBA, L, I;16
    quantisation: float = float("nan")  # mean of a JPEG's luma table; NaN for other formats
    quality: int = 0  # the libjpeg quality, 1 to 100, whose table is nearest in the mean; 0 for other formats
    subsampling: str = ""  # of a JPEG's colour: "4:4:4", "4:2:2", "4:2:0" or "other"
    exif: bool = False
    error: str = ""


class BadImage(Exception):
    """A file that is no image, is too large or has an unknown kind of pixels."""


class TooManyPixels(BadImage):
    """A file that is refused by its header, before anything is decoded."""


@contextlib.contextmanager
def opened(file: str | os.PathLike | BinaryIO, max_pixels: int) -> Iterator[Image.Image]:
    """An image with its header read, nothing decoded.

    Raises BadImage for more than `max_pixels` pixels or a JPEG of absurdly many scans, and whatever Pillow raises
    for what it cannot read.
    Pillow's own limit (a warning, at twice the size an error) is off meanwhile: ours is in the config.
    """
    with _without_pillows_limit(), Image.open(file, formats=FORMATS) as image:
        check_size(image.width, image.height, max_pixels)
        if image.format in ("JPEG", "MPO"):
            check_scans(image.fp)
        yield image


@contextlib.contextmanager
def _without_pillows_limit() -> Iterator[None]:
    """It is one number for all threads: the first one in takes it off, the last one out puts it back."""
    with _limit:
        _inside.append(_inside[0] if _inside else Image.MAX_IMAGE_PIXELS)
        Image.MAX_IMAGE_PIXELS = None
    try:
        yield
    finally:
        with _limit:
            limit = _inside.pop()
            if not _inside:
                Image.MAX_IMAGE_PIXELS = limit


@contextlib.contextmanager
def opened_video(path: str | os.PathLike, max_pixels: int | None) -> Iterator[av.container.InputContainer]:
    """A video with at least one video stream, whose decoder refuses frames of more than `max_pixels` pixels.

    Raises BadImage where there is no such stream or the header names more pixels, and av.FFmpegError.
    """
    limit = {} if max_pixels is None else {"max_pixels": str(max_pixels)}
    # Without a list FFmpeg reads by content too: a text file named x.mp4 can be a list of other files to read.
    options = {"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": "file"}
    with av.open(str(path), options=options | limit) as container:
        if not container.streams.video:
            raise BadImage("holds no video stream")
        codec = container.streams.video[0].codec_context
        if max_pixels is not None:
            check_size(codec.width, codec.height, max_pixels)
        codec.options = limit  # later frames may be larger than the header says
        yield container


def check_scans(file: BinaryIO) -> None:
    """Raises BadImage for a JPEG of more than MAX_SCANS scans: each, a few bytes long, paints all pixels anew.

    Goes from marker to marker, as far as the first picture of the file goes: thumbnails and appended videos,
    whose bytes can look like anything, are no scans. Leaves the file where it was.
    """
    before, scans = file.tell(), 0
    file.seek(2)
    while (marker := file.read(2))[:1] == b"\xff" and marker != END_OF_IMAGE and scans <= MAX_SCANS:
        if marker == b"\xff\xff":  # a fill byte
            file.seek(-1, os.SEEK_CUR)
            continue
        file.seek(max(int.from_bytes(file.read(2)) - 2, 0), os.SEEK_CUR)
        if marker == START_OF_SCAN:
            scans += 1
            while block := file.read(1 << 16):
                # In compressed data 0xFF is followed by 0x00 or a restart mark; anything else is the next marker.
                if found := NEXT_MARKER.search(block):
                    file.seek(found.start() - len(block), os.SEEK_CUR)
                    break
                if block.endswith(b"\xff") and len(block) > 1:
                    file.seek(-1, os.SEEK_CUR)
    file.seek(before)
    if scans > MAX_SCANS:
        raise BadImage(f"a JPEG of more than {MAX_SCANS} scans: no program for images makes that")


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Raises BadImage where there are more than `max_pixels` pixels, or none."""
    if width * height > max_pixels:
        raise TooManyPixels(f"{width} x {height} pixels are more than data.max_pixels, {max_pixels}")
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
                return Header(*_video_header(path, max_pixels), size, digest)
            file.seek(0)
            with opened(file, max_pixels) as image:
                header = Header(image.width, image.height, image.format, size, digest)
                return replace(header, mode=image.mode, exif="exif" in image.info, **_jpeg(image))
    except Exception as error:  # Pillow's plug-ins raise almost anything on broken files
        return Header(bytes=size, sha256=digest, error=reason(error, path))


def read_chunk(root: Path, paths: Sequence[str], videos: Sequence[bool], max_pixels: int) -> list[Header]:
    """The headers of `root / path` for each path."""
    found = []
    for path, video in zip(paths, videos, strict=True):
        parallel.at(path)
        found.append(read(root / path, max_pixels, video=video))
    return found


def _jpeg(image: Image.Image) -> dict[str, float | int | str]:
    """How a JPEG was compressed; {} for other formats."""
    tables = getattr(image, "quantization", None)
    if image.format not in ("JPEG", "MPO") or not tables:
        return {}
    mean = sum(tables[min(tables)]) / len(tables[min(tables)])
    quality = min(range(1, 101), key=lambda quality: abs(_means()[quality - 1] - mean))
    sampling = "" if len(image.layer) == 1 else SUBSAMPLING.get(JpegImagePlugin.get_sampling(image), "other")
    return {"quantisation": mean, "quality": quality, "subsampling": sampling}


@cache
def _means() -> tuple[float, ...]:
    """The mean of libjpeg's luma table at each quality from 1 to 100 (its jcparam.c, `jpeg_quality_scaling`)."""
    scales = [5000 // quality if quality < 50 else 200 - 2 * quality for quality in range(1, 101)]
    return tuple(sum(min(max((v * scale + 50) // 100, 1), 255) for v in LUMA) / len(LUMA) for scale in scales)


def reason(error: Exception, path: Path) -> str:
    """One line about why a file is bad, without its absolute path: tables must not depend on the machine."""
    text = " ".join(str(error).replace(str(path), path.name).split())
    return text if isinstance(error, BadImage) else f"{type(error).__name__}: {text}"


def _video_header(path: Path, max_pixels: int) -> tuple[int, int, str]:
    with opened_video(path, max_pixels) as container:
        codec = container.streams.video[0].codec_context
        return codec.width, codec.height, f"MP4/{codec.name}"
