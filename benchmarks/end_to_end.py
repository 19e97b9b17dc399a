"""The whole protocol from files to test accuracies: the pipeline's jobs against `naive.py`, equal epochs and data.

Ours runs the scripts of the workflow as Snakemake would, each stage a process of its own, from scan to predict.
Naive is one process. Both get the same JPEG files, batch sizes, epochs, trials, threads and cores. Early stopping
is off, so that no side can stop sooner. Snakemake itself, tables and figures are not timed.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from benchmarks import common, naive
from detector.core import machine
from detector.experiment import config, recipes
from detector.stats import predictions

LARGE, TARGET_LARGE, TARGET_SMALL = 128, 2.5, 1.0
Z95 = 1.959964


def run(command: Sequence[object], cores: int) -> float:
    """Seconds that a command takes on the first `cores` of our cores; stops the benchmark if it fails."""
    chosen = sorted(os.sched_getaffinity(0))[:cores]
    library = os.pathsep.join([str(common.ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        env={**os.environ, "PYTHONPATH": library, "OMP_NUM_THREADS": str(cores)},
        cwd=common.ROOT,
        preexec_fn=lambda: os.sched_setaffinity(0, chosen),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stdout}")
    return time.perf_counter() - started


def naive_run(folder: Path, size: int, work: Path, args: argparse.Namespace) -> tuple[float, dict]:
    """Seconds, and {model: (right, all)} on the test images."""
    workers = args.cores if args.cores > 1 else 0
    names = ("arch", "baseline_batch", "batch", "learning_rate", "epochs", "trials", "trial_epochs", "seed")
    settings = [f"--{name.replace('_', '-')}={getattr(args, name)}" for name in (*names, "finetune_epochs")]
    command = ["-m", "benchmarks.naive", folder, *settings, f"--size={size}", "--sparsities", *args.sparsities]
    command += [f"--workers={workers}", f"--threads={args.cores}", f"--out={work / 'naive.json'}"]
    seconds = run(command, args.cores)
    results = json.loads((work / "naive.json").read_text())["results"]
    return seconds, {name: tuple(row["test"]) for name, row in results.items()}


def our_run(folder: Path, size: int, work: Path, args: argparse.Namespace) -> tuple[dict, dict, float]:
    """Seconds of each stage, {model: (right, all)}, and the seconds that were epochs of training."""
    scripts, source = common.ROOT / "workflow/scripts", "images"
    pack, runs = work / source, work / "runs"
    options = json.dumps({"type": "folder", "root": str(folder), "split": "auto", "expect": "any"})
    runtime = {"device": "cpu", "precision": "auto", "memory": 16000, "evaluation_batch": "auto"}
    training = ["--arch", args.arch, "--seed", args.seed, "--manifest", work / "manifest.parquet", "--packs", pack]
    training += ["--threads", args.cores]
    seconds: dict[str, list[float]] = {}

    def stage(name: str, *arguments: object) -> None:
        (script,) = scripts.glob(f"*/{name}.py")
        seconds.setdefault(name, []).append(run([script, *arguments], args.cores))

    def variant(branch: str) -> list[object]:
        return [f"--{kind.split('.')[0]}={runs / branch / kind}" for kind in
                ("model.safetensors", "meta.json", "history.csv")]  # fmt: skip

    most = 10**8
    how = json.dumps({"size": size, "max_pixels": most})
    stage(
        *("scan", "--source", source, "--options", options, "--max-pixels", most, "--workers", args.cores),
        *("--max-bad", 0, "--scan", pack / "scan.parquet"),
    )
    stage(
        *("pack", "--scan", pack / "scan.parquet", "--root", folder, "--how", how, "--max-bad", 0),
        *("--workers", args.cores),
        *("--state", work / "state/pack", "--images", pack / "images.npy", "--index", pack / "images.json"),
        *("--bad", pack / "bad.csv"),
    )
    stage(
        *("split", "--scans", f"{source}={pack / 'scan.parquet'}", "--bad", f"{source}={pack / 'bad.csv'}"),
        *("--options", json.dumps({source: {"type": "folder", "split": "auto"}}), "--fractions", 0.8, 0.1, 0.1),
        *("--seed", 0, "--splits", work / "manifest.parquet"),
    )
    # The settings are those that a config file gives: a script is told nothing else in a run.
    full = config.complete(
        {
            "data": {"use": [source], "sources": {source: {"type": "folder", "root": str(folder)}}},
            "train": {
                "learning_rate": args.learning_rate,
                "batch_size": args.baseline_batch,
                "epochs": args.epochs,
            },
            "search": {
                "trials": args.trials,
                "epochs": args.trial_epochs,
                "batch_size": args.batch,
                "pruner": args.pruner,
            },
            "finetune": {"batch_size": args.batch, "epochs": args.finetune_epochs},
        }
    )
    train, trial, tune = (recipes.recipe(full, stage) for stage in recipes.STAGES)
    to_the_end = {"patience": None}
    settings = json.dumps({"recipe": train | to_the_end, "runtime": runtime})
    stage("baseline", *training, "--config", settings, "--state", work / "state/baseline", *variant("baseline"))
    branches = {f"l1-{round(100 * share):02d}": {"method": "l1", "sparsity": share} for share in args.sparsities}
    for branch, pruning in branches.items():
        both = [*training, "--branch", branch, "--pruning", json.dumps(pruning)]
        both += ["--baseline", runs / "baseline/model.safetensors", "--state", work / "state" / branch]
        best = runs / branch / "hpo/best.json"
        settings = json.dumps({"search": recipes.space(full), "recipe": trial, "runtime": runtime})
        hpo = runs / branch / "hpo"
        outputs = ("--journal", hpo / "journal.log", "--best", best, "--trials", hpo / "trials.csv")
        stage("search", *both, "--config", settings, *outputs)
        settings = json.dumps({"recipe": tune | to_the_end, "distill": None, "runtime": runtime})
        stage("finetune", *both, "--config", settings, "--best", best, *variant(branch))
    right = {}
    for branch in ("baseline", *branches):
        model = runs / branch / "model.safetensors"
        common_part = ["--arch", args.arch, "--manifest", work / "manifest.parquet", "--packs", pack]
        folder_out = runs / branch / "predictions"
        stage(
            *("predict", *common_part, "--model", model, "--threads", args.cores),
            *("--runtime", json.dumps({k: v for k, v in runtime.items() if k != "precision"})),
            *("--folder", folder_out),
        )
        table = pd.read_parquet(folder_out / f"{source}.parquet")
        right[branch] = (int(predictions.right(table).sum()), len(table))
    epochs = sum(pd.read_csv(path)["seconds"].sum() for path in runs.rglob("history.csv"))
    epochs += sum(pd.read_csv(path)["seconds"].sum() for path in runs.rglob("trials.csv"))
    return {name: (len(each), sum(each)) for name, each in seconds.items()}, right, epochs


def interval(right: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share by Wilson (1927), doi:10.1080/01621459.1927.10502953."""
    share, z = right / count, Z95**2 / count
    middle = (share + z / 2) / (1 + z)
    half = Z95 * math.sqrt(share * (1 - share) / count + z / (4 * count)) / (1 + z)
    return middle - half, middle + half


def main(args: argparse.Namespace) -> None:
    print(f"## End to end: {args.arch}, {args.cores} core(s) for each side\n")
    print(
        f"{args.epochs} epochs of the baseline (batch {args.baseline_batch}); for each of {len(args.sparsities)} "
        f"sparsities {args.trials} trials of {args.trial_epochs} epochs and {args.finetune_epochs} of fine-tuning "
        f"(batch {args.batch}); then all models on validation and test images. Pruner of our search: "
        f"{args.pruner}. Seconds of wall clock, median (least–most). Accuracy on the test images with its 95 % "
        "interval (Wilson).\n"
    )
    rows, stages = [], []
    for size, images in zip(args.sizes, args.images, strict=True):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "images"
            part = max(1, images // 4)
            stored = 256 if size >= LARGE else size
            counts = {"train": images // 2, "valid": part, "test": part}
            common.write_pictures(folder, counts, stored)
            theirs, own, parts = [], [], []
            for number in range(args.repeats):
                work = Path(name) / f"round{number}"
                work.mkdir()
                seconds, their_right = naive_run(folder, size, work, args)
                theirs.append(seconds)
                each, our_right, epochs = our_run(folder, size, work, args)
                own.append(sum(total for _, total in each.values()))
                parts.append((each, epochs))
        value, text = common.ratio(theirs, own)
        target = (TARGET_LARGE if args.pruner == "none" else 4.0) if size >= LARGE else TARGET_SMALL
        last = list(our_right)[-1]
        shown = []
        bounds = []
        for right, count in (their_right[last], our_right[last]):
            low, high = interval(right, count)
            bounds.append((low, high))
            shown.append(f"{right / count:.3f} ({low:.3f}–{high:.3f})")
        agree = bounds[0][0] <= bounds[1][1] and bounds[1][0] <= bounds[0][1]
        rows.append(
            (
                f"{size} px, {2 * (images // 2)} training images",
                common.spread(theirs),
                common.spread(own),
                text,
                f"≥ {target}: {common.verdict(value >= target)}",
                *shown,
                common.verdict(agree),
            )
        )
        for stage, (processes, _) in parts[0][0].items():
            middle = statistics.median(each[stage][1] for each, _ in parts)
            share = statistics.median(each[stage][1] / total for (each, _), total in zip(parts, own, strict=True))
            stages.append((f"{size} px", stage, processes, f"{middle:.1f}", f"{share:.0%}"))
        outside = statistics.median(1 - epochs / total for (_, epochs), total in zip(parts, own, strict=True))
        stages.append((f"{size} px", "*all that is not an epoch of training*", "", "", f"{outside:.0%}"))
    header = ("", "naive", "ours", "ratio", "target", "accuracy, naive", "accuracy, ours", "intervals meet")
    print(common.table(header, rows))
    print(f"\nAccuracies are those of branch {last}. Where our time goes:\n")
    print(common.table(("", "stage", "processes", "seconds", "share"), stages))
    started = {}
    for stage in ("data/scan", "training/search"):
        script = common.ROOT / f"workflow/scripts/{stage}.py"
        started[stage] = statistics.median(run([script, "--help"], args.cores) for _ in range(args.repeats))
    text = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in started.items())
    print(f"\nStart and imports of a process alone (`--help`): {text}.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    naive.add_arguments(parser)
    parser.add_argument("--sizes", type=int, nargs="+", default=[224, 64, 32], help="instead of --size")
    parser.add_argument(
        "--images", type=int, nargs="+", default=[64, 400, 1500], help="training images at each size"
    )
    parser.add_argument("--pruner", default="none", help="search.pruner of our side")
    parser.add_argument("--cores", type=int, default=machine.cores())
    parser.add_argument("--repeats", type=int, default=2)
    main(parser.parse_args())
