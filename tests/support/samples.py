"""Helpers shared by the tests: small real files, and small trees in the official layouts."""

import importlib.util
from pathlib import Path
from types import ModuleType

import av
import numpy as np
from PIL import Image

from detector.data.sources import celebdf, synthbuster
from tests.support import ROOT

SCRIPTS = ROOT / "workflow/scripts"


def load_script(name: str) -> ModuleType:
    """An entry point of a stage as a module: its `main` takes a namespace of arguments."""
    spec = importlib.util.spec_from_file_location(name.replace("/", "_"), SCRIPTS / f"{name}.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def write_picture(path: Path, seed: int = 0, size: tuple[int, int] = (16, 12), mode: str = "RGB", **save) -> None:
    """A picture of random pixels in the format of the path's suffix; `size`: (width, height); `save`: Pillow's."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).convert(mode).save(path, **save)


def write_video(path: Path, frames: int = 5, size: int = 32, container: str | None = None) -> None:
    """An H.264 video whose frame number i has the grey value 8 · i everywhere; a key frame every 4."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format=container) as file:
        stream = file.add_stream("libx264", rate=25, options={"crf": "8", "g": "4"})
        stream.width = stream.height = size
        stream.pix_fmt = "yuv420p"
        for number in range(frames):
            grey = np.full((size, size, 3), 8 * number, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        file.mux(stream.encode())


def write_faces140k(root: Path, each: int = 2) -> None:
    """The layout of 140k with its CSV files: `each` images a class and split."""
    base = root / "real_vs_fake" / "real-vs-fake"
    for number, split in enumerate(("train", "valid", "test")):
        rows = []
        for label, name in enumerate(("fake", "real")):
            for image in range(each):
                path = f"{split}/{name}/{image:05d}.jpg"
                write_picture(base / path, seed=100 * number + 10 * label + image)
                rows.append(f"{len(rows)},n/a,{image:05d},{label},{name},{path}")
        text = "\n".join([",original_path,id,label,label_str,path", *rows]) + "\n"
        (root / f"{split}.csv").write_text(text)


def write_celebdf(root: Path, people: int = 3) -> None:
    """The layout of Celeb-DF v2: each person once, each pair swapped once, two YouTube videos, the list."""
    write_video(root / "Celeb-real" / "id0_0000.mp4")
    content = (root / "Celeb-real" / "id0_0000.mp4").read_bytes()
    names = [f"Celeb-real/id{a}_0000.mp4" for a in range(people)]
    names += [f"Celeb-synthesis/id{a}_id{b}_0000.mp4" for a in range(people) for b in range(people) if a != b]
    names += [f"{celebdf.YOUTUBE}/{number:05d}.mp4" for number in range(2)]
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    (root / celebdf.TEST_LIST).write_text(
        f"1 {celebdf.YOUTUBE}/00000.mp4\n1 Celeb-real/id0_0000.mp4\n0 Celeb-synthesis/id0_id1_0000.mp4\n"
    )


def write_synthbuster(root: Path, prompts: int = 2) -> None:
    """The layout of SynthBuster: the same stems in all nine folders."""
    for number, generator in enumerate(synthbuster.GENERATORS):
        for prompt in range(prompts):
            write_picture(root / generator / f"r{prompt:03d}.png", seed=1000 + 10 * number + prompt)
