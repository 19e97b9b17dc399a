"""Decoding: the one way to open an image or video; what a decoder would allocate is bounded before it decodes."""

import contextlib
import io
import os
import re
import stat
import struct
import threading
import warnings
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
from PIL import (
    AvifImagePlugin,
    ExifTags,
    Image,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    features,
)

from detector.imaging import avif

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
MAX_VALUES = 400_000  # of a tag of a TIFF; the tiles of the largest images are about as many
# Bytes a value, by the type of a tag, of all but texts.
UNITS = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}
POINTERS = (34665, 34853, 40965)  # tags that lead to more tags
FAX = ("tiff_ccitt", "group3", "group4")  # compression of TIFF


# Compressed texts and profiles of a PNG, none of which decides on a pixel: monitors' profiles and the workflows of
# image generators are larger than the 1 MB at which Pillow refuses the file. All texts together have its 64 MB.
PngImagePlugin.MAX_TEXT_CHUNK = 16 << 20
AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # the cores are shared out already
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # we refuse what it warns of
_lock = threading.Lock()
_before: list[int | None] = []  # Pillow's own limit
_limits: list[int] = []  # and ours for each image that is open
# EXIF's orientation → what makes the picture upright.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class BadImageError(Exception):
    """Image file that is unreadable, too large, or has pixels of an unknown kind."""


class UnknownFormatError(BadImageError):
    """File of no format that is read here."""


class TooManyPixelsError(BadImageError):
    """Image file refused by its header, before anything is decoded."""


@cache
def readable() -> tuple[str, ...]:
    """Pillow's names of the readable formats: `FORMATS`, and those of `OTHERS` that this installation supports."""
    more: tuple[str, ...] = ("AVIF",) if features.check("avif") else ()
    if find_spec("pillow_heif"):
        import pillow_heif  # an extra

        pillow_heif.register_heif_opener()
        more += ("HEIF",)
    return FORMATS + more


@contextlib.contextmanager
def opened(file: str | os.PathLike | BinaryIO, max_pixels: int) -> Iterator[Image.Image]:
    """Context with an image whose header is read and nothing decoded; what is decoded inside is bounded too.

    Raises `BadImageError` for anything but a regular file, for more than `max_pixels` pixels (in all or in a
    tile), for too many scans of a JPEG or values of a tag, and for a format that is not read here; and whatever
    Pillow raises for a file that is broken.
    """
    with contextlib.ExitStack() as stack:
        if isinstance(file, str | os.PathLike):
            check_regular(file)
            stream: BinaryIO = stack.enter_context(open(file, "rb"))
        else:
            stream = file
        stack.enter_context(_pillows_limit(max_pixels))
        check_tags(stream)
        start = stream.read(16)
        stream.seek(0)
        try:
            image = stack.enter_context(Image.open(stream, formats=readable()))
        except UnidentifiedImageError:  # whose text names a Python object, not the file
            raise _named(start) or UnknownFormatError(
                f"no image that can be read, expected {', '.join(readable())}"
            ) from None
        check_size(image.width, image.height, max_pixels)
        if image.format in ("JPEG", "MPO"):
            check_scans(stream)
        if isinstance(image, TiffImagePlugin.TiffImageFile):
            check_tiles(image, max_pixels)
        if image.format == "AVIF":
            stream.seek(0)
            for width, height in avif.coded_sizes(stream.read()):
                check_size(width, height, max_pixels)
        yield image


def check_regular(path: str | os.PathLike) -> None:
    """Raise `BadImageError` for a named pipe, a socket, a device or a folder, from which one could read for ever.

    Links are followed. Raises `OSError` where the path does not exist.
    """
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):
        kinds = {stat.S_ISDIR: "a folder", stat.S_ISFIFO: "a named pipe", stat.S_ISSOCK: "a socket"}
        kind = next((name for test, name in kinds.items() if test(mode)), "a device")
        raise BadImageError(f"{kind}, not a file")


def _named(start: bytes) -> BadImageError | None:
    """What to say of a file that begins so, where that tells its format."""
    for name, (begins, remedy) in OTHERS.items():
        if begins.match(start):
            return BadImageError(f"{name}, whatever its name says: {remedy}")
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
        count = re.search(r"\d+", str(error))
        raise TooManyPixelsError(
            f"{count[0] if count else 'these'} pixels are more than data.max_pixels, {max_pixels}"
        ) from None
    finally:
        with _lock:
            _limits.remove(max_pixels)
            Image.MAX_IMAGE_PIXELS = max(_limits) if _limits else _before[0]


@contextlib.contextmanager
def opened_video(path: str | os.PathLike, max_pixels: int | None) -> Iterator[av.container.InputContainer]:
    """Context with a video whose decoder refuses frames of more than `max_pixels` pixels.

    Raises `BadImageError` for anything but a regular file, where there is no video stream, and where the header
    names more pixels; `av.FFmpegError` where FFmpeg cannot read it.
    """
    check_regular(path)
    limit = {} if max_pixels is None else {"max_pixels": str(max_pixels)}
    # Without a list FFmpeg reads by content too: a text file named x.mp4 can be a list of other files to read.
    options = {"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": "file"}
    with av.open(str(path), options=options | limit) as container:
        if not container.streams.video:
            raise BadImageError("holds no video stream")
        codec = container.streams.video[0].codec_context
        if max_pixels is not None:
            check_size(codec.width, codec.height, max_pixels)
        codec.options = limit  # later frames may be larger than the header says
        yield container


def check_scans(file: BinaryIO) -> None:
    """Raise `BadImageError` for a JPEG of more than MAX_SCANS scans: each, a few bytes long, repaints all pixels.

    Goes from marker to marker through the first image of the file alone: thumbnails and appended videos, whose
    bytes can look like anything, are no scans. Restores the file's position.
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
        raise BadImageError(f"a JPEG of more than {MAX_SCANS} scans: no program for images makes that")


def check_tags(file: BinaryIO) -> None:
    """Raise `BadImageError` for a TIFF or EXIF tag of more than MAX_VALUES values.

    Pillow turns four bytes of the file into up to 250 of memory. (It skips tags with more values than the file can
    hold.) Reads the first directory and the EXIF directories in it; restores the file's position.
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
                    raise BadImageError(f"{values} values of tag {tag}: no program for images makes that")
                if tag in POINTERS and len(waiting) <= len(POINTERS):
                    waiting.append(where)
    file.seek(before)


def check_tiles(image: TiffImagePlugin.TiffImageFile, max_pixels: int) -> None:
    """Raise `BadImageError` for a TIFF whose tiles have more than `max_pixels` pixels each.

    libtiff decodes whole tiles, however small the image. Also refused is a fax-compressed image so wide that the
    decoder's lists, 16 bytes per column, would need more memory than an image of `max_pixels`.
    """
    width, length = (image.tag_v2.get(tag) for tag in (TiffImagePlugin.TILEWIDTH, TiffImagePlugin.TILELENGTH))
    if isinstance(width, int) and isinstance(length, int) and width * length > max_pixels:
        raise TooManyPixelsError(
            f"{width} x {length} pixels of a tile are more than data.max_pixels, {max_pixels}"
        )
    widest = max(image.width, image.height, width if isinstance(width, int) else 0)
    if image.info.get("compression") in FAX and 4 * widest > max_pixels:
        raise TooManyPixelsError(
            f"{widest} pixels are too wide for a fax: a quarter of data.max_pixels, {max_pixels}"
        )


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Raise `BadImageError` where there are more than `max_pixels` pixels, or none."""
    if width * height > max_pixels:
        raise TooManyPixelsError(f"{width} x {height} pixels are more than data.max_pixels, {max_pixels}")
    if width * height == 0:
        raise BadImageError(f"{width} x {height} pixels")


def reason(error: Exception, path: Path) -> str:
    """Why a file is bad, in one line of UTF-8 without its absolute path: tables must not depend on the machine."""
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, av.FFmpegError):  # its text has a number and the path
        return f"no video that can be read ({error.strerror})"
    text = " ".join(str(error).replace(str(path), path.name).split()).encode(errors="backslashreplace").decode()
    return text if isinstance(error, BadImageError) else f"{type(error).__name__}: {text}"


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image of any mode that the accepted formats have to mode RGB:

    * the EXIF orientation is applied, where it can be read;
    * grey and 1-bit: the same value in the three channels; 16-bit grey: value / 257, rounded;
    * alpha, palette with transparency, and a colour marked as transparent: composited over white;
    * CMYK, YCCK and the rest: Pillow's conversion, which ignores colour profiles.

    Raises `BadImageError` for float pixels and for 32-bit integers beyond 16 bits, whose range the file does not
    state.
    """
    image = _upright(image)
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    if image.mode == "I" or image.mode.startswith("I;16"):
        return Image.fromarray(_eight_bits(np.asarray(image))).convert("RGB")
    if image.mode == "F" or image.mode == "LAB":
        raise BadImageError(f"pixels of mode {image.mode!r} have no agreed conversion to 8-bit RGB")
    if image.has_transparency_data:
        if image.mode == "La":  # Pillow has no direct way from premultiplied grey
            image = image.convert("LA")
        pixels = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", pixels.size, "white"), pixels).convert("RGB")
    return image.convert("RGB")


def _upright(image: Image.Image) -> Image.Image:
    """The decoded image, turned as its EXIF or XMP says.

    Not Pillow's `exif_transpose`: that writes the rest of the EXIF anew, and fails where a camera wrote it oddly.
    """
    image.load()
    try:
        check_tags(io.BytesIO(image.info.get("exif", b"").removeprefix(b"Exif\0\0")))
        turn = TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # no EXIF that anyone could read; the pixels are none the worse
        turn = None
    return image if turn is None else image.transpose(turn)


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """uint8 from 16-bit values: v / 257 rounded (65535 → 255); 257 is odd, so there are no ties."""
    if values.min() < 0 or values.max() > 0xFFFF:
        raise BadImageError(f"grey values from {values.min()} to {values.max()} do not fit into 16 bits")
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
