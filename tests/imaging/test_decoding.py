"""Every kind of pixels becomes RGB as documented, resizing equals torchvision's, and broken files raise."""

import builtins
import os
import re
import signal
import socket
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFilter, PngImagePlugin
from torchvision.transforms import v2

from detector.core.errors import DetectorError
from detector.imaging import avif, decoding, faces, headers, preprocessing, video
from detector.imaging.decoding import BadImageError
from detector.imaging.preprocessing import Preprocessing
from tests.support import samples

LIMIT = 1_000_000
RED, WHITE = (255, 0, 0), (255, 255, 255)


def rgb(image):
    return np.asarray(decoding.to_rgb(image))


def random_image(size=(37, 23), seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


# --- modes ----------------------------------------------------------------------------------------


def test_rgb_is_untouched():
    image = random_image()
    assert np.array_equal(rgb(image), np.asarray(image))


@pytest.mark.parametrize("mode", ["L", "1"])
def test_grey_is_replicated(mode):
    image = random_image().convert(mode)
    expected = np.asarray(image.convert("L"))
    assert all(np.array_equal(rgb(image)[..., channel], expected) for channel in range(3))


@pytest.mark.parametrize("dtype", ["<u2", ">u2", "<i4"])
def test_sixteen_bit_grey_is_divided_by_257_and_rounded(dtype):
    values = np.array([[0, 128, 129, 257, 32768, 65406, 65407, 65535]])
    image = Image.fromarray(values.astype(dtype))
    assert image.mode.startswith("I")
    assert rgb(image)[0, :, 1].tolist() == [0, 0, 1, 1, 128, 254, 255, 255]
    assert rgb(image)[0, :, 1].tolist() == np.round(values[0] / 257).tolist()


def test_sixteen_bit_png_from_a_file(tmp_path):
    Image.fromarray(np.full((4, 4), 51400, np.uint16)).save(tmp_path / "a.png")
    assert (preprocessing.load(tmp_path / "a.png", Preprocessing(4, max_pixels=LIMIT)) == 200).all()


def test_transparent_is_white_and_half_transparent_is_half_white():
    image = Image.new("RGBA", (3, 1), (*RED, 255))
    image.putpixel((1, 0), (*RED, 0))
    image.putpixel((2, 0), (0, 0, 0, 51))
    assert rgb(image)[0].tolist() == [list(RED), list(WHITE), [204, 204, 204]]
    assert rgb(image.convert("RGBa"))[0].tolist() == rgb(image)[0].tolist()


@pytest.mark.parametrize("mode", ["LA", "La"])
def test_transparent_grey(mode):
    image = Image.new("LA", (2, 1), (100, 255))
    image.putpixel((1, 0), (100, 0))
    if mode == "La":
        image = image.convert("La")
    assert rgb(image)[0].tolist() == [[100] * 3, [255] * 3]


def test_palette_with_and_without_transparency(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([*RED, 0, 0, 255])
    image.putpixel((1, 0), 1)
    assert rgb(image)[0].tolist() == [list(RED), [0, 0, 255]]
    image.save(tmp_path / "a.png", transparency=1)
    with Image.open(tmp_path / "a.png") as opened:
        assert opened.mode == "P"
        assert rgb(opened)[0].tolist() == [list(RED), list(WHITE)]


def test_palette_with_alpha():
    image = Image.new("RGBA", (2, 1), (*RED, 255))
    image.putpixel((1, 0), (*RED, 0))
    assert rgb(image.convert("PA"))[0, 1].tolist() == list(WHITE)


@pytest.mark.parametrize(("mode", "key"), [("RGB", RED), ("L", 76)])
def test_colour_marked_as_transparent_is_white(tmp_path, mode, key):
    image = Image.new(mode, (2, 1), key)
    image.putpixel((1, 0), (1, 2, 3) if mode == "RGB" else 7)
    image.save(tmp_path / "a.png", transparency=key)
    with Image.open(tmp_path / "a.png") as opened:
        assert rgb(opened)[0].tolist() == [list(WHITE), [1, 2, 3] if mode == "RGB" else [7] * 3]


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "HSV"])
def test_other_colour_spaces_by_pillows_conversion(mode):
    image = random_image().convert(mode)
    assert np.array_equal(rgb(image), np.asarray(image.convert("RGB")))


def test_cmyk_jpeg_has_the_right_sense(tmp_path):
    """Adobe's CMYK JPEG files store inverted ink; taken at face value, red would come out as cyan."""
    Image.new("RGB", (16, 16), RED).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    red, green, blue = preprocessing.load(tmp_path / "a.jpg", Preprocessing(16, max_pixels=LIMIT))[8, 8].astype(
        int
    )
    assert red > 240
    assert green < 15
    assert blue < 15


@pytest.mark.parametrize(
    "image", [Image.new("F", (2, 2)), Image.new("LAB", (2, 2)), Image.new("I", (2, 2), 70_000)]
)
def test_pixels_of_unknown_range_are_refused(image):
    with pytest.raises(BadImageError):
        decoding.to_rgb(image)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, orientation):
    """The tag says how the stored picture must be turned; all eight must show the same upright picture."""
    upright = np.zeros((8, 8, 3), np.uint8)
    upright[:4, :4] = 255
    upright[:4, 4:] = 128
    undo = {  # what a camera held that way stores
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(undo[orientation](upright))).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(preprocessing.load(tmp_path / "a.png", Preprocessing(8, max_pixels=LIMIT)), upright)


def ifd(*entries):
    """EXIF of these (tag, type, count, value of up to four bytes, or the value's bytes)."""
    packed, data, end = b"", b"", 8 + 2 + 12 * len(entries) + 4
    for tag, kind, count, value in entries:
        packed += struct.pack("<HHI", tag, kind, count)
        if len(value) > 4:
            packed, data = packed + struct.pack("<I", end + len(data)), data + value
        else:
            packed += value.ljust(4, b"\0")
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + packed + bytes(4) + data


TURNED = (0x112, 3, 1, b"\6\0")
ODD_EXIF = {
    "width that is text": (ifd((0x100, 2, 4, b"abc\0"), TURNED), True),
    "a number beyond what Pillow writes": (ifd(TURNED, (0x9999, 16, 1, struct.pack("<Q", 2**63))), True),
    "an orientation that there is not": (ifd((0x112, 3, 1, b"\x63\0")), False),
    "an orientation of text": (ifd((0x112, 2, 2, b"6\0")), False),
    "many orientations": (ifd((0x112, 3, 8, b"\6\0" * 8)), True),
    "no TIFF": (bytes(20), False),
    "half a TIFF": (ifd(TURNED)[:12], False),
    "the end of it": (b"\0\x08\0\x02\x01\x12\0\x03", False),
    "nothing": (b"", False),
}


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize("odd", ODD_EXIF)
def test_a_photo_with_odd_exif_is_none_the_worse(tmp_path, suffix, odd):
    """The orientation is applied where it can be read, whatever else there is."""
    exif, turned = ODD_EXIF[odd]
    random_image().save(tmp_path / f"plain.{suffix}")
    random_image().save(tmp_path / f"a.{suffix}", exif=b"Exif\0\0" + exif)
    plain = preprocessing.decoded(tmp_path / f"plain.{suffix}", LIMIT)
    expected = plain.transpose(Image.Transpose.ROTATE_270) if turned else plain
    assert preprocessing.decoded(tmp_path / f"a.{suffix}", LIMIT).tobytes() == expected.tobytes()
    assert headers.read(tmp_path / f"a.{suffix}", LIMIT, video=False).error == ""


def test_a_tiff_is_turned_once(tmp_path):
    """Pillow does so itself, as the orientation is among the tags of the file."""
    random_image().save(tmp_path / "a.tif", tiffinfo={0x112: 6})
    expected = random_image().transpose(Image.Transpose.ROTATE_270)
    assert preprocessing.decoded(tmp_path / "a.tif", LIMIT).tobytes() == expected.tobytes()


@pytest.mark.parametrize("kind", ["profile", "text"])
def test_a_profile_or_a_text_of_megabytes_changes_no_pixel(tmp_path, kind):
    """Monitors have such profiles, and generators of images write their workflows."""
    text = PngImagePlugin.PngInfo()
    text.add_text("workflow", "x" * 3_000_000, zip=True)
    more = {"profile": {"icc_profile": bytes(3_000_000)}, "text": {"pnginfo": text}}[kind]
    random_image().save(tmp_path / "a.png", **more)
    assert preprocessing.decoded(tmp_path / "a.png", LIMIT).tobytes() == random_image().tobytes()


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, WHITE)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert preprocessing.load(tmp_path / "a.gif", Preprocessing(8, max_pixels=LIMIT))[0, 0].tolist() == list(RED)


# --- resizing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [8, 32, 50])
@pytest.mark.parametrize("shape", [(37, 23), (200, 64), (32, 32), (5, 3)])
def test_resize_is_torchvisions(shape, size):
    image = random_image(shape)
    ours = preprocessing.resize(image, size)
    assert (ours.shape, ours.dtype) == ((size, size, 3), np.uint8)
    transform = v2.Resize((size, size), antialias=True)
    assert np.array_equal(ours, np.asarray(transform(image)))
    tensor = transform(torch.from_numpy(np.array(image)).permute(2, 0, 1)).permute(1, 2, 0)
    assert np.abs(ours.astype(int) - tensor.numpy().astype(int)).max() <= 1


# --- files that are broken or too large -----------------------------------------------------------


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "gif", "bmp", "tif"])
def test_truncated_files_raise(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    random_image((64, 64)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises((OSError, ValueError, SyntaxError)):
        preprocessing.load(path, Preprocessing(8, max_pixels=LIMIT))


def test_too_many_pixels_are_refused_before_decoding(tmp_path):
    random_image((40, 25)).save(tmp_path / "a.png")
    assert preprocessing.load(tmp_path / "a.png", Preprocessing(8, max_pixels=1000)).shape == (8, 8, 3)
    with pytest.raises(BadImageError, match=r"40 x 25 pixels are more than data\.max_pixels, 999"):
        preprocessing.load(tmp_path / "a.png", Preprocessing(8, max_pixels=999))


def test_formats_are_those_of_photographs(tmp_path):
    random_image().save(tmp_path / "a.png", format="PPM")
    with pytest.raises(BadImageError, match=r"^no image that can be read, expected JPEG, PNG, "):
        preprocessing.load(tmp_path / "a.png", Preprocessing(8, max_pixels=LIMIT))


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (
            b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
            r"^HEIC, .*: convert it, or install pillow-heif: pip install '\.\[heif\]'$",
        ),
        (b"\0\0\0\x1cftypavif\0\0\0\0mif1avif", "^AVIF, .*: convert it, or install a Pillow that reads AVIF$"),
        (b"\xff\x0a\xfa\x7f\x01", "^JPEG XL, .*: convert it$"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "^JPEG XL, .*: convert it$"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "^JPEG 2000, .*: convert it$"),
    ],
)
def test_a_format_that_is_not_read_here_is_named_with_what_to_do(tmp_path, monkeypatch, start, message):
    monkeypatch.setattr(decoding, "readable", lambda: decoding.FORMATS)
    (tmp_path / "a.jpg").write_bytes(start + bytes(64))
    assert re.search(message, headers.read(tmp_path / "a.jpg", LIMIT, video=False).error)
    with pytest.raises(BadImageError, match=message):
        preprocessing.load(tmp_path / "a.jpg", Preprocessing(8, max_pixels=LIMIT))


@pytest.mark.parametrize(("form", "needs"), [("AVIF", "PIL._avif"), ("HEIF", "pillow_heif")])
@pytest.mark.parametrize("suffix", ["heic", "jpg"])
def test_what_a_plugin_reads_is_read_whatever_it_is_called(tmp_path, form, needs, suffix):
    pytest.importorskip(needs, reason=f"no plugin for {form}")
    assert form in decoding.readable()
    picture = random_image((64, 40)).filter(ImageFilter.GaussianBlur(4))
    picture.save(tmp_path / f"a.{suffix}", form, quality=95)
    found = preprocessing.decoded(tmp_path / f"a.{suffix}", LIMIT)
    assert found.size == (64, 40)
    assert np.abs(np.asarray(found, float) - np.asarray(picture)).mean() < 5
    assert headers.read(tmp_path / f"a.{suffix}", LIMIT, video=False).format == form


@pytest.mark.parametrize("kind", ["picture", "transparent", "animated"])
def test_an_avif_is_as_large_as_what_is_coded_in_it(tmp_path, kind):
    """Its boxes say 8 x 8: the decoder would shrink a picture of any size to that."""
    pytest.importorskip("PIL._avif", reason="no plugin for AVIF")
    picture = random_image((200, 100))
    picture = picture.convert("RGBA") if kind == "transparent" else picture
    if kind == "transparent":
        picture.putalpha(picture.getchannel(0))
    more = {"save_all": True, "append_images": [picture.rotate(180)]} if kind == "animated" else {}
    picture.save(tmp_path / "a.avif", **more)
    data = (tmp_path / "a.avif").read_bytes()
    sizes = avif.coded_sizes(data)
    assert set(sizes) == {(200, 100)}
    assert len(sizes) == (1 if kind == "picture" else 2)
    assert preprocessing.decoded(tmp_path / "a.avif", LIMIT).size == (200, 100)
    (tmp_path / "a.avif").write_bytes(data.replace(struct.pack(">II", 200, 100), struct.pack(">II", 8, 8)))
    with pytest.raises(BadImageError, match=r"200 x 100 pixels are more than data\.max_pixels, 10000"):
        preprocessing.decoded(tmp_path / "a.avif", 10_000)


@pytest.fixture
def soon():
    """Whatever takes longer than ten seconds ends in TimeoutError."""

    def late(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(10)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("kind", ["a named pipe", "a socket", "a device", "a folder"])
@pytest.mark.parametrize("suffix", ["png", "mp4"])
def test_what_is_no_file_is_named_and_not_waited_for(tmp_path, monkeypatch, soon, kind, suffix):
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    path, frame = Path(f"a.{suffix}"), 0.5 if suffix == "mp4" else None
    if kind == "a named pipe":
        os.mkfifo(path)
    elif kind == "a socket":
        socket.socket(socket.AF_UNIX).bind(str(path))
    elif kind == "a device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    assert headers.read(path, LIMIT, video=frame is not None).error == f"{kind}, not a file"
    with pytest.raises(BadImageError, match=f"^{kind}, not a file$"):
        preprocessing.load(path, Preprocessing(8, max_pixels=LIMIT), frame=frame)


# --- videos ---------------------------------------------------------------------------------------


def grey_of(image):
    return int(np.median(np.asarray(image)))


@pytest.mark.parametrize("frames", [1, 5, 30])
@pytest.mark.parametrize("position", [0, 0.25, 0.5, 0.9, 1])
def test_video_frame_is_the_one_at_the_position(tmp_path, frames, position):
    samples.write_video(tmp_path / "a.mp4", frames)
    assert abs(grey_of(video.video_frame(tmp_path / "a.mp4", position)) - 8 * round(position * (frames - 1))) <= 3


@pytest.mark.parametrize("container", ["h264", "mpegts", "matroska"])
def test_video_without_times_or_frame_count(tmp_path, container):
    """A raw stream has neither times nor a duration, MPEG-TS no count, and its times do not begin at 0."""
    samples.write_video(tmp_path / "a.mp4", 20, container=container)
    for position, number in ((0, 0), (0.5, 10), (1, 19)):
        assert abs(grey_of(video.video_frame(tmp_path / "a.mp4", position)) - 8 * number) <= 3


@pytest.mark.parametrize(
    ("total", "count", "numbers"),
    [
        *((9, 1, [4]), (8, 4, [1, 3, 5, 7]), (400, 4, [50, 150, 250, 350])),
        *((5, 4, [0, 1, 3, 4]), (5, 5, [0, 1, 2, 3, 4]), (3, 8, [0, 1, 2]), (1, 8, [0])),
    ],
)
def test_several_frames_are_spread_evenly_and_none_is_taken_twice(total, count, numbers):
    assert video.spread(total, count) == numbers


def test_several_frames_of_a_video_are_those_of_their_numbers(tmp_path):
    samples.write_video(tmp_path / "a.mp4", 20)
    found = list(video.video_frames(tmp_path / "a.mp4", 4))
    assert all(abs(grey_of(image) - 8 * n) <= 3 for image, n in zip(found, (2, 7, 12, 17), strict=True))
    assert len(list(video.video_frames(tmp_path / "a.mp4", 99))) == video.frame_count(tmp_path / "a.mp4") == 20


def quadrants(image):
    """The grey values of the four quarters, row by row, in units of 60."""
    width, height = image.size
    boxes = [(x, y, x + width // 2, y + height // 2) for y in (0, height // 2) for x in (0, width // 2)]
    return [round(grey_of(image.convert("L").crop(box)) / 60) for box in boxes]


@pytest.mark.parametrize(
    ("matrix", "seen"),
    [
        ((1, 0, 0, 1), [1, 2, 3, 4]),
        ((0, 1, -1, 0), [3, 1, 4, 2]),  # of a phone held upright: a quarter turn clockwise
        ((-1, 0, 0, -1), [4, 3, 2, 1]),
        ((0, -1, 1, 0), [2, 4, 1, 3]),
        ((-1, 0, 0, 1), [2, 1, 4, 3]),
        ((1, 0, 0, -1), [3, 4, 1, 2]),
        ((0, 1, 1, 0), [1, 3, 2, 4]),
        ((0, -1, -1, 0), [4, 2, 3, 1]),
        ((0.7, 0.7, -0.7, 0.7), [1, 2, 3, 4]),  # not by quarters: as it is
    ],
)
def test_a_video_is_turned_as_it_asks_for(tmp_path, matrix, seen):
    """By the matrix that cameras write, as players do. The header keeps the width and height that are stored."""
    path = tmp_path / "a.mp4"
    pixels = np.repeat(np.repeat(np.array([[60, 120], [180, 240]], np.uint8), 32, 0), 48, 1)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=25, options={"crf": "8"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.dstack([pixels] * 3), format="rgb24")
        for packet in (*stream.encode(frame), *stream.encode()):
            file.mux(packet)
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 44
    a, b, c, d = (round(value * 65536) for value in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    image = video.video_frame(path, 0)
    assert image.size == ((64, 96) if matrix[0] == 0 else (96, 64))
    assert quadrants(image) == seen
    header = headers.read(path, LIMIT, video=True)
    assert (header.width, header.height) == (96, 64)


def test_load_takes_a_frame_of_a_video(tmp_path):
    samples.write_video(tmp_path / "a.mp4", 11)
    pixels = preprocessing.load(tmp_path / "a.mp4", Preprocessing(16, max_pixels=LIMIT), frame=0.5)
    assert (pixels.shape, pixels.dtype) == ((16, 16, 3), np.uint8)
    assert abs(grey_of(pixels) - 40) <= 3
    with pytest.raises(BadImageError, match="32 x 32"):
        preprocessing.load(tmp_path / "a.mp4", Preprocessing(16, max_pixels=1000), frame=0.5)


def test_broken_videos_raise(tmp_path):
    samples.write_video(tmp_path / "a.mp4", 11)
    content = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "a.mp4").write_bytes(content[: len(content) // 2])
    with pytest.raises(Exception, match="Invalid data"):
        video.video_frame(tmp_path / "a.mp4", 0.5)
    found = headers.read(tmp_path / "a.mp4", LIMIT, video=True).error
    assert found == "no video that can be read (Invalid data found when processing input)"


# --- faces ----------------------------------------------------------------------------------------


@pytest.fixture
def cv2():
    return pytest.importorskip("cv2", reason="face_crop needs the extra 'faces'")


def drawn_face(centre, radius, size=(320, 240)):
    """A cartoon that the Haar cascade takes for a face: bright oval, dark eyes, brows and mouth."""
    image = Image.new("RGB", size, (90, 90, 90))
    draw = ImageDraw.Draw(image)

    def oval(x, y, width, height, colour):
        x, y, width, height = (centre[0] + x * radius, centre[1] + y * radius, width * radius, height * radius)
        draw.ellipse((x - width, y - height, x + width, y + height), fill=colour)

    oval(0, 0, 0.85, 1.15, (225, 190, 165))
    for side in (-1, 1):
        oval(0.36 * side, -0.28, 0.24, 0.13, (120, 85, 70))
        oval(0.36 * side, -0.22, 0.13, 0.08, (25, 20, 20))
        oval(0.36 * side, -0.45, 0.26, 0.05, (60, 40, 30))
    oval(0, 0.15, 0.12, 0.25, (240, 210, 185))
    oval(0, 0.28, 0.16, 0.05, (140, 95, 80))
    oval(0, 0.62, 0.34, 0.09, (130, 50, 50))
    return image


def test_face_box_holds_the_face(cv2):
    left, top, right, bottom = faces.face_box(drawn_face((220, 110), 60))
    assert right - left == bottom - top < 240
    assert left < 220 - 45 < 220 + 45 < right
    assert top < 110 - 45 < 110 + 45 < bottom


def test_face_box_without_a_face_is_the_centre(cv2):
    assert faces.face_box(Image.new("RGB", (60, 40))) == (10, 0, 50, 40)


def test_face_crop_is_what_load_resizes(cv2, tmp_path):
    image = drawn_face((220, 110), 60)
    image.save(tmp_path / "a.png")
    expected = preprocessing.resize(image.crop(faces.face_box(image)), 32)
    assert np.array_equal(
        preprocessing.load(tmp_path / "a.png", Preprocessing(32, face_crop=True, max_pixels=LIMIT)), expected
    )


def test_faces_found_by_several_threads_are_those_that_one_finds(cv2):
    pictures = [drawn_face((90 + 5 * number, 110), 45 + number) for number in range(24)]
    alone = [faces.face_box(picture) for picture in pictures]
    assert len(set(alone)) > 20, "faces are found"
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(faces.face_box, pictures)) == alone


def test_face_crop_without_opencv_says_what_to_install(monkeypatch):
    original = builtins.__import__

    def no_cv2(name, *args, **kwargs):
        if name == "cv2":
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_cv2)
    monkeypatch.setattr(faces, "_own", threading.local())
    with pytest.raises(DetectorError, match=r"pip install '\.\[faces\]'"):
        faces.face_box(random_image())
