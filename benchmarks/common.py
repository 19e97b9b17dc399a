"""Benchmark harness: sides that take turns in processes of their own, ratios with spread, and images."""

import multiprocessing
import statistics
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
CLASSES = ("fake", "real")


class Side:
    """One of the things compared, in a process of its own: what a side sets (threads, allocator, determinism)
    cannot help or hinder another.

    `make(*arguments)` prepares and returns a function without arguments, which each call of the side runs once
    and which returns what was measured. Both must be importable: functions at the top of a module.
    """

    def __init__(self, make: Callable, *arguments: object) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, make, arguments), daemon=True)
        self._process.start()
        other.close()

    def __call__(self) -> float:
        self._pipe.send(True)
        return self._pipe.recv()

    def close(self) -> None:
        self._pipe.close()
        self._process.join()


def _serve(pipe: Connection, make: Callable, arguments: Sequence) -> None:
    # Ends with the process that measures, and may have children all the same: the naive side's loaders.
    multiprocessing.current_process()._config["daemon"] = False
    run = make(*arguments)
    while True:
        try:
            pipe.recv()
        except EOFError:
            return
        pipe.send(run())


def interleave(sides: Mapping[str, Callable[[], float]], repeats: int, warmup: int = 1) -> dict[str, list[float]]:
    """Run A, B, …, A, B, … and return each side's measurements in order; `warmup` rounds are left out."""
    measured: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(warmup + repeats):
        for name, run in sides.items():
            value = run()
            if number >= warmup:
                measured[name].append(value)
    for run in sides.values():
        if isinstance(run, Side):
            run.close()
    return measured


def ratio(above: Sequence[float], below: Sequence[float]) -> tuple[float, str]:
    """The ratio of the medians, and it as text with the least and largest ratio of one round."""
    each = [a / b for a, b in zip(above, below, strict=True)]
    value = statistics.median(above) / statistics.median(below)
    return value, f"{value:.2f} ({min(each):.2f}–{max(each):.2f})"


def spread(values: Sequence[float], unit: float = 1.0, digits: int = 1) -> str:
    """Median, least and largest of values, each times `unit`."""
    low, middle, high = (f"{unit * v:,.{digits}f}" for v in (min(values), statistics.median(values), max(values)))
    return f"{middle} ({low}–{high})"


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def verdict(met: bool) -> str:
    return "met" if met else "**not met**"


def write_pictures(root: Path, counts: Mapping[str, int], size: int, seed: int = 0) -> None:
    """`root`/{split}/{fake,real}/*.jpg, so many of each class in each split, `size` pixels a side.

    Noise with the spectrum of photographs (amplitude 1/f); that of the fakes falls off a little faster, which a
    network can learn at every size. A folder that is there already is left as it is.
    """
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size))
    frequency[0, 0] = np.inf
    for split, count in counts.items():
        for label, name in enumerate(CLASSES):
            folder = root / split / name
            if folder.is_dir():
                continue
            folder.mkdir(parents=True)
            rng = np.random.default_rng([seed, label, *split.encode()])
            amplitude = frequency ** -(1.0 if label else 1.25)
            for number in range(count):
                noise = rng.standard_normal((3, size, size))
                noise[1:] = 0.5 * noise[1:] + noise[0]  # channels agree, as they do in photographs
                pixels = np.fft.irfft2(np.fft.rfft2(noise) * amplitude, s=(size, size))
                pixels = 128 + 45 * pixels / pixels.std()
                image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8).transpose(1, 2, 0))
                image.save(folder / f"{number:05d}.jpg", quality=90)
