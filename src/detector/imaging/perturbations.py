"""What happens to images on their way through the world, as small steps on packed pixels. No torch.

A perturbation is a list of steps, each a map of one name to one number, as `robustness.perturbations` in the
config has them: `[{scale: 0.5}, {jpeg: 75}]` is a picture that was shrunk, enlarged again and compressed. Steps
take and give uint8 (size, size, 3). They act on what the network sees, after the resizing of packing, not on the
file: JPEG of 64 pixels a side takes more of the content than the same of 1,024 (docs/robustness.md).
"""

import io
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageFilter

CLEAN = "clean"  # the name of no perturbation at all
CHAIN = "chain"  # the kind of a perturbation of several steps

Steps = Sequence[Mapping[str, float]]


def kind(steps: Steps) -> str:
    """The name of the only step, or `chain`."""
    return next(iter(steps[0])) if len(steps) == 1 else CHAIN


def value(steps: Steps) -> float:
    """The number of the only step; NaN for a chain."""
    return float(next(iter(steps[0].values()))) if len(steps) == 1 else float("nan")


def strength(kind: str, value: float) -> float:
    """Larger = further from doing nothing, among steps of one kind: qualities and shares count down, widths up."""
    return value if kind in ("blur", "noise") else -value


def text(steps: Steps) -> str:
    """`scale 0.5, jpeg 75`."""
    return ", ".join(f"{name} {value:g}" for step in steps for name, value in step.items())


def seed_of(source: str, path: str) -> int:
    """What makes an image's noise its own, whatever else is drawn or in which order."""
    return zlib.crc32(f"{source}/{path}".encode())


def apply(image: np.ndarray, steps: Steps, seed: int = 0) -> np.ndarray:
    """A new uint8 (size, size, 3): `image`, of the same shape and dtype, after all steps in turn.

    The same image, steps and seed give the same bytes. Raises KeyError for a step that is not in `STEPS`; the
    schema of the config keeps such steps out.
    """
    for place, step in enumerate(steps):
        ((name, value),) = step.items()
        image = STEPS[name](image, value, (seed, place))
    return np.array(image)


def _jpeg(image: np.ndarray, quality: float, _: object) -> np.ndarray:
    """JPEG of this quality, colour at half the resolution each way (4:2:0), as cameras and web sites store it."""
    return _stored(image, format="JPEG", quality=int(quality), subsampling="4:2:0")


def _webp(image: np.ndarray, quality: float, _: object) -> np.ndarray:
    """Lossy WebP of this quality."""
    return _stored(image, format="WEBP", quality=int(quality))


def _stored(image: np.ndarray, **options: object) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, **options)
    with Image.open(buffer) as stored:
        return np.asarray(stored.convert("RGB"))


def _scale(image: np.ndarray, factor: float, _: object) -> np.ndarray:
    """Resized to this share of the side, at least one pixel, and back; bilinear with antialiasing both times."""
    return _resized(_resized(image, max(1, round(factor * len(image)))), len(image))


def _blur(image: np.ndarray, deviation: float, _: object) -> np.ndarray:
    """Gaussian blur; its standard deviation in pixels of the packed image."""
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(deviation)))


def _noise(image: np.ndarray, deviation: float, seed: tuple[int, int]) -> np.ndarray:
    """Gaussian noise, drawn for each pixel and channel; its standard deviation in grey levels of 255."""
    drawn = np.random.default_rng(seed).normal(0, deviation, image.shape)
    return np.clip(np.rint(image + drawn), 0, 255).astype(np.uint8)


def _crop(image: np.ndarray, share: float, _: object) -> np.ndarray:
    """The centre, this share of the side, enlarged to the whole."""
    side = len(image)
    kept = max(1, round(share * side))
    start = (side - kept) // 2
    return _resized(image[start : start + kept, start : start + kept], side)


def _resized(image: np.ndarray, side: int) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR))


STEPS = {"jpeg": _jpeg, "webp": _webp, "scale": _scale, "blur": _blur, "noise": _noise, "crop": _crop}
