"""From a file to pixels, in one documented way: decode, make RGB, crop a face if asked, resize."""

import contextlib
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image, ImageOps

from detector import headers
from detector.errors import DetectorError
from detector.headers import BadImage

FACE_MARGIN = 0.3  # of the face's side, added on each side


def load(
    path: str | os.PathLike,
    size: int,
    *,
    frame: float | None = None,
    face_crop: bool = False,
    max_pixels: int,
) -> np.ndarray:
    """One image, or one frame of a video, as uint8 (size, size, 3) RGB.

    frame: position in a video (0 = first, 1 = last); None for images, of which animated ones give their
    first frame. face_crop: crop to the largest face first (see `face_box`). max_pixels: more is refused.

    Raises BadImage, or whatever Pillow or FFmpeg raise, for a file that is broken, truncated or too large.
    """
    if frame is not None:
        return _finish(video_frame(path, frame, max_pixels=max_pixels), size, face_crop)
    with headers.opened(path, max_pixels) as image:
        return _finish(to_rgb(image), size, face_crop)


def to_rgb(image: Image.Image) -> Image.Image:
    """Mode RGB from any mode that the accepted formats have:

    * the EXIF orientation is applied;
    * grey and 1-bit: the same value in the three channels; 16-bit grey: value / 257, rounded;
    * alpha, palette with transparency, and a colour marked as transparent: composited over white;
    * CMYK, YCCK and the rest: Pillow's conversion, which knows no colour profile.

    Raises BadImage for float pixels and 32-bit integers beyond 16 bits: their range is anyone's guess.
    """
    image = ImageOps.exif_transpose(image)
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
    starts at the key frame before. A rotation noted in the file is not applied.

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
    return frame.to_image()


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


def _finish(image: Image.Image, size: int, face_crop: bool) -> np.ndarray:
    return resize(image.crop(face_box(image)) if face_crop else image, size)


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


@lru_cache(maxsize=1)
def _cascade() -> tuple[Any, Any]:
    """(the module cv2, the loaded cascade), once a process."""
    try:
        import cv2
    except ImportError as error:
        raise DetectorError(
            "face_crop needs OpenCV, which is not installed: pip install '.[faces]', or set face_crop: false"
        ) from error
    cv2.setNumThreads(1)  # the worker processes share the cores already
    cascade = cv2.CascadeClassifier(str(Path(cv2.data.haarcascades) / "haarcascade_frontalface_default.xml"))
    return cv2, cascade
