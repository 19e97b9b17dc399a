"""Preprocessing: a file to square RGB pixels, the same in packing and in prediction."""

import io
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageChops

from detector.core.errors import DetectorError
from detector.core.files import sha256 as hash_of
from detector.imaging import crops, decoding, windows
from detector.imaging.decoding import to_rgb
from detector.imaging.faces import face_box
from detector.imaging.looks import Looks
from detector.imaging.video import video_frame

WAYS = ("resize", "center_crop", "random_crop", "texture_crop")
FORMATS = ("JPEG", "WEBP")  # of recompression
JPEG_SIDE = 65_500  # pixels, as libjpeg has it
# What every version of ours did alike; recorded for those who read the pixels elsewhere.
FIXED = {
    "resize": "bilinear-antialias",
    "rgb": "exif-orientation, alpha over white, 16-bit / 257",
}


@dataclass(frozen=True, slots=True)
class Recompression:
    """Recompression of every image, whatever its class, with a quality drawn for each."""

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
class ErrorLevels:
    """Error levels in place of an image: what compressing it once more as JPEG changes (Krawetz 2007).

    Absolute differences to the image as it comes back from a JPEG file, colour 4:2:0, scaled so that the largest
    of an image is 255. An image that comes back as it was is black.
    """

    quality: int = 90  # of the JPEG

    def apply(self, image: Image.Image) -> Image.Image:
        """The error levels of an RGB image, RGB. Raises `BadImageError` for one that no JPEG file can hold."""
        if max(image.size) > JPEG_SIDE:
            raise decoding.BadImageError(
                f"{image.width} x {image.height} pixels: a side is longer than the {JPEG_SIDE} that JPEG can "
                "have; there are no error levels"
            )
        file = io.BytesIO()
        image.save(file, "JPEG", quality=self.quality, subsampling="4:2:0")
        with Image.open(file, formats=["JPEG"]) as opened:
            levels = ImageChops.difference(image, opened.convert("RGB"))
        largest = int(np.asarray(levels).max()) or 1
        return levels.point([round(255 * min(level, largest) / largest) for level in range(256)] * 3)


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Steps between a decoded file and its packed pixels, in this order:

    1. RGB, as `to_rgb` says;
    2. `ela`: the image's error levels, see `ErrorLevels`. First, of the file's own pixels in their places: what a
       compression left is in blocks of 8 x 8, which a resize mixes. Where to cut is still found in the image;
    3. `face_crop`: the square of `face_box`;
    4. `resize_to`: the shorter side gets this many pixels, the aspect ratio is kept; bilinear, antialiased;
    5. `preprocess`: "resize" squeezes the whole image into the square; "center_crop", "random_crop" and
       "texture_crop" cut a window of `size` pixels out of it (see `crops`). Where a side is shorter than `size`,
       the window is as wide as that side and is enlarged, bilinear;
    6. `recompress`: see `Recompression`. Last, so that every image ends with the same step on as many pixels;
    7. `centre`: the middle square of so many pixels. This alone is not done in packing, as training sees other
       windows of the packed square too. With `looks` a trained network sees these in its place (`views`).

    `max_pixels`: larger images are refused. Draws depend on the file's SHA-256 alone, so the same file gives the
    same pixels in every run, and `of(record)` treats a new file exactly as the training images were.
    """

    size: int  # pixels a side of what is packed
    preprocess: str = "resize"
    resize_to: int | None = None
    recompress: Recompression | None = None
    face_crop: bool = False
    max_pixels: int = 100_000_000
    centre: int | None = None  # pixels a side of what a network sees, where it is less
    ela: ErrorLevels | None = None
    looks: Looks | None = None  # of a bundle alone: the pipeline packs, and trains, without

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Preprocessing":
        """Preprocessing from a `record()` (in images.json, meta.json, export.json) or from the config's keys.

        Raises `DetectorError` for keys and values that this version does not know.
        """
        known = {field.name for field in fields(cls)}
        again = dict(settings.get("recompress") or {})
        odd = {key: value for key, value in settings.items() if key not in known and FIXED.get(key) != value}
        odd |= {key: again[key] for key in set(again) - {field.name for field in fields(Recompression)}}
        levels = settings.get("ela")
        if levels is not None and set(levels) - {field.name for field in fields(ErrorLevels)}:
            odd["ela"] = levels
        if settings.get("preprocess", WAYS[0]) not in WAYS or again.get("format", FORMATS[0]) not in FORMATS:
            odd |= settings
        if settings.get("centre") is not None and not 0 < settings["centre"] < settings.get("size", 0):
            odd["centre"] = settings["centre"]
        if odd or "size" not in settings:
            raise DetectorError(
                f"preprocessing: found {odd or dict(settings)}, expected size and any of "
                f"{', '.join(sorted(known))}, with preprocess one of {', '.join(WAYS)}, recompress.format one of "
                f"{', '.join(FORMATS)}, centre below size, and {FIXED}; use the version of the "
                "project that made the model"
            )
        given = {key: value for key, value in settings.items() if key in known}
        if given.get("recompress") is not None:
            if "quality" in again:
                again["quality"] = tuple(again["quality"])
            given["recompress"] = Recompression(**again)
        if levels is not None:
            given["ela"] = ErrorLevels(**levels)
        if given.get("looks") is not None:
            given["looks"] = Looks.of(given["looks"])
            given["looks"].windows(given["size"])
        return cls(**given)

    def record(self) -> dict[str, Any]:
        """JSON values of the steps that are taken; steps not taken are absent, except `face_crop`."""
        base = {"size": self.size, **FIXED, "face_crop": self.face_crop, "max_pixels": self.max_pixels}
        if self.preprocess != "resize":
            base["preprocess"] = self.preprocess
        if self.resize_to is not None:
            base["resize_to"] = self.resize_to
        if self.recompress is not None:
            base["recompress"] = asdict(self.recompress) | {"quality": list(self.recompress.quality)}
        if self.centre is not None:
            base["centre"] = self.centre
        if self.ela is not None:
            base["ela"] = asdict(self.ela)
        if self.looks is not None:
            base["looks"] = self.looks.record()
        return base

    @property
    def seen(self) -> int:
        """Side in pixels of what a network sees."""
        return self.size if self.centre is None else self.centre

    @property
    def draws(self) -> bool:
        """Whether the file's hash decides on pixels."""
        return self.preprocess == "random_crop" or self.recompress is not None

    def apply(self, image: Image.Image, sha256: str = "") -> np.ndarray:
        """Middle of an image that `decoded` returned, as a network sees it: uint8 (seen, seen, 3), RGB.

        Raises as `packed` does.
        """
        return np.ascontiguousarray(windows.middle(self.packed(image, sha256), self.seen))

    def views(self, image: Image.Image, sha256: str = "") -> np.ndarray:
        """All that a network sees of an image, whose logit is the mean of theirs: uint8 (n, seen, seen, 3), RGB.

        One, `apply`'s, without `looks`. Raises as `packed` does.
        """
        if self.looks is None:
            return self.apply(image, sha256)[None]
        return self.looks.cut(self.packed(image, sha256), self.seen)

    def packed(self, image: Image.Image, sha256: str = "") -> np.ndarray:
        """Pixels to pack of an image that `decoded` returned: uint8 (size, size, 3), RGB.

        `sha256`: of the file, needed where `draws`. Raises `ValueError` where it is needed and missing,
        `BadImageError` where `resize_to` makes more than `max_pixels` pixels.
        """
        if self.draws and not sha256:
            raise ValueError("random crops and recompression are drawn from the file's sha256, and none was given")
        levels = None if self.ela is None else self.ela.apply(image)
        # The same cuts of both, each found in the image.
        if self.face_crop:
            box = face_box(image)
            image, levels = image.crop(box), levels and levels.crop(box)
        if self.resize_to is not None:
            image, levels = self._scaled(image, self.resize_to), levels and self._scaled(levels, self.resize_to)
        window, kept = self._window(image, sha256), levels or image
        pixels = resize(kept if window is None else kept.crop(window), self.size)
        if self.recompress is None:
            return pixels
        return np.array(self.recompress.apply(Image.fromarray(pixels), sha256))

    def _scaled(self, image: Image.Image, resize_to: int) -> Image.Image:
        shorter = min(image.size)
        width, height = (round(side * resize_to / shorter) for side in image.size)
        decoding.check_size(width, height, self.max_pixels)  # a line of pixels would become a huge picture
        return image.resize((width, height), Image.Resampling.BILINEAR)

    def _window(self, image: Image.Image, sha256: str) -> crops.Box | None:
        side = min(self.size, *image.size)
        if self.preprocess == "center_crop":
            return crops.centre(image, side)
        if self.preprocess == "random_crop":
            return crops.random(image, side, sha256)
        if self.preprocess == "texture_crop":
            return crops.texture(image, side)
        return None


def load(
    path: str | os.PathLike,
    preprocessing: Preprocessing,
    *,
    frame: float | None = None,
    sha256: str | None = None,
    content: BinaryIO | None = None,
) -> np.ndarray:
    """Load one image, or one frame of a video, as it is packed: uint8 (size, size, 3), RGB.

    `frame`: position in a video (0 = first, 1 = last); None for images, of which animated ones give their first
    frame. `sha256`: of the file, if known; otherwise it is computed where a step draws from it. `content`: the
    bytes of an image that is no file by itself, whose hash must be known; errors call it by `path`.

    Raises `BadImageError`, or whatever Pillow or FFmpeg raise, for a file that is broken, truncated or too large.
    """
    if sha256 is None and preprocessing.draws:
        sha256 = hash_of(path)
    return preprocessing.packed(decoded(content or path, preprocessing.max_pixels, frame), sha256 or "")


def decoded(file: str | os.PathLike | BinaryIO, max_pixels: int, frame: float | None = None) -> Image.Image:
    """Decode an image, or the frame at a position of a video (which must be a path), to an upright RGB image.

    Raises as `load` does.
    """
    if frame is not None:
        if not isinstance(file, str | os.PathLike):
            raise TypeError("a frame is of a video, which must be a path")
        return video_frame(file, frame, max_pixels=max_pixels)
    with decoding.opened(file, max_pixels) as image:
        return to_rgb(image)


def resize(image: Image.Image, size: int) -> np.ndarray:
    """Resize an RGB image to uint8 (size, size, 3): bilinear with antialiasing, the aspect ratio not kept.

    The same bytes as torchvision's `Resize((size, size))` of a PIL image.
    """
    return np.array(image.resize((size, size), Image.Resampling.BILINEAR))
