"""What a file says about itself before any pixel is decoded: size in pixels, format, JPEG settings, EXIF, hash.

The one way to open an image or a video: what a decoder would allocate is bounded here, before it decodes.
"""

import contextlib
import hashlib
import os
import re
import stat
import struct
import threading
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

import av
from PIL import (
    AvifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    features,
)

from detector import boxes, parallel

# Pillow reads by content, not by suffix: without this list a file named x.png could start Ghostscript.
# JPEG includes MPO, what phones write into .jpg files that hold a second picture.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
# Formats that not every installation reads → how a file of them begins, and what to do about one.
OTHERS = {
    "AVIF": (re.compile(rb"....ftyp(avif|avis)", re.DOTALL), "convert it, or install a Pillow that reads AVIF"),
    "HEIC": (
        re.compile(rb"....ftyp(hei[cxms]|hev[cxms]|mif1|msf1)", re.DOTALL),
        "convert it, or install pillow-heif: pip install '.[heif]'",
    ),
    "JPEG XL": (re.compile(rb"\xff\x0a|\0\0\0\x0cJXL ", re.DOTALL), "convert it"),
    "JPEG 2000": (re.compile(rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  ", re.DOTALL), "convert it"),
}
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
MAX_VALUES = 400_000  # of a tag of a TIFF; the tiles of the largest images are about as many
# Bytes a value, by the type of a tag, of all but texts.
UNITS = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}
POINTERS = (34665, 34853, 40965)  # tags that lead to more tags
FAX = ("tiff_ccitt", "group3", "group4")  # compression of TIFF
SUBSAMPLING = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}


# Compressed texts and profiles of a PNG, none of which decides on a pixel: monitors' profiles and the workflows of
# image generators are larger than the 1 MB at which Pillow refuses the file. All texts together have its 64 MB.
PngImagePlugin.MAX_TEXT_CHUNK = 16 << 20
AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # the cores are shared out already
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # we refuse what it warns of
_lock, _before, _limits = threading.Lock(), [], []  # Pillow's own limit, and ours for each image that is open


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


@cache
def readable() -> tuple[str, ...]:
    """Pillow's names of the formats that are read here: `FORMATS`, and of `OTHERS` what this installation can."""
    more = ("AVIF",) if features.check("avif") else ()
    if find_spec("pillow_heif"):
        import pillow_heif  # an extra

        pillow_heif.register_heif_opener()
        more += ("HEIF",)
    return FORMATS + more


@contextlib.contextmanager
def opened(file: str | os.PathLike | BinaryIO, max_pixels: int) -> Iterator[Image.Image]:
    """An image with its header read, nothing decoded. What is decoded inside is bounded too.

    Raises BadImage for what is no regular file, more than `max_pixels` pixels, in all or in a tile, absurdly many
    scans of a JPEG or values of a tag, and a format that is known but not read; and whatever Pillow raises for
    what it cannot read.
    """
    with contextlib.ExitStack() as stack:
        if not hasattr(file, "read"):
            check_regular(file)
            file = stack.enter_context(open(file, "rb"))
        stack.enter_context(_pillows_limit(max_pixels))
        check_tags(file)
        start = file.read(16)
        file.seek(0)
        try:
            image = stack.enter_context(Image.open(file, formats=readable()))
        except UnidentifiedImageError as error:
            raise _named(start) or error from None
        check_size(image.width, image.height, max_pixels)
        if image.format in ("JPEG", "MPO"):
            check_scans(image.fp)
        if image.format == "TIFF":
            check_tiles(image, max_pixels)
        if image.format == "AVIF":
            file.seek(0)
            for width, height in boxes.coded_sizes(file.read()):
                check_size(width, height, max_pixels)
        yield image


def check_regular(path: str | os.PathLike) -> None:
    """Raises BadImage for a named pipe, a socket, a device or a folder, from which one could read for ever.

    Links are followed. Raises OSError where there is nothing.
    """
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):
        kinds = {stat.S_ISDIR: "a folder", stat.S_ISFIFO: "a named pipe", stat.S_ISSOCK: "a socket"}
        kind = next((name for test, name in kinds.items() if test(mode)), "a device")
        raise BadImage(f"{kind}, not a file")


def _named(start: bytes) -> BadImage | None:
    """What to say of a file that begins so, where that tells its format."""
    for name, (begins, remedy) in OTHERS.items():
        if begins.match(start):
            return BadImage(f"{name}, whatever its name says: {remedy}")
    return None


@contextlib.contextmanager
def _pillows_limit(max_pixels: int) -> Iterator[None]:
    """Has Pillow refuse what is more than twice the limit before it allocates, also what we see too late: frames
    of a GIF, the canvas of a WebP. It is one number for all threads: the largest of those asked for.
    """
    with _lock:
        if not _limits:
            _before[:] = [Image.MAX_IMAGE_PIXELS]
        _limits.append(max_pixels)
        Image.MAX_IMAGE_PIXELS = max(_limits)
    try:
        yield
    except Image.DecompressionBombError as error:
        found = re.search(r"\d+", str(error)).group()
        raise TooManyPixels(f"{found} pixels are more than data.max_pixels, {max_pixels}") from None
    finally:
        with _lock:
            _limits.remove(max_pixels)
            Image.MAX_IMAGE_PIXELS = max(_limits) if _limits else _before[0]


@contextlib.contextmanager
def opened_video(path: str | os.PathLike, max_pixels: int | None) -> Iterator[av.container.InputContainer]:
    """A video with at least one video stream, whose decoder refuses frames of more than `max_pixels` pixels.

    Raises BadImage for what is no regular file, where there is no such stream or the header names more pixels, and
    av.FFmpegError.
    """
    check_regular(path)
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


def check_tags(file: BinaryIO) -> None:
    """Raises BadImage for a TIFF, or EXIF, with a tag of more than MAX_VALUES values: of four bytes in the file
    Pillow makes up to 250. (It passes over tags with more values than the file can hold.) Looks at the first
    directory and those of EXIF in it; goes back to where the file was.
    """
    before = file.tell()
    end = file.seek(0, os.SEEK_END)
    file.seek(before)
    start = file.read(16)
    if start[:2] not in (b"II", b"MM"):
        file.seek(before)
        return
    order, big = "<" if start[:2] == b"II" else ">", start[2:3] == b"+"
    count, entry, size = ("Q", "HHQQ", 20) if big else ("H", "HHLL", 12)
    # What is too short or leads nowhere is for Pillow to refuse.
    with contextlib.suppress(struct.error, OSError, OverflowError, ValueError):
        waiting = list(struct.unpack(f"{order}{'Q' if big else 'L'}", start[8:16] if big else start[4:8]))
        for offset in waiting:
            file.seek(before + offset)
            (tags,) = struct.unpack(order + count, file.read(struct.calcsize(order + count)))
            entries = file.read(min(tags, 1 << 16) * size)
            whole = entries[: len(entries) // size * size]
            for tag, kind, values, where in struct.iter_unpack(order + entry, whole):
                if MAX_VALUES < values <= end // UNITS.get(kind, end + 1):
                    raise BadImage(f"{values} values of tag {tag}: no program for images makes that")
                if tag in POINTERS and len(waiting) <= len(POINTERS):
                    waiting.append(where)
    file.seek(before)


def check_tiles(image: TiffImagePlugin.TiffImageFile, max_pixels: int) -> None:
    """Raises BadImage for tiles of more than `max_pixels` pixels: libtiff decodes whole ones, however small the
    image. And for fax compression of so wide an image that the decoder's lists, 16 bytes a column, would take more
    than an image of `max_pixels`.
    """
    width, length = (image.tag_v2.get(tag) for tag in (TiffImagePlugin.TILEWIDTH, TiffImagePlugin.TILELENGTH))
    if isinstance(width, int) and isinstance(length, int) and width * length > max_pixels:
        raise TooManyPixels(f"{width} x {length} pixels of a tile are more than data.max_pixels, {max_pixels}")
    widest = max(image.width, image.height, width if isinstance(width, int) else 0)
    if image.info.get("compression") in FAX and 4 * widest > max_pixels:
        raise TooManyPixels(f"{widest} pixels are too wide for a fax: a quarter of data.max_pixels, {max_pixels}")


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
        check_regular(path)
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
    """One line of UTF-8: why a file is bad, without its absolute path: tables must not depend on the machine."""
    text = " ".join(str(error).replace(str(path), path.name).split()).encode(errors="backslashreplace").decode()
    return text if isinstance(error, BadImage) else f"{type(error).__name__}: {text}"


def _video_header(path: Path, max_pixels: int) -> tuple[int, int, str]:
    with opened_video(path, max_pixels) as container:
        codec = container.streams.video[0].codec_context
        return codec.width, codec.height, f"MP4/{codec.name}"
