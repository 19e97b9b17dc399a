"""From a file to pixels, in one documented way, `Preprocessing`: packing and a predictor do alike."""

import contextlib
import io
import os
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
from PIL import ExifTags, Image

from detector import crops, extras, headers
from detector.errors import DetectorError
from detector.files import sha256 as hash_of
from detector.headers import BadImage

FACE_MARGIN = 0.3  # of the face's side, added on each side
WAYS = ("resize", "center_crop", "random_crop", "texture_crop")
FORMATS = ("JPEG", "WEBP")  # of recompression
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
# A video's display matrix, of which (a, b, c, d) move the point (x, y) to (ax + cy, bx + dy) → the same.
MATRICES = {
    (-1, 0, 0, 1): Image.Transpose.FLIP_LEFT_RIGHT,
    (-1, 0, 0, -1): Image.Transpose.ROTATE_180,
    (1, 0, 0, -1): Image.Transpose.FLIP_TOP_BOTTOM,
    (0, 1, 1, 0): Image.Transpose.TRANSPOSE,
    (0, 1, -1, 0): Image.Transpose.ROTATE_270,
    (0, -1, -1, 0): Image.Transpose.TRANSVERSE,
    (0, -1, 1, 0): Image.Transpose.ROTATE_90,
}
# What every version of ours did alike; recorded for those who read the pixels elsewhere.
FIXED = {
    "resize": "bilinear-antialias",
    "rgb": "exif-orientation, alpha over white, 16-bit / 257",
}


@dataclass(frozen=True, slots=True)
class Recompression:
    """Each image is compressed once more, with a quality drawn for it, whatever its class."""

    format: str = "JPEG"  # or WEBP
    quality: tuple[int, int] = (60, 90)  # lowest and highest, both possible, each as likely
    subsampling: str = "4:2:0"  # of colour, JPEG alone; WEBP knows no other

    def apply(self, image: Image.Image, sha256: str) -> Image.Image:
        """The RGB image as it comes back from a file of this format."""
        low, high = self.quality
        quality = low + crops.draw(sha256, "quality", high - low + 1)
        options = {"subsampling": self.subsampling} if self.format == "JPEG" else {}
        file = io.BytesIO()
        image.save(file, self.format, quality=quality, **options)
        with Image.open(file, formats=[self.format]) as opened:
            return opened.convert("RGB")


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """All that is done between a decoded file and its packed pixels, in this order:

    1. RGB, as `to_rgb` says;
    2. `face_crop`: the square of `face_box`;
    3. `resize_to`: the shorter side gets this many pixels, the aspect ratio is kept; bilinear, antialiased;
    4. `preprocess`: "resize" squeezes the whole image into the square; "center_crop", "random_crop" and
       "texture_crop" cut a window of `size` pixels out of it (see `crops`). Where a side is shorter than `size`,
       the window is as wide as that side and is enlarged, bilinear;
    5. `recompress`: see `Recompression`. Last, so that every image ends with the same step on as many pixels.

    `max_pixels`: more is refused. Draws depend on the file's SHA-256 alone, so the same file gives the same pixels
    in every run, and a new file can be treated by `of(record)` exactly as the training images were.
    """

    size: int  # pixels a side of the result
    preprocess: str = "resize"
    resize_to: int | None = None
    recompress: Recompression | None = None
    face_crop: bool = False
    max_pixels: int = 100_000_000

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Preprocessing":
        """From `record()` (the `preprocessing` of images.json, meta.json, export.json), or from the config's keys.

        Raises DetectorError for keys and values that this version does not know.
        """
        known = {field.name for field in fields(cls)}
        again = settings.get("recompress") or {}
        odd = {key: value for key, value in settings.items() if key not in known and FIXED.get(key) != value}
        odd |= {key: again[key] for key in set(again) - {field.name for field in fields(Recompression)}}
        if settings.get("preprocess", WAYS[0]) not in WAYS or again.get("format", FORMATS[0]) not in FORMATS:
            odd |= settings
        if odd or "size" not in settings:
            raise DetectorError(
                f"preprocessing: found {odd or dict(settings)}, expected size and, of {', '.join(sorted(known))}, "
                f"what is not the default, with preprocess one of {', '.join(WAYS)}, recompress.format one of "
                f"{', '.join(FORMATS)}, and {FIXED}; use the version of the project that made the model"
            )
        given = {key: value for key, value in settings.items() if key in known}
        if given.get("recompress") is not None:
            pairs = again.items()
            given["recompress"] = Recompression(**{k: tuple(v) if k == "quality" else v for k, v in pairs})
        return cls(**given)

    def record(self) -> dict[str, Any]:
        """JSON values that say what was done; what was not done is not in it, but for `face_crop`."""
        base = {"size": self.size, **FIXED, "face_crop": self.face_crop, "max_pixels": self.max_pixels}
        if self.preprocess != "resize":
            base["preprocess"] = self.preprocess
        if self.resize_to is not None:
            base["resize_to"] = self.resize_to
        if self.recompress is not None:
            base["recompress"] = asdict(self.recompress) | {"quality": list(self.recompress.quality)}
        return base

    @property
    def draws(self) -> bool:
        """Whether the file's hash decides on pixels."""
        return self.preprocess == "random_crop" or self.recompress is not None

    def apply(self, image: Image.Image, sha256: str = "") -> np.ndarray:
        """uint8 (size, size, 3) RGB from what `decoded` returns. sha256: of the file, needed where `draws`.

        Raises BadImage where `resize_to` makes more than `max_pixels` pixels.
        """
        if self.draws and not sha256:
            raise ValueError("random crops and recompression are drawn from the file's sha256, and none was given")
        if self.face_crop:
            image = image.crop(face_box(image))
        if self.resize_to is not None:
            image = self._scaled(image)
        pixels = resize(self._window(image, sha256), self.size)
        if self.recompress is None:
            return pixels
        return np.array(self.recompress.apply(Image.fromarray(pixels), sha256))

    def _scaled(self, image: Image.Image) -> Image.Image:
        shorter = min(image.size)
        width, height = (round(side * self.resize_to / shorter) for side in image.size)
        headers.check_size(width, height, self.max_pixels)  # a line of pixels would become a huge picture
        return image.resize((width, height), Image.Resampling.BILINEAR)

    def _window(self, image: Image.Image, sha256: str) -> Image.Image:
        side = min(self.size, *image.size)
        if self.preprocess == "center_crop":
            return image.crop(crops.centre(image, side))
        if self.preprocess == "random_crop":
            return image.crop(crops.random(image, side, sha256))
        if self.preprocess == "texture_crop":
            return image.crop(crops.texture(image, side))
        return image


def load(
    path: str | os.PathLike, how: Preprocessing, *, frame: float | None = None, sha256: str | None = None
) -> np.ndarray:
    """One image, or one frame of a video, as uint8 (size, size, 3) RGB.

    frame: position in a video (0 = first, 1 = last); None for images, of which animated ones give their
    first frame. sha256: of the file, where it is known; else it is computed where something is drawn from it.

    Raises BadImage, or whatever Pillow or FFmpeg raise, for a file that is broken, truncated or too large.
    """
    if sha256 is None and how.draws:
        sha256 = hash_of(path)
    return how.apply(decoded(path, how.max_pixels, frame), sha256 or "")


def decoded(file: str | os.PathLike | BinaryIO, max_pixels: int, frame: float | None = None) -> Image.Image:
    """An image, or the frame at a position of a video (which must be a path), as an upright RGB image.

    Raises as `load` does.
    """
    if frame is not None:
        return video_frame(file, frame, max_pixels=max_pixels)
    with headers.opened(file, max_pixels) as image:
        return to_rgb(image)


def to_rgb(image: Image.Image) -> Image.Image:
    """Mode RGB from any mode that the accepted formats have:

    * the EXIF orientation is applied, where it can be read;
    * grey and 1-bit: the same value in the three channels; 16-bit grey: value / 257, rounded;
    * alpha, palette with transparency, and a colour marked as transparent: composited over white;
    * CMYK, YCCK and the rest: Pillow's conversion, which knows no colour profile.

    Raises BadImage for float pixels and 32-bit integers beyond 16 bits: their range is anyone's guess.
    """
    image = _upright(image)
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    if image.mode == "I" or image.mode.startswith("I;16"):
        return Image.fromarray(_eight_bits(np.asarray(image))).convert("RGB")
    if image.mode == "F" or image.mode == "LAB":
        raise BadImage(f"pixels of mode {image.mode!r} have no agreed conversion to 8-bit RGB")
    if image.has_transparency_data:
        if image.mode == "La":  # Pillow has no direct way from premultiplied grey
            image = image.convert("LA")
        pixels = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", pixels.size, "white"), pixels).convert("RGB")
    return image.convert("RGB")


def resize(image: Image.Image, size: int) -> np.ndarray:
    """uint8 (size, size, 3) from an RGB image: bilinear with antialiasing, the aspect ratio not kept.

    The same bytes as torchvision's `Resize((size, size))` of a PIL image.
    """
    return np.array(image.resize((size, size), Image.Resampling.BILINEAR))


def video_frame(path: str | os.PathLike, position: float, *, max_pixels: int | None = None) -> Image.Image:
    """The frame at `position` of a video (0 = first, 1 = last), as an RGB image.

    Of n frames it is number round(position · (n - 1)). Frames are counted by reading the packets without
    decoding them, so neither a missing duration nor a wrong frame count in the header matters. Decoding
    starts at the key frame before. Quarter turns and reflections that the file asks for are applied.

    Raises BadImage where there is no such frame or it has more than `max_pixels` pixels; av.FFmpegError.
    """
    with headers.opened_video(path, max_pixels) as container:
        packets = container.demux(container.streams.video[0])
        times = [packet.pts for packet in packets if packet.size and not packet.is_discard]
    if not times:
        raise BadImage("holds no video frames")
    index = round(position * (len(times) - 1))
    # Without a time on every packet there is nothing to seek to: count decoded frames from the start.
    if None in times:
        frame = _frame_number(path, index, max_pixels)
    else:
        frame = _frame_at(path, sorted(times)[index], max_pixels)
    if frame is None:
        raise BadImage(f"frame {index} of {len(times)} does not decode")
    if max_pixels is not None:
        headers.check_size(frame.width, frame.height, max_pixels)
    image, turn = frame.to_image(), _turn_of(frame)
    return image if turn is None else image.transpose(turn)


def face_box(image: Image.Image) -> tuple[int, int, int, int]:
    """A square (left, top, right, bottom) in pixels around the largest face, with a margin of 0.3 of its side.

    Faces are found by the frontal Haar cascade that ships with OpenCV. The square is moved, and if need be
    made smaller, to lie inside the image. Where no face is found it is the largest centred square, so that
    no image is lost.

    Raises DetectorError where OpenCV is not installed.
    """
    cv2, cascade = _cascade()
    grey = cv2.cvtColor(np.asarray(image), cv2.COLOR_RGB2GRAY)
    faces = cascade.detectMultiScale(grey, scaleFactor=1.1, minNeighbors=5)
    if len(faces):
        # The largest; of equals the first from the top left, not the first in OpenCV's list.
        x, y, width, height = max(map(tuple, faces), key=lambda f: (f[2] * f[3], -f[1], -f[0]))
        side = round(max(width, height) * (1 + 2 * FACE_MARGIN))
        centre_x, centre_y = x + width / 2, y + height / 2
    else:
        side = min(image.size)
        centre_x, centre_y = image.width / 2, image.height / 2
    side = min(side, *image.size)
    left = min(max(round(centre_x - side / 2), 0), image.width - side)
    top = min(max(round(centre_y - side / 2), 0), image.height - side)
    return left, top, left + side, top + side


def _upright(image: Image.Image) -> Image.Image:
    """The decoded image, turned as its EXIF or XMP says.

    Not Pillow's `exif_transpose`: that writes the rest of the EXIF anew, and fails where a camera wrote it oddly.
    """
    image.load()
    try:
        headers.check_tags(io.BytesIO(image.info.get("exif", b"").removeprefix(b"Exif\0\0")))
        turn = TURNS.get(image.getexif().get(ExifTags.Base.Orientation))
    except Exception:  # no EXIF that anyone could read; the pixels are none the worse
        turn = None
    return image if turn is None else image.transpose(turn)


def _turn_of(frame: av.VideoFrame) -> Image.Transpose | None:
    """What makes a frame upright, by the display matrix of its file."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return None
    a, b, _, c, d, *_ = np.sign(np.frombuffer(matrix, np.int32)).tolist()
    return MATRICES.get((a, b, c, d))


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """uint8 from 16-bit values: v / 257 rounded (65535 → 255); 257 is odd, so there are no ties."""
    if values.min() < 0 or values.max() > 0xFFFF:
        raise BadImage(f"grey values from {values.min()} to {values.max()} do not fit into 16 bits")
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _frame_at(path: str | os.PathLike, time: int, max_pixels: int | None) -> av.VideoFrame | None:
    """The frame with presentation time `time` (in the stream's time base), else the next one that decodes."""
    last = None
    # Some files' indices lead too far; then the only honest way is from the start.
    for seek in (True, False):
        with headers.opened_video(path, max_pixels) as container:
            stream = container.streams.video[0]
            if seek:
                container.seek(time, stream=stream, backward=True)
            for frame in container.decode(stream):
                last = frame
                if frame.pts is not None and frame.pts >= time:
                    break
        if last is not None and last.pts == time:
            break
    return last


def _frame_number(path: str | os.PathLike, index: int, max_pixels: int | None) -> av.VideoFrame | None:
    last = None
    with headers.opened_video(path, max_pixels) as container, contextlib.suppress(StopIteration):
        frames = container.decode(container.streams.video[0])
        for _ in range(index + 1):
            last = next(frames)
    return last


_own = threading.local()


def _cascade() -> tuple[Any, Any]:
    """(the module cv2, the loaded cascade), one a thread: one that several search with finds nonsense."""
    if not hasattr(_own, "cascade"):
        _own.cascade = _load_cascade()
    return _own.cascade


def _load_cascade() -> tuple[Any, Any]:
    try:
        import cv2
    except ImportError as error:
        raise extras.missing("cv2", "face_crop") from error
    cv2.setNumThreads(1)  # the worker processes share the cores already
    cascade = cv2.CascadeClassifier(str(Path(cv2.data.haarcascades) / "haarcascade_frontalface_default.xml"))
    return cv2, cascade
