"""Fuzzer of image files: damages small files of every accepted format and opens them. Run by test_fuzz.py.

    python -m tests.support.fuzz FOLDER FIRST LAST     cases FIRST to before LAST; one line per case on stdout

A case is known by its number: the same number is the same damaged file on every machine with the same libraries.
Before a case its number and then, when it is through, what came of it is written, so that whoever reads knows
which case a crash or a kill for want of time belongs to. The last line is "peak" and MiB of memory.
"""

import io
import random
import resource
import signal
import struct
import sys
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from detector.imaging import headers, preprocessing
from tests.support import samples

MAX_PIXELS, SIZE = 1_000_000, 8
SECONDS = 5  # of CPU a case; the machine may be busy, so the clock has ten times that
# Address space. Python reserves a length that a file claims, up to 4 GiB, before it reads, and gives it back
# unused: what counts, and what the last line tells, is the memory that was touched.
MEMORY = 8 << 30
EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
VIDEO_EVERY = 8  # one case of so many is a video: they take ten times as long


def _picture(mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(1).integers(0, 256, (11, 13, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def _saved(form: str, mode: str = "RGB", **options: object) -> bytes:
    out = io.BytesIO()
    _picture(mode).save(out, form, **options)
    return out.getvalue()


def _sixteen_bits(form: str) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.arange(13 * 11, dtype=np.uint16).reshape(11, 13) * 400).save(out, form)
    return out.getvalue()


@cache
def pictures() -> list[bytes]:
    """Small images: each accepted format, in the kinds that take different ways through a decoder."""
    exif = Image.Exif()
    exif[0x0112] = 6
    text = PngImagePlugin.PngInfo()
    text.add_text("a", "b" * 50, zip=True)
    text.add_itxt("c", "d" * 50, zip=True)
    frames = [_picture("L"), _picture("L").rotate(90)]
    animated = {"save_all": True, "append_images": frames}
    return [
        _saved("JPEG"),
        _saved("JPEG", "L", quality=30),
        _saved("JPEG", "CMYK"),
        _saved("JPEG", progressive=True, exif=exif),
        _saved("MPO", save_all=True, append_images=frames),
        _saved("PNG", pnginfo=text, exif=exif, icc_profile=b"0" * 99),
        _saved("PNG", "RGBA"),
        _saved("PNG", "P", transparency=3),
        _saved("PNG", "1"),
        _saved("PNG", "RGB", **animated),
        _sixteen_bits("PNG"),
        _saved("WEBP"),
        _saved("WEBP", "RGBA", lossless=True, exif=exif),
        _saved("WEBP", **animated),
        _saved("BMP"),
        _saved("BMP", "P"),
        _saved("BMP", "1"),
        _saved("GIF", "P", **animated),
        _saved("GIF", "L", transparency=2),
        _saved("TIFF"),
        _saved("TIFF", "1", compression="group4"),
        _saved("TIFF", "CMYK", compression="packbits"),
        _saved("TIFF", compression="jpeg"),
        _saved("TIFF", "RGBA", compression="tiff_lzw", exif=exif),
        _saved("TIFF", "P", compression="tiff_adobe_deflate", big_tiff=True),
        _sixteen_bits("TIFF"),
        _saved("AVIF"),
        _saved("AVIF", "RGBA"),
    ]


@cache
def videos(folder: Path) -> list[bytes]:
    """Small videos, in the containers that a file named .mp4 may turn out to be."""
    found = []
    for container in ("mp4", "mpegts", "matroska", "h264", "avi"):
        path = folder / f"seed-{container}.mp4"
        samples.write_video(path, frames=5, container=container)
        found.append(path.read_bytes())
    return found


def damaged(seed: bytes, others: list[bytes], dice: random.Random) -> bytes:
    """`seed` with one to four changes, most of them near the beginning, where headers are."""
    data = bytearray(seed)
    for _ in range(dice.choice((1, 1, 2, 4))):
        if not data:
            break
        end = len(data) if dice.random() < 0.5 else min(len(data), 200)
        at = dice.randrange(end)
        kind = dice.randrange(9)
        if kind == 0:
            data[at] ^= 1 << dice.randrange(8)
        elif kind == 1:
            data[at] = dice.randrange(256)
        elif kind == 2:
            del data[at:]
        elif kind == 3:
            del data[at : at + dice.randrange(1, 40)]
        elif kind == 4:
            data[at:at] = dice.randbytes(dice.randrange(1, 40))
        elif kind == 5:
            data[at:at] = data[at : at + dice.randrange(1, 200)]
        elif kind == 6:  # a size, a count, a length: in both orders of bytes
            form = dice.choice("<>") + dice.choice("BHI")
            value = dice.choice(EXTREMES) & (256 ** struct.calcsize(form) - 1)
            data[at : at + struct.calcsize(form)] = struct.pack(form, value)
        elif kind == 7:
            other = dice.choice(others)
            data[at:] = other[dice.randrange(len(other)) :]
        else:
            other = dice.choice(others)
            begin = dice.randrange(len(other))
            data[at : at + 20] = other[begin : begin + 20]
    return bytes(data)


def case(number: int, folder: Path) -> tuple[bytes, bool]:
    """(a damaged file, whether it is a video)."""
    dice = random.Random(number)
    video = number % VIDEO_EVERY == 0
    seeds = videos(folder) if video else pictures()
    return damaged(seeds[number // VIDEO_EVERY % len(seeds)] if video else dice.choice(seeds), seeds, dice), video


def outcome(path: Path, video: bool) -> str:
    """What the front door makes of a file: "pixels", or the name of the exception.

    Raises AssertionError for anything else: pixels of another shape or kind, a header that names no reason.
    """
    header = headers.read(path, MAX_PIXELS, video=video)
    assert header.error or (0 < header.width * header.height <= MAX_PIXELS and header.format), header
    assert "\n" not in header.error
    assert str(path.parent) not in header.error
    assert header.bytes == path.stat().st_size
    assert len(header.sha256) == 64
    try:
        pixels = preprocessing.load(
            path, preprocessing.Preprocessing(SIZE, max_pixels=MAX_PIXELS), frame=0.5 if video else None
        )
    except Exception as error:
        return type(error).__name__
    assert (pixels.shape, pixels.dtype) == ((SIZE, SIZE, 3), np.uint8)
    return "pixels"


def peak_mib() -> int:
    """The most memory of this process. (Not `ru_maxrss`: that begins with the memory of its parent.)"""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


def main(folder: Path, first: int, last: int) -> None:
    videos(folder)  # before memory is short: encoders reserve more than decoders
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    path = folder / "case.bin"
    for number in range(first, last):
        data, video = case(number, folder)
        path.write_bytes(data)
        print(number, end=" ", flush=True)
        # Unhandled, these signals end the process even where it never comes back from a decoder.
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        signal.setitimer(signal.ITIMER_REAL, 10 * SECONDS)
        try:
            result = outcome(path, video)
            assert result not in ("MemoryError", "RecursionError", "DetectorError"), result
        except Exception as error:
            result = f"WRONG: {type(error).__name__}: {error}".replace("\n", " ")
        print(result, flush=True)
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    print("peak", peak_mib())


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
