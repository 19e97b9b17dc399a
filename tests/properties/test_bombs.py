"""A small file that claims, or unpacks to, something huge is refused or cut short, quickly and in little
memory."""

import io
import os
import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detector.imaging import headers, preprocessing
from tests.support import ROOT, fuzz, samples

MAX_PIXELS = 100_000_000  # the default of data.max_pixels
HUGE = 200 << 20  # bytes that text and pixels of the bombs unpack to
SECONDS = 10  # of CPU
PEAK_MIB = 250  # Python, Pillow and FFmpeg take about 70; a bomb that went off would take far more


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *more: bytes, pixels: bytes = b"\0" * 4) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + header
        + b"".join(more)
        + chunk(b"IDAT", zlib.compress(pixels))
        + chunk(b"IEND", b"")
    )


def zeros(count: int = HUGE) -> bytes:
    """So many of them (in whole MiB), compressed: made once, and repeated."""
    pack = zlib.compressobj(wbits=-15)
    block = pack.compress(bytes(1 << 20)) + pack.flush(zlib.Z_FULL_FLUSH)
    return b"\x78\x9c" + block * (count >> 20) + b"\x03\0" + struct.pack(">I", count % 65521 << 16 | 1)


def jpeg(width: int, height: int) -> bytes:
    data = fuzz._saved("JPEG")
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def jpeg_of_scans(count: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (4000, 4000)).save(out, "JPEG", progressive=True)
    data = out.getvalue()
    return data[:-2] + data[data.rindex(b"\xff\xda") : -2] * count + data[-2:]


def gif(width: int, height: int) -> bytes:
    data = bytearray(fuzz._saved("GIF", "L"))
    data[6:10] = struct.pack("<HH", width, height)
    at = data.index(b"\x2c\0\0\0\0") + 5
    data[at : at + 4] = struct.pack("<HH", width, height)
    return bytes(data)


def gif_of_frames(count: int) -> bytes:
    data = fuzz._saved("GIF", "L")
    return data[:-1] + data[data.index(b"\x2c\0\0\0\0") : -1] * count + data[-1:]


def gif_disposed(width: int, height: int) -> bytes:
    """Its first frame is larger than its screen, and is to be painted over."""
    data, control = bytearray(fuzz._saved("GIF", "L")), b"\x21\xf9\4\x08\0\0\0\0"
    at = data.index(b"\x2c\0\0\0\0")
    data[at + 5 : at + 9] = struct.pack("<HH", width, height)
    return bytes(data[:at] + control + data[at:])


def bmp(width: int, height: int) -> bytes:
    data = bytearray(fuzz._saved("BMP"))
    data[18:26] = struct.pack("<ii", width, height)
    return bytes(data)


def tiff(**tags: int) -> bytes:
    """A 10 x 10 grey image without compression, with other values for some tags (`t256=...`)."""
    values = {256: 10, 257: 10, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 10, 279: 100}
    return _tiff(bytes(100), values | {int(name[1:]): value for name, value in tags.items()})


def _tiff(data: bytes, values: dict[int, int], kinds: dict[int, tuple[int, int]] | None = None) -> bytes:
    """`data` begins at 8. values: of tags; kinds: (type, how many) of those that are not one LONG."""
    entries = [(tag, *(kinds or {}).get(tag, (4, 1)), value) for tag, value in sorted(values.items())]
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(values)) + packed + bytes(4)


def tiff_of_one_tile(side: int) -> bytes:
    """8 x 8 grey pixels in a tile of `side` x `side`, all of which are there."""
    data = zeros(-(-(side**2) // (1 << 20)) << 20)
    values = {256: 8, 257: 8, 258: 8, 259: 8, 262: 1, 277: 1, 322: side, 323: side, 324: 8, 325: len(data)}
    return _tiff(data, values)


def tiff_of_strips(count: int) -> bytes:
    """A 10 x 10 grey image that says of `count` strips where they are."""
    values = {256: 10, 257: 10, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 1, 279: 100}
    return _tiff(struct.pack("<I", 8) * count, values, {273: (4, count)})


def exif_of_tags(count: int, size: int) -> bytes:
    """Of `count` tags each is all of its `size` bytes."""
    entries = b"".join(struct.pack("<HHII", 4096 + tag, 1, size - 8, 8) for tag in range(count))
    return (b"II*\0" + struct.pack("<IH", 8, count) + entries).ljust(size, b"\0")


def exif_turned(count: int) -> bytes:
    """An orientation of `count` fractions."""
    entry = struct.pack("<HHII", 0x112, 5, count, 26)
    return b"II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4) + bytes(8 * count)


def tiff_of_tags(count: int, length: int) -> bytes:
    """A TIFF that claims `count` tags of `length` values each, all of them at the end of the file."""
    entries = b"".join(struct.pack("<HHII", 256 + tag % 60000, 12, length, 8) for tag in range(count))
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", count) + entries + bytes(4)


def webp(width: int, height: int) -> bytes:
    data = bytearray(fuzz._saved("WEBP", "RGBA", lossless=True, exif=Image.Exif()))
    if data[12:16] == b"VP8X":
        data[24:30] = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    at = data.index(b"VP8L") + 9
    bits = struct.unpack("<I", data[at : at + 4])[0] >> 28 << 28
    data[at : at + 4] = struct.pack("<I", bits | (height - 1) << 14 | (width - 1))
    return bytes(data)


def webp_of_canvas(width: int, height: int) -> bytes:
    """A small picture on a canvas of this size."""
    picture = fuzz._saved("WEBP", "RGBA", lossless=True)[12:]
    size = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\x10\0\0\0" + size + picture
    return b"RIFF" + struct.pack("<I", len(body)) + body


def mp4(folder: Path, change: Callable[[bytearray], None]) -> bytes:
    samples.write_video(folder / "seed.mp4")
    data = bytearray((folder / "seed.mp4").read_bytes())
    change(data)
    return bytes(data)


def huge_frames(data: bytearray) -> None:
    at = data.index(b"avc1", data.index(b"stsd")) + 28
    data[at : at + 4] = struct.pack(">HH", 65535, 65535)


def endless_samples(data: bytearray) -> None:
    at = data.index(b"stsz") + 8
    data[at : at + 8] = struct.pack(">II", 1, 0x7FFFFFFF)


def endless_times(data: bytearray) -> None:
    at = data.index(b"stts") + 12
    data[at : at + 8] = struct.pack(">II", 0x7FFFFFFF, 1)


# Name → (how it is made, what the reason holds; "" where the picture that is in it may come out).
SIZES = {
    "png": (lambda _: png(2**31 - 1, 2**31 - 1), "^4611686014132420609 pixels are more than data.max_pixels"),
    "png-just": (lambda _: png(10001, 10000), "^10001 x 10000 pixels are more than data.max_pixels, 100000000$"),
    "jpeg": (lambda _: jpeg(65500, 65500), "^4290250000 pixels are more"),
    "gif": (lambda _: gif(65535, 65535), "^4294836225 pixels are more"),
    "gif-disposed": (lambda _: gif_disposed(65535, 65535), "^4294836225 pixels are more"),
    "bmp": (lambda _: bmp(2**31 - 1, 2**31 - 1), "^4611686014132420609 pixels are more"),
    "tiff": (lambda _: tiff(t256=2**32 - 1, t257=2**32 - 1), "^18446744065119617025 pixels are more"),
    "tiff-tile": (lambda _: tiff_of_one_tile(20_000), "^20000 x 20000 pixels of a tile are more than data.max"),
    "tiff-tile-of-nothing": (
        lambda _: tiff(t259=5, t322=60000, t323=60000, t324=8, t325=100),
        "60000 x 60000 pixels of a tile",
    ),
    "tiff-fax": (lambda _: tiff(t256=90_000_000, t257=1, t258=1, t259=4, t278=1), "^90000000 pixels are too wide"),
    "webp": (lambda _: webp(16383, 16383), "^268402689 pixels are more"),
    "webp-canvas": (lambda _: webp_of_canvas(16383, 16383), "^268402689 pixels are more"),
    "mp4": (lambda folder: mp4(folder, huge_frames), ""),  # the stream's own size counts
}
OTHERS = {
    "png-text": (lambda _: png(1, 1, chunk(b"zTXt", b"a\0\0" + zeros())), ""),
    "png-itxt": (lambda _: png(1, 1, chunk(b"iTXt", b"a\0\1\0\0\0" + zeros())), ""),
    "png-profile": (lambda _: png(1, 1, chunk(b"iCCP", b"a\0\0" + zeros())), ""),
    "png-exif": (lambda _: png(1, 1, chunk(b"eXIf", exif_of_tags(60_000, 1 << 20))), ""),
    "png-exif-turned": (lambda _: png(1, 1, chunk(b"eXIf", exif_turned(500_000))), ""),
    "png-many-texts": (lambda _: png(1, 1, *[chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**6)))] * 900), ""),
    "png-pixels": (lambda _: png(1, 1, pixels=bytes(HUGE)), ""),
    "png-chunk-length": (lambda _: png(1, 1)[:-12] + struct.pack(">I", 2**31 - 1) + b"aaAa", ""),
    "jpeg-scans": (lambda _: jpeg_of_scans(5000), "more than 100 scans"),
    "gif-frames": (lambda _: gif_of_frames(20_000), ""),
    "tiff-tags": (lambda _: tiff_of_tags(65535, 2**32 - 1), "."),
    "tiff-strips": (lambda _: tiff_of_strips(900_000), "^900000 values of tag 273"),
    "tiff-strip-of-colour": (lambda _: tiff(t259=8, t262=6, t277=3, t278=1 << 24), ""),
    "tiff-strip": (lambda _: tiff(t259=5, t278=2**32 - 1, t279=2**32 - 1), ""),
    "tiff-samples": (lambda _: tiff(t277=65535), "."),
    "mp4-samples": (lambda folder: mp4(folder, endless_samples), ""),
    "mp4-times": (lambda folder: mp4(folder, endless_times), ""),
}


def attempt(path: Path, video: bool) -> str:
    """Why the file was refused, by its header or on decoding; "" where it was not."""
    error = headers.read(path, MAX_PIXELS, video=video).error
    try:
        pixels = preprocessing.load(
            path, preprocessing.Preprocessing(8, max_pixels=MAX_PIXELS), frame=0.5 if video else None
        )
    except Exception as raised:
        return error or f"{type(raised).__name__}: {raised}"
    assert (pixels.shape, pixels.dtype, error) == ((8, 8, 3), np.uint8, "")
    return ""


def defused(path: Path, video: bool) -> str:
    """`attempt` in another process, whose time and memory are limited and watched."""
    body = """
        import resource, sys
        from pathlib import Path
        from tests.properties import test_bombs
        resource.setrlimit(resource.RLIMIT_CPU, (test_bombs.SECONDS, test_bombs.SECONDS))
        print(" ".join(test_bombs.attempt(Path(sys.argv[1]), bool(int(sys.argv[2]))).split()))
        print(test_bombs.fuzz.peak_mib())
    """
    done = subprocess.run(
        [sys.executable, "-c", re.sub("^ +", "", body, flags=re.MULTILINE), str(path), str(int(video))],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{done.returncode}: {done.stderr[-2000:]}"
    reason, peak = done.stdout.splitlines()
    assert int(peak) < PEAK_MIB, f"{peak} MiB of memory"
    return reason


@pytest.mark.parametrize("name", [*SIZES, *OTHERS])
def test_bombs(tmp_path, name):
    make, reason = (SIZES | OTHERS)[name]
    path = tmp_path / "bomb"
    path.write_bytes(make(tmp_path))
    assert path.stat().st_size < 4 << 20
    found = defused(path, video=name.startswith("mp4"))
    assert re.search(reason, found), found
    assert bool(found) or not reason


@pytest.mark.parametrize("text", ["ffconcat version 1.0\nfile seed.mp4\n", "#EXTM3U\n#EXTINF:1,\nseed.mp4\n"])
def test_a_list_of_files_is_no_video(tmp_path, text):
    """FFmpeg goes by content, too: it would read the files that a text named x.mp4 lists."""
    samples.write_video(tmp_path / "seed.mp4")
    (tmp_path / "x.mp4").write_text(text)
    assert headers.read(tmp_path / "x.mp4", MAX_PIXELS, video=True).error
    with pytest.raises(Exception, match=r"Invalid"):
        preprocessing.load(tmp_path / "x.mp4", preprocessing.Preprocessing(8, max_pixels=MAX_PIXELS), frame=0.5)


def test_a_damaged_tag_is_no_bomb(tmp_path):
    """Of more values than the file can hold: no decoder reads them, and the picture is fine."""
    values = {256: 10, 257: 10, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 10, 279: 100, 0x9999: 8}
    (tmp_path / "a.tif").write_bytes(_tiff(bytes(100), values, {0x9999: (4, 2**31)}))
    assert attempt(tmp_path / "a.tif", video=False) == ""


def test_a_video_that_grows_is_refused(tmp_path):
    """Its header is that of the first frame; the last frames are four times as large."""
    for size in (32, 64):
        samples.write_video(tmp_path / f"{size}.mp4", size=size, container="h264")
    path = tmp_path / "grows.mp4"
    path.write_bytes(b"".join((tmp_path / f"{size}.mp4").read_bytes() for size in (32, 64)))
    assert preprocessing.load(path, preprocessing.Preprocessing(8, max_pixels=5000), frame=1).shape == (8, 8, 3)
    with pytest.raises(Exception, match="Invalid|does not decode|more than"):
        preprocessing.load(path, preprocessing.Preprocessing(8, max_pixels=2000), frame=1)


def test_a_progressive_jpeg_of_a_program_has_few_scans(tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / "a.jpg", progressive=True)
    content = (tmp_path / "a.jpg").read_bytes()
    # A phone appends a video; any bytes may be in it.
    (tmp_path / "a.jpg").write_bytes(content + b"\xff\xda\0\4ab" * 1000)
    assert preprocessing.load(tmp_path / "a.jpg", preprocessing.Preprocessing(8, max_pixels=MAX_PIXELS)).shape == (
        8,
        8,
        3,
    )
