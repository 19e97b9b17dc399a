"""Feeding rate: images per second that a training loop receives from one core, packed store against files.

Ours: rows of a memory-mapped store, gathered (all that a core does for a GPU), and flipped and normalised into
float batches as well (where the CPU is the device). Naive: `naive.py`'s DataLoader on JPEG files, without worker
processes, so that both use one core.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks import common, naive
from detector.models import devices
from detector.models.batches import Batches

TARGET = 40


def open_store(path: Path, device: str) -> Batches:
    pixels = np.load(path, mmap_mode="r")
    rows = np.arange(len(pixels))
    return Batches([pixels], np.zeros_like(rows), rows, rows % 2, torch.device(device))


def ours(path: Path, batch: int) -> Callable[[], float]:
    size = np.load(path, mmap_mode="r").shape[1]
    devices.plan("cpu", "auto", 1, size)
    batches = open_store(path, "cpu")
    epochs = iter(range(10**9))

    def run() -> float:
        started = time.perf_counter()
        for images, _ in batches.train(batch, seed=0, epoch=next(epochs), flip=0.5):
            assert images.dtype == torch.float32
        return len(batches) / (time.perf_counter() - started)

    return run


def gather(path: Path, batch: int) -> Callable[[], float]:
    batches = open_store(path, "cpu")
    rng = np.random.default_rng(0)

    def run() -> float:
        order = rng.permutation(len(batches))
        started = time.perf_counter()
        for start in range(0, len(order), batch):
            batches.gather(order[start : start + batch])
        return len(order) / (time.perf_counter() - started)

    return run


def files(folder: Path, size: int, batch: int) -> Callable[[], float]:
    torch.set_num_threads(1)
    loader = naive.make_loader(folder, size, batch, train=True, workers=0)

    def run() -> float:
        started = time.perf_counter()
        for images, _ in loader:
            assert images.dtype == torch.float32
        return len(loader.dataset) / (time.perf_counter() - started)

    return run


def main(args: argparse.Namespace) -> None:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for size in args.sizes:
            work = Path(name) / str(size)
            stored = 256 if size > 128 else size
            common.write_pictures(work, {"train": args.files // 2}, stored)
            count = max(args.batch, round(args.megabytes * 2**20 / (3 * size**2)))
            pixels = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)
            np.save(work / "images.npy", pixels)
            sides = {
                "naive": common.Side(files, work / "train", size, args.batch),
                "ours": common.Side(ours, work / "images.npy", args.batch),
                "gather": common.Side(gather, work / "images.npy", args.batch),
            }
            rate = common.interleave(sides, args.repeats)
            for side, kind in (
                ("gather", "bytes, the device does the rest"),
                ("ours", "float batches on this core"),
            ):
                value, text = common.ratio(rate[side], rate["naive"])
                shown = (common.spread(rate[one], digits=0) for one in ("naive", side))
                rows.append((f"{stored} px JPEG → {size} px", kind, *shown, text, common.verdict(value >= TARGET)))
    print("## Feeding\n")
    print(
        f"Images a second from one core in batches of {args.batch}; median of {args.repeats} rounds (least–most). "
        "The naive loader gives flipped and normalised float tensors. Ours does that on the device: for a GPU the "
        "core only gathers bytes from the map; where the device is the CPU, the same core also flips and "
        f"normalises, and writes four times the bytes. The store holds {args.megabytes} MiB. Target: {TARGET} × "
        "the naive loader.\n"
    )
    print(common.table(("images", "what our core does", "naive", "ours", "ratio", "target"), rows))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[224, 64, 32])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--files", type=int, default=200, help="JPEG files of the naive side")
    parser.add_argument("--megabytes", type=int, default=300, help="size of the store")
    parser.add_argument("--repeats", type=int, default=7)
    main(parser.parse_args())
