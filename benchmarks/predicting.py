"""Throughput of `detector predict` on a folder, against decoding and the model by themselves.

Three sides, each with all cores: files to pixels; ready pixels to logits; and both, as the command does it.
Asked for is 70 % of the slower one of the first two. Where the same cores do both, no program can be faster than
1 / (1 / decoding + 1 / model), which is shown beside it.
"""

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks import common
from detector.predict.model import BATCH, Model

TARGET = 0.7
DIFFERENT = 400  # files on the disk; the list of images goes through them again and again


def decoding(model: Path, paths: list[Path], count: int) -> Callable[[], float]:
    asked = Model.open(model)

    def run() -> float:
        started = time.perf_counter()
        with ThreadPoolExecutor(asked.threads) as pool:
            for _ in pool.map(asked.pixels, itertools.islice(itertools.cycle(paths), count)):
                pass
        return count / (time.perf_counter() - started)

    return run


def computing(model: Path, paths: list[Path], count: int) -> Callable[[], float]:
    asked = Model.open(model)
    pixels = np.stack([asked.pixels(path) for path in paths[:BATCH]])

    def run() -> float:
        started = time.perf_counter()
        for _ in range(count // len(pixels)):
            asked.logits(pixels)
        return count // len(pixels) * len(pixels) / (time.perf_counter() - started)

    return run


def both(model: Path, paths: list[Path], count: int) -> Callable[[], float]:
    asked = Model.open(model)

    def run() -> float:
        started = time.perf_counter()
        answers = asked.judge_many(itertools.islice(itertools.cycle(paths), count), fast=True)
        assert sum(not answer.error for answer in answers) == count
        return count / (time.perf_counter() - started)

    return run


def untrained(folder: Path, arch: str, size: int) -> Path:
    """A bundle of a network that has learned nothing: it is as fast as any."""
    from detector.export import onnx_model
    from detector.imaging.preprocessing import Preprocessing
    from detector.models import networks

    facts = {
        **{"arch": arch, "branch": "baseline", "seed": 0, "precision": "fp32", "image_size": size},
        **{"temperature": 1.0, "preprocessing": {"made": Preprocessing(size).record()}},
    }
    onnx_model.save_onnx(folder / "model.onnx", networks.build(arch, 0).eval(), size, facts)
    return folder


def main(args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as name:
        model = args.model or untrained(Path(name), args.arch, args.size)
        common.write_pictures(Path(name), {"test": min(DIFFERENT, args.images) // 2}, args.stored)
        paths = sorted((Path(name) / "test").rglob("*.jpg"))
        sides = {
            side.__name__: common.Side(side, model, paths, args.images) for side in (decoding, computing, both)
        }
        rate = common.interleave(sides, args.repeats)
        named = Model.open(model).name
    limits = [min(pair) for pair in zip(rate["decoding"], rate["computing"], strict=True)]
    shared = 1 / sum(1 / statistics.median(rate[side]) for side in ("decoding", "computing"))
    value, text = common.ratio(rate["both"], limits)
    shown = (common.spread(rate[side], digits=0) for side in ("decoding", "computing", "both"))
    print("## Predicting\n")
    print(
        f"Images a second of {args.images:,} JPEG files, {args.stored} px, with all cores; {named}; median of "
        f"{args.repeats} rounds (least–most). Each image once (`--fast`). Target: {TARGET:.0%} of the slower of "
        "decoding and the model, each by itself. On cores that do both, the last column is the most there is.\n"
    )
    header = ("decoding alone", "model alone", "both", "of the slower", "target", "the most on shared cores")
    print(common.table(header, [(*shown, text, common.verdict(value >= TARGET), f"{shared:,.0f}")]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a bundle; default: an untrained network")
    parser.add_argument("--arch", default="resnet18", help="of the untrained one")
    parser.add_argument("--size", type=int, default=64, help="pixels that the untrained one sees")
    parser.add_argument("--stored", type=int, default=256, help="pixels a side of the files")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=3)
    main(parser.parse_args())
