"""Demo data sets in the three official layouts, synthesised: no download, no photograph, no licence.

Real: photographs of "dead leaves" (Lee, Mumford & Huang 2001), opaque textured shapes with power-law sizes that
occlude each other, which share the edges and the 1/f spectrum of natural images; then a lens and a noisy sensor.
Fake: other scenes of the same kind, seen through the lens, coded and decoded by a small convolutional autoencoder
that is trained on the spot, then given the *same* sensor noise. What is left to detect is what real generators
leave behind: the periodic traces of learned upsampling (Odena et al. 2016, "Deconvolution and checkerboard
artifacts"; Durall et al. 2020, "Watch your up-convolution"; Frank et al. 2020, "Leveraging frequency analysis
for deep fake image recognition"). Each generator has its own decoder, as in the data sets imitated.

Scenes, noise, file format and encoder settings have one distribution in both classes, and a decoded image gets
back the mean and the spectrum of its scene: brightness, contrast and file size tell little (docs/datasets.md has
figures). Sharpness statistics tell much; they are what learned upsampling leaves in images this small. No scene
is used twice, except that Synthbuster's nine generators draw the same prompts. Images are made at the size at
which the demo trains: resizing them would erase the traces.

The same arguments give the same bytes, whatever `threads` is, on the same kind of CPU with the same libraries.
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import av
import numpy as np
from PIL import Image

from detector.core import files, machine, pool
from detector.core.errors import DetectorError
from detector.core.progress import Progress
from detector.data.sources.synthbuster import GENERATORS
from detector.demo import scenes

log = logging.getLogger(__name__)

VERSION = 3  # raise it when the bytes made from the same arguments change
STAMP = "DEMO.json"
MADE_BY = "detector.demo"  # in the stamp; whatever module makes the data, those made before are known by it

# Images of each class in each split, videos of each folder, prompts: at scale 1, and the fewest at any scale
# (ten are what an 80/10/10 split needs to leave nothing empty).
FACES = {"train": (300, 10), "valid": (80, 4), "test": (150, 4)}
VIDEOS = {"Celeb-real": (30, 10), "Celeb-synthesis": (60, 10), "YouTube-real": (6, 2)}
PROMPTS = (20, 10)

# The layer with which each generator doubles its code to the size of the image.
DECODERS = {
    "faces140k": "transposed4",
    "celebdf": "transposed4",
    "dalle2": "transposed3",
    "dalle3": "nearest",
    "firefly": "shuffle",
    "glide": "transposed4",
    "midjourney-v5": "shuffle",
    "stable-diffusion-1-3": "transposed2",
    "stable-diffusion-1-4": "transposed2",
    "stable-diffusion-2": "transposed4",
    "stable-diffusion-xl": "transposed3",
}

TRAIN_SCENES, CROP = 64, 32  # that each autoencoder learns from; crops keep a step at milliseconds
FRAMES, FPS = 7, 25  # of a clip
MARGIN = 4  # pixels made on each side and cut off: a decoder's zero padding would mark the border
QUALITIES = (95, 96, 97, 98)  # of JPEG: lower ones erase the traces
CHUNK = 40  # images a job: short enough for a bar that moves


@dataclass(frozen=True)
class Item:
    """One file to generate."""

    path: str  # relative to the demo's root
    scene: str  # what is seen; equal names show the same scene
    decoder: str = ""  # a key of DECODERS; "" = real


def make_demo(
    root: Path, *, seed: int = 0, scale: float = 1.0, size: int = 48, threads: int | None = None
) -> None:
    """Write `root`/faces140k, `root`/celebdf and `root`/synthbuster: 8-bit RGB files of `size` x `size` pixels.

    `scale` multiplies every count; `threads` worker processes share the work (None: one per core, at most 8). The
    folder appears complete or not at all. A demo made with the same arguments is kept; one made with others is
    replaced. Raises `DetectorError` if `root` holds anything else.
    """
    root = Path(root)
    if scale <= 0 or size < CROP or size % 2:
        raise DetectorError(
            f"demo: scale {scale} and size {size}; scale must be above 0, size even and at least {CROP}"
        )
    items, tables = _plan(seed, scale)
    stamp = {
        "made_by": MADE_BY,
        "version": VERSION,
        "seed": seed,
        "scale": scale,
        "size": size,
        "counts": _counts(items),
        "files": len(items) + len(tables) + 1,
    }
    found = _existing(root)
    if found == stamp:
        log.info("demo: %s is already there, made with the same settings", root)
        return

    root.parent.mkdir(parents=True, exist_ok=True)
    fresh, old = (root.with_name(f".{root.name}.{word}-{os.getpid()}") for word in ("new", "old"))
    try:
        for path, text in tables.items():
            _ready(fresh / path).write_text(text)
        _make_files(fresh, items, seed, size, threads or min(machine.cores(), 8))
        (fresh / STAMP).write_text(json.dumps(stamp, indent=2) + "\n")
        if found is not None:
            os.replace(root, old)
        os.sync()  # thousands of small files at once
        files.publish(fresh, root)
    finally:
        for leftover in (fresh, old):
            shutil.rmtree(leftover, ignore_errors=True)
    log.info("demo: made %d files in %s", stamp["files"], root)


def _existing(root: Path) -> dict | None:
    """The stamp of the demo in `root`; None if there is nothing. Raises rather than lose a foreign file."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return None
    try:
        stamp = json.loads((root / STAMP).read_text())
        ours = stamp["made_by"] == MADE_BY
        spare = stamp["files"] - sum(path.is_file() for path in root.rglob("*"))
    except (OSError, ValueError, KeyError, TypeError):
        ours = False
    if not ours or spare < 0:
        found = "more files than the demo made" if ours else f"no {STAMP} of a demo"
        raise DetectorError(
            f"{root}: found {found}; expected nothing or an untouched demo. It was left as it is: choose another "
            "folder, or move this one away."
        )
    return stamp if spare == 0 else {}  # {}: files are missing, make it again


# What is to be made.


def _plan(seed: int, scale: float) -> tuple[list[Item], dict[str, str]]:
    """Every image and video, and the text files {path: content} that the data sets come with."""

    def count(most: int, least: int) -> int:
        return max(least, round(most * scale))

    faces, tables = _plan_faces(_rng(seed, "names/faces"), {k: count(*v) for k, v in FACES.items()})
    videos, testing = _plan_videos({k: count(*v) for k, v in VIDEOS.items()})
    stems = _rng(seed, "names/prompts").choice(16**8, count(*PROMPTS), replace=False)
    prompts = [
        Item(f"synthbuster/{generator}/r{stem:08x}t.png", f"prompt {stem}", generator)
        for generator in GENERATORS
        for stem in sorted(stems)
    ]
    return faces + videos + prompts, tables | testing


def _plan_faces(rng: np.random.Generator, counts: dict[str, int]) -> tuple[list[Item], dict[str, str]]:
    """140k: real files are called by five digits, fakes by ten capitals and digits; one CSV a split."""
    numbers = iter(rng.choice(100_000, sum(counts.values()), replace=False))
    letters = np.array(list("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"))
    items, tables = [], {}
    for split, n in counts.items():
        rows: list[tuple[object, ...]] = [("", "original_path", "id", "label", "label_str", "path")]
        for label, word in ((1, "real"), (0, "fake")):
            for _ in range(n):
                name = f"{next(numbers):05d}" if label else "".join(rng.choice(letters, 10))
                path = f"{split}/{word}/{name}.jpg"
                rows.append((len(rows) - 1, "n/a", name, label, word, path))
                full = f"faces140k/real_vs_fake/real-vs-fake/{path}"
                items.append(Item(full, full, "" if label else "faces140k"))
        tables[f"faces140k/{split}.csv"] = "".join(",".join(map(str, row)) + "\n" for row in rows)
    return items, tables


def _plan_videos(counts: dict[str, int]) -> tuple[list[Item], dict[str, str]]:
    """Celeb-DF: people come in pairs who lend each other their faces, so that people can be split apart.

    The last pair and the first YouTube videos are the official test.
    """
    pairs = max(3, counts["Celeb-real"] // 4)
    names: list[tuple[str, bool]] = []  # path, in the test list
    for i in range(counts["Celeb-real"]):
        person, take = i % (2 * pairs), i // (2 * pairs)
        names.append((f"Celeb-real/id{person}_{take:04d}", person // 2 == pairs - 1))
    for i in range(counts["Celeb-synthesis"]):
        target, take = i % (2 * pairs), i // (2 * pairs)
        names.append((f"Celeb-synthesis/id{target}_id{target ^ 1}_{take:04d}", target // 2 == pairs - 1))
    for i in range(counts["YouTube-real"]):
        names.append((f"YouTube-real/{i:05d}", i < counts["YouTube-real"] // 2))
    items, lines = [], []
    for name, testing in names:
        fake = name.startswith("Celeb-synthesis")
        items.append(Item(f"celebdf/{name}.mp4", name, "celebdf" if fake else ""))
        if testing:
            lines.append(f"{0 if fake else 1} {name}.mp4\n")
    return items, {"celebdf/List_of_testing_videos.txt": "".join(lines)}


def _counts(items: Sequence[Item]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for item in items:
        folder = os.path.dirname(item.path)
        counts[folder] = counts.get(folder, 0) + 1
    return counts


# Making it.


def _make_files(folder: Path, items: list[Item], seed: int, size: int, workers: int) -> None:
    """Write every item below `folder`, in worker processes."""
    progress = Progress("demo", len(items))
    chunks = []
    for decoder in ("", *DECODERS):
        own = [item for item in items if item.decoder == decoder]
        chunks += [own[i : i + CHUNK] for i in range(0, len(own), CHUNK)]
    jobs = [(folder, chunk, seed, size) for chunk in chunks]
    for index, _ in pool.run(_write, jobs, workers):
        progress.add(len(chunks[index]))


def _rng(seed: int, name: str) -> np.random.Generator:
    """Random numbers that depend on what they are for, not on what was made before."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:16]))


def _write(folder: Path, items: list[Item], seed: int, size: int) -> None:
    """Render, decode what is fake, photograph and save."""
    for item in items:
        path = folder / item.path
        count = FRAMES if path.suffix == ".mp4" else 1
        frames = scenes.scene(_rng(seed, f"scene/{item.scene}"), size + 2 * MARGIN, count)
        if item.decoder:
            frames = _generator(item.decoder, seed, size)(frames)
        frames = frames[:, MARGIN:-MARGIN, MARGIN:-MARGIN]
        rng = _rng(seed, f"camera/{item.path}")
        _save(_ready(path), scenes.sensor(rng, frames), rng)


def _ready(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _save(path: Path, frames: np.ndarray, rng: np.random.Generator) -> None:
    """Encode as the suffix says, with settings that know nothing of the class."""
    if path.suffix == ".png":
        Image.fromarray(frames[0]).save(path)
    elif path.suffix == ".jpg":
        Image.fromarray(frames[0]).save(path, quality=int(rng.choice(QUALITIES)))
    else:
        with av.open(str(path), "w", options={"fflags": "+bitexact"}) as video:
            # one thread and a low quantiser: the same bytes everywhere, and the traces survive
            stream = video.add_stream("libx264", FPS, options={"crf": "1", "g": "1", "threads": "1"})
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt = "yuv420p"
            for frame in frames:
                video.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            video.mux(stream.encode())


@cache
def _generator(name: str, seed: int, size: int) -> Callable[[np.ndarray], np.ndarray]:
    """What generator `name` makes of frames, by an autoencoder that is the same in each process that trains it."""
    # Not imported at the top: torch takes seconds, and neither who hands out the work nor a photograph needs it.
    from detector.demo import decoders

    rng = _rng(seed, f"weights/{name}")
    return partial(decoders.decoded, decoders.trained(DECODERS[name], _training_scenes(seed, size), CROP, rng))


@cache
def _training_scenes(seed: int, size: int) -> np.ndarray:
    """float32 (TRAIN_SCENES, size, size, 3): what all generators learn from, and no item shows."""
    return np.stack([scenes.scene(_rng(seed, f"train/{i}"), size)[0] for i in range(TRAIN_SCENES)])
