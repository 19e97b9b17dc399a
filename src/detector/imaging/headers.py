"""File headers: size in pixels, format, JPEG settings, EXIF and SHA-256; no pixel is decoded."""

import contextlib
import hashlib
import os
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from PIL import (
    Image,
    JpegImagePlugin,
)

from detector.imaging.decoding import check_regular, opened, opened_video, reason

# The luma table of ITU-T T.81, annex K.1, in any order: what libjpeg scales for each quality.
LUMA = (
    *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56),
    *(14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
)
SUBSAMPLING = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}


@dataclass(frozen=True, slots=True)
class Header:
    """Header of one file. Where `error` is not "", fields that could not be read are 0 or ""."""

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


def read(path: Path, max_pixels: int, *, video: bool, content: BinaryIO | None = None) -> Header:
    """Read the header of one file. Never raises: what is wrong with the file is in `error`.

    `content`: its bytes, of an image, where it is no file by itself; errors call it by `path`.
    """
    size, digest = 0, ""
    try:
        with contextlib.ExitStack() as stack:
            if content is None:
                check_regular(path)
                size = path.stat().st_size
                file: BinaryIO = stack.enter_context(open(path, "rb"))
            else:
                file = content
                size = file.seek(0, os.SEEK_END)
                file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # typeshed asks more
            if video:
                return Header(*_video_header(path, max_pixels), size, digest)
            file.seek(0)
            with opened(file, max_pixels) as image:
                header = Header(image.width, image.height, image.format or "", size, digest)
                return replace(header, mode=image.mode, exif="exif" in image.info, **_jpeg(image))
    except Exception as error:  # Pillow's plug-ins raise almost anything on broken files
        return Header(bytes=size, sha256=digest, error=reason(error, path))


def _jpeg(image: Image.Image) -> dict[str, Any]:
    """Compression settings of a JPEG; {} for other formats."""
    if not isinstance(image, JpegImagePlugin.JpegImageFile) or not image.quantization:
        return {}
    tables = image.quantization
    mean = sum(tables[min(tables)]) / len(tables[min(tables)])
    quality = min(range(1, 101), key=lambda quality: abs(_means()[quality - 1] - mean))
    sampling = "" if len(image.layer) == 1 else SUBSAMPLING.get(JpegImagePlugin.get_sampling(image), "other")
    return {"quantisation": mean, "quality": quality, "subsampling": sampling}


@cache
def _means() -> tuple[float, ...]:
    """The mean of libjpeg's luma table at each quality from 1 to 100 (its jcparam.c, `jpeg_quality_scaling`)."""
    scales = [5000 // quality if quality < 50 else 200 - 2 * quality for quality in range(1, 101)]
    return tuple(sum(min(max((v * scale + 50) // 100, 1), 255) for v in LUMA) / len(LUMA) for scale in scales)


def _video_header(path: Path, max_pixels: int) -> tuple[int, int, str]:
    with opened_video(path, max_pixels) as container:
        codec = container.streams.video[0].codec_context
        return codec.width, codec.height, f"MP4/{codec.name}"
