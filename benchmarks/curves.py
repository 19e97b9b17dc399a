"""Record how fine-tuning goes for a grid of optimizers and learning rates, as `pruning_search.py` replays it.

A baseline is trained on real and fake images with early stopping, pruned by global L1, and fine-tuned once for
each point of the grid. What a search sees of a trial, its validation accuracy after each epoch, goes to a CSV
file. A recording that was stopped goes on with the points that are missing.
"""

import argparse
import csv
import logging
import sys
from pathlib import Path

import numpy as np
import torch

from detector.imaging import preprocessing
from detector.models import devices, networks
from detector.models.batches import Batches
from detector.pruning import masks
from detector.training.fit import fit
from detector.training.recipe import Recipe, Stream

COLUMNS = ("optimizer", "learning_rate", "epoch", "train_loss", "valid_loss", "valid_accuracy")
OPTIMIZERS = ("Adam", "SGD")
SUFFIXES = {".jpg", ".jpeg", ".png"}


def sample(folder: Path, counts: tuple[int, ...], size: int, seed: int) -> list[Batches]:
    """Disjoint samples of so many images each, half of them from `folder`/REAL and half from `folder`/FAKE."""
    rng = np.random.default_rng(seed)
    parts: list[list[tuple[Path, int]]] = [[] for _ in counts]
    for label, name in enumerate(("FAKE", "REAL")):
        files = rng.permutation(sorted(p for p in (folder / name).iterdir() if p.suffix.lower() in SUFFIXES))
        cuts = np.cumsum([count // 2 for count in counts])
        if len(files) < cuts[-1]:
            raise SystemExit(f"{folder / name}: found {len(files)} images, {cuts[-1]} are asked for")
        for part, chosen in zip(parts, np.split(files, cuts), strict=False):
            part += [(file, label) for file in chosen]
    batches = []
    for part in parts:
        pixels = np.stack(
            [preprocessing.load(file, preprocessing.Preprocessing(size, max_pixels=10**7)) for file, _ in part]
        )
        rows = np.arange(len(part))
        label = np.array([label for _, label in part])
        batches.append(Batches([pixels], np.zeros_like(rows), rows, label, torch.device("cpu")))
    return batches


def recorded(path: Path) -> set[tuple[str, str]]:
    """The points (optimizer, learning rate as written) whose curve is in the file."""
    if not path.exists():
        return set()
    with open(path, newline="") as file:
        lines = csv.DictReader(line for line in file if not line.startswith("#"))
        return {(row["optimizer"], row["learning_rate"]) for row in lines}


def main(args: argparse.Namespace) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    plan = devices.plan("cpu", "fp32", 1, args.size)
    train, valid = sample(args.images, (args.train, args.valid), args.size, args.seed)
    common = {"batch_size": 64, "flip": 0.5, "seed": args.seed}
    model = networks.build(args.arch, args.seed)
    recipe = Recipe("Adam", 1e-4, epochs=args.baseline_epochs, patience=3, stream=Stream.BASELINE, **common)
    baseline = fit(model, train, valid, recipe, plan, title="baseline")
    kept = masks.global_l1(networks.prunable(networks.load(args.arch, baseline.weights)), args.sparsity)
    done = recorded(args.out)
    if not done:
        best = baseline.best
        about = f"torch {torch.__version__}; baseline {best.valid_accuracy:.4f} after epoch {best.epoch}"
        args.out.write_text(f"# {' '.join(['curves.py', *sys.argv[1:]])}; {about}\n{','.join(COLUMNS)}\n")
    for rate in np.geomspace(1e-6, 1e-4, args.rates):
        for optimizer in OPTIMIZERS:
            written = f"{rate:.3e}"
            if (optimizer, written) in done:
                continue
            recipe = Recipe(
                optimizer, float(rate), epochs=args.epochs, patience=None, stream=Stream.SEARCH, **common
            )
            model = networks.load(args.arch, baseline.weights)
            curve = fit(model, train, valid, recipe, plan, masks=kept, title=f"{optimizer} {written}").history
            with open(args.out, "a", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows(
                    (optimizer, written, row.epoch, f"{row.train_loss:.5f}", f"{row.valid_loss:.5f}",
                     f"{row.valid_accuracy:.5f}")
                    for row in curve
                )  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, help="folder with REAL/ and FAKE/, such as CIFAKE's train/")
    parser.add_argument("--train", type=int, default=2000, help="training images")
    parser.add_argument("--valid", type=int, default=2000, help="validation images")
    parser.add_argument("--size", type=int, default=32, help="pixels a side")
    parser.add_argument("--arch", default="resnet18")
    parser.add_argument("--sparsity", type=float, default=0.4)
    parser.add_argument("--rates", type=int, default=6, help="learning rates from 1e-6 to 1e-4, log-spaced")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--baseline-epochs", type=int, default=12, help="at most; it stops early")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("curves.csv"))
    main(parser.parse_args())
