"""Training on degraded images: how many a second the feed gives, and what an epoch costs beside one without.

The mixture is that of configs/robust.yaml. For the rate every image is degraded and no network works beside the
threads; for the epoch a share of them is, as in the file, and both sides take the same steps of the same network.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import yaml
from PIL import Image
from torch.nn.functional import binary_cross_entropy_with_logits

from benchmarks import common
from detector.models import devices, networks
from detector.models.batches import Batches
from detector.training.optimizer import make_optimizer
from detector.training.recipe import Recipe

RATE, RATE_SIZE = 300, 224  # degraded images a second, and the side in pixels that the target is about
EPOCH = 1.25  # times an epoch without
MIXTURE = yaml.safe_load((common.ROOT / "configs/robust.yaml").read_text(encoding="utf-8"))["train"]["augment"]


def pictures(folder: Path, size: int, count: int) -> np.ndarray:
    """`count` packed images, uint8 (count, size, size, 3), of 64 different ones."""
    common.write_pictures(folder, {"train": 32}, size)
    found = np.stack([np.asarray(Image.open(path)) for path in sorted(folder.rglob("*.jpg"))])
    return np.resize(found, (count, size, size, 3))


def feed(store: Path, args: argparse.Namespace) -> tuple[Batches, devices.Plan]:
    pixels = np.load(store, mmap_mode="r")
    plan = networks.training_plan(args.arch, "cpu", "auto", args.threads, pixels.shape[1])
    rows = np.arange(len(pixels))
    return Batches([pixels], np.zeros_like(rows), rows, rows % 2, torch.device("cpu")), plan


def rate(store: Path, args: argparse.Namespace) -> Callable[[], tuple[float, float]]:
    """Images a second, all of them degraded, and CPU seconds of one."""
    batches, _ = feed(store, args)
    epochs, augment = iter(range(10**9)), {**MIXTURE, "share": 1.0}

    def run() -> tuple[float, float]:
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in batches.train(args.batch, 0, next(epochs), 0.5, augment=augment):
            pass
        return len(batches) / (time.perf_counter() - wall), (time.process_time() - cpu) / len(batches)

    return run


def epoch(store: Path, args: argparse.Namespace, augment: dict | None) -> Callable[[], tuple[float, float]]:
    """Seconds and CPU seconds of one image of a training epoch."""
    batches, plan = feed(store, args)
    model = plan.place(networks.build(args.arch)).train()
    optimizer = make_optimizer(model, Recipe("Adam", 1e-4, args.batch, epochs=1, patience=None, flip=0.5, seed=0))
    epochs = iter(range(10**9))

    def run() -> tuple[float, float]:
        wall, cpu = time.perf_counter(), time.process_time()
        for images, labels in batches.train(args.batch, 0, next(epochs), 0.5, augment=augment):
            optimizer.zero_grad(set_to_none=True)
            with plan.autocast():
                logits = model(images).squeeze(1)
            binary_cross_entropy_with_logits(logits.float(), labels).backward()
            optimizer.step()
        return (time.perf_counter() - wall) / len(batches), (time.process_time() - cpu) / len(batches)

    return run


def main(args: argparse.Namespace) -> None:
    rates, epochs = [], []
    with tempfile.TemporaryDirectory() as name:
        for size in args.sizes:
            store = Path(name) / f"{size}.npy"
            np.save(store, pictures(Path(name) / str(size), size, max(args.batch, args.pixels // size**2)))
            images = f"{size} px"
            found = common.interleave({"rate": common.Side(rate, store, args)}, args.repeats)["rate"]
            a_second, cpu = zip(*found, strict=True)
            met = common.verdict(statistics.median(a_second) >= RATE) if size == RATE_SIZE else "—"
            rates.append((images, common.spread(a_second, digits=0), common.spread(cpu, 1e3, 2), met))
            sides = {
                "without": common.Side(epoch, store, args, None),
                "with": common.Side(epoch, store, args, MIXTURE),
            }
            both = common.interleave(sides, args.repeats)
            wall, cpu = ({side: [row[i] for row in rows] for side, rows in both.items()} for i in (0, 1))
            value, text = common.ratio(wall["with"], wall["without"])
            shown = (common.spread(wall[side], 1e3, 2) for side in sides)
            _, of_cpu = common.ratio(cpu["with"], cpu["without"])
            epochs.append((images, *shown, text, of_cpu, common.verdict(value <= EPOCH)))
    print("## Training on degraded images\n")
    print(
        f"The mixture of configs/robust.yaml on {args.threads} threads in batches of {args.batch}; median of "
        f"{args.repeats} rounds (least–most).\n\nThe feed alone, every image degraded. Target: {RATE} images a "
        f"second at {RATE_SIZE} px.\n"
    )
    print(common.table(("images", "a second", "CPU ms an image", "target"), rates))
    print(
        f"\nAn epoch of {args.arch}, the share {MIXTURE['share']} degraded, in turn with one without. Target: at "
        f"most {EPOCH} times as long.\n"
    )
    print(common.table(("images", "without, ms", "with, ms", "ratio", "ratio of CPU time", "target"), epochs))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[224, 64, 32])
    parser.add_argument("--arch", default="resnet18")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pixels", type=int, default=20_000_000, help="of all images of a size together")
    parser.add_argument("--repeats", type=int, default=7)
    main(parser.parse_args())
