"""Time of one training step: the naive loop against ours, with loading and without.

Each side runs in a process of its own, with the settings that it has in real runs: ours those of
`networks.training_plan`.
A step is what a training loop does for one batch: take it, forward, backward, optimizer.
"""

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from benchmarks import common, naive
from detector.imaging import preprocessing
from detector.models import devices, networks
from detector.models.batches import Batches
from detector.training.optimizer import make_optimizer
from detector.training.recipe import Recipe

TARGET, FEEDING_TARGET = 2.5, 1.05


def timed(step: Callable[[], None], steps: int, args: argparse.Namespace) -> float:
    """Seconds a step. A GPU works while the CPU goes on, so all that it was told to do is waited for."""
    clock = time.process_time if args.cpu_seconds else time.perf_counter
    _wait(args.device)
    started = clock()
    for _ in range(steps):
        step()
    _wait(args.device)
    return (clock() - started) / steps


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def naive_side(folder: Path, args: argparse.Namespace, loading: bool) -> Callable[[], float]:
    torch.set_num_threads(args.threads)
    # What everyone sets; where there is no such GPU it does nothing.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    model = networks.build(args.arch, size=args.size).train().to(args.device)
    optimizer = naive.make_optimizer("Adam", model, 1e-4)
    loader = naive.make_loader(folder, args.size, args.batch, train=True, workers=args.workers)
    batches = (batch for _ in itertools.count() for batch in loader)
    constant = [part.to(args.device) for part in next(batches)]

    def step() -> None:
        images, labels = next(batches) if loading else constant
        naive.train_step(model, optimizer, images.to(args.device), labels.to(args.device))

    return lambda: timed(step, args.steps, args)


def our_side(folder: Path, args: argparse.Namespace, loading: bool, compiled: bool = False) -> Callable[[], float]:
    model, train, constant = our_parts(folder, args, compiled)
    source = forever(train, args.batch) if loading else itertools.repeat(constant)
    return lambda: timed(lambda: model(*next(source)), args.steps, args)


def real_and_constant(folder: Path, args: argparse.Namespace) -> Callable[[], float]:
    """Time of a step on real batches over that on a constant one, the two taking turns within one process."""
    model, train, constant = our_parts(folder, args)
    source = forever(train, args.batch)
    steps = args.steps if args.device == "cuda" else 1  # a GPU has a queue, which several steps fill

    def run() -> float:
        real, still = [], []
        for _ in range(args.turns):
            real.append(timed(lambda: model(*next(source)), steps, args))
            still.append(timed(lambda: model(*constant), steps, args))
        return statistics.median(real) / statistics.median(still)

    return run


def our_parts(folder: Path, args: argparse.Namespace, compiled: bool = False) -> tuple[Callable, Batches, tuple]:
    """A training step as `fit.fit` takes it, the batches, and one batch of them.

    `compiled`: the network, not the optimizer, by `torch.compile`.
    """
    plan = planned(args)
    model = plan.place(networks.build(args.arch, size=args.size)).train()
    network = torch.compile(model) if compiled else model
    recipe = Recipe("Adam", 1e-4, args.batch, epochs=1, patience=None, flip=0.5, seed=0)
    optimizer = make_optimizer(model, recipe)
    files = sorted(folder.rglob("*.jpg"))
    pixels = np.stack(
        [preprocessing.load(file, preprocessing.Preprocessing(args.size, max_pixels=10**7)) for file in files]
    )
    rows = np.arange(len(files))
    train = Batches([pixels], np.zeros_like(rows), rows, rows % 2, plan.torch_device)

    def step(batch: torch.Tensor, labels: torch.Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        with plan.autocast():
            logits = network(batch).squeeze(1)
        binary_cross_entropy_with_logits(logits.float(), labels).backward()
        optimizer.step()

    return step, train, next(forever(train, args.batch))


def forever(train: Batches, batch: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    for epoch in itertools.count():
        yield from train.train(batch, seed=0, epoch=epoch, flip=0.5)


def planned(args: argparse.Namespace) -> devices.Plan:
    """The plan of a training stage of this network at this size."""
    return networks.training_plan(args.arch, args.device, args.precision, args.threads, args.size)


def introduce(title: str, args: argparse.Namespace) -> None:
    print(f"## {title}: {args.arch}, {args.size} px, batch {args.batch}, {args.threads} thread(s)\n")
    why = planned(args).why
    seconds_of = " of the CPU" if args.cpu_seconds else ""
    print(f"{why}. Milliseconds{seconds_of} a step, median (least–most).\n")


def compare_compiled(args: argparse.Namespace) -> None:
    """Steps on a batch that is there already: the naive one, ours, and ours with the network compiled."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "train"
        common.write_pictures(Path(name), {"train": args.batch}, args.size)
        sides = {
            "naive": common.Side(naive_side, folder, args, False),
            "ours": common.Side(our_side, folder, args, False),
            "ours, compiled": common.Side(our_side, folder, args, False, True),
        }
        seconds = common.interleave(sides, args.repeats)
    introduce("Compiled step", args)
    rows = [
        (side, common.spread(found, 1000, 0), *(common.ratio(seconds[of], found)[1] for of in ("naive", "ours")))
        for side, found in seconds.items()
    ]
    print(common.table(("side", "a step", "× naive", "× ours"), rows))


def compare_precisions(args: argparse.Namespace) -> None:
    """Steps of ours on a batch that is there already, in fp32 and in bf16, and which of them `auto` takes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "train"
        common.write_pictures(Path(name), {"train": args.batch}, args.size)
        sides = {
            precision: common.Side(
                our_side, folder, argparse.Namespace(**{**vars(args), "precision": precision}), False
            )
            for precision in ("fp32", "bf16")
        }
        seconds = common.interleave(sides, args.repeats)
    introduce("Precision", args)
    rows = [
        (side, common.spread(found, 1000, 0), common.ratio(seconds["fp32"], found)[1])
        for side, found in seconds.items()
    ]
    print(common.table(("side", "a step", "images a second × fp32"), rows))


def main(args: argparse.Namespace) -> None:
    if args.precisions:
        compare_precisions(args)
        return
    if args.compile:
        compare_compiled(args)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        common.write_pictures(folder, {"train": args.files // 2}, 256 if args.size > 128 else args.size)
        sides = {
            "naive, loading": common.Side(naive_side, folder / "train", args, True),
            "ours, loading": common.Side(our_side, folder / "train", args, True),
            "naive, compute": common.Side(naive_side, folder / "train", args, False),
            "ours, compute": common.Side(our_side, folder / "train", args, False),
        }
        seconds = common.interleave(sides, args.repeats)
        turns = {"ratio": common.Side(real_and_constant, folder / "train", args)}
        feeding = common.interleave(turns, args.repeats)["ratio"]
    introduce("Step", args)
    rows = []
    for kind, target in (("loading", TARGET), ("compute", None)):
        theirs, own = seconds[f"naive, {kind}"], seconds[f"ours, {kind}"]
        value, text = common.ratio(theirs, own)
        wanted = f"≥ {target}: {common.verdict(value >= target)}" if target and args.size >= 128 else ""
        label = "whole step" if kind == "loading" else "on a batch already there"
        rows.append((label, common.spread(theirs, 1000, 0), common.spread(own, 1000, 0), text, wanted))
    print(common.table(("", "naive", "ours", "ratio", "target"), rows))
    value = statistics.median(feeding)
    met = common.verdict(value <= FEEDING_TARGET)
    print(
        f"\nA step on real batches takes {common.spread(feeding, digits=3)} × one on a constant batch "
        f"(target ≤ {FEEDING_TARGET}: {met})."
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", default="resnet18")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=0, help="loading processes of the naive side")
    parser.add_argument("--files", type=int, default=64)
    parser.add_argument("--steps", type=int, default=1, help="steps in one measurement")
    parser.add_argument("--turns", type=int, default=3, help="pairs of steps for real against constant batches")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--cpu-seconds", action="store_true", help="on a machine that does other work too")
    parser.add_argument("--precision", choices=["auto", "fp32", "bf16"], default="auto", help="of our side")
    parser.add_argument("--precisions", action="store_true", help="instead: what bf16 gives against fp32")
    parser.add_argument("--compile", action="store_true", help="instead: what torch.compile gives")
    main(parser.parse_args())
