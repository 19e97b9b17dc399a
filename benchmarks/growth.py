"""Growth: seconds and memory per image of the data stages, from 10,000 images to 1,000,000.

Makes trees of tiny JPEG files (hard links to a few hundred different ones: a link costs an entry in a folder and
reads like a file of its own), asks for their fingerprint, scans, packs and splits them with the project's
own scripts, each in a process of its own, and prints a Markdown table. Everything it made is deleted at the end.

    python benchmarks/growth.py            10,000 and 100,000 images, some minutes
    python benchmarks/growth.py --full     1,000,000 as well: about 5 GB of disk
    python benchmarks/growth.py --kind tar of another kind than folders

What a stage costs before its first image (Python, imports) is measured by `--help` and taken off. Memory is the
largest process of the stage, as the kernel counted it. Time an image is that of the CPU, which other work on the
machine disturbs less than the clock. Exits with 1 where an image of a larger tree costs more than TOLERANCE times
as much as one of the smallest tree, or where memory an image is above MAX_BYTES.

With `--kind` the images are named by a list, or lie in Parquet or tar files of `--in-shard` each.

Links share their inodes and their contents stay in memory: on a cold or distant disk, reading comes on top.
"""

import argparse
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
SIZES, FULL = (10_000, 100_000), 1_000_000
STAGES = ("fingerprint", "scan", "pack", "split")
DISTINCT = 256  # files that are no links; file systems allow some 65,000 links to one
IN_FOLDER = 5_000
KINDS = ("folder", "list", "parquet", "tar")
IN_SHARD = 1_000
LIST = "images.csv"
GENERATORS = 4
PACK_SIZE = 8  # pixels a side
TOLERANCE = 1.5  # times the time an image of the smallest tree
GRAIN = 20  # µs an image: at 10,000 images, what the start of Python varies by
MAX_BYTES = 1_000  # memory an image
FINGERPRINT = (
    "import sys; from pathlib import Path; from detector.data.fingerprints import fingerprint; "
    "len(sys.argv) < 2 or print(fingerprint(sys.argv[1], Path(sys.argv[1] + '.files')))"
)


@dataclass
class Cost:
    """Cost of one process: seconds by the clock, seconds of CPU with its workers, MiB of the largest process."""

    wall: float
    cpu: float
    peak: float


def make_tree(root: Path, count: int, kind: str = "folder", in_shard: int = IN_SHARD) -> None:
    """`count` images as a source of this kind has them: half real, half fakes of four generators."""
    models = root.parent / f"{root.name}-models"
    models.mkdir()
    root.mkdir()
    pixels = np.random.default_rng(0)
    for number in range(DISTINCT):
        picture = Image.fromarray(pixels.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        picture.save(models / f"{number}.jpg")
    if kind in ("folder", "list"):
        link(root, count, models)
    else:
        write_shards(root, count, kind, models, in_shard)
    if kind == "list":
        with open(root / LIST, "w", encoding="utf-8") as file:
            print("path,label,generator", file=file)
            for number in range(count):
                place = place_of(number)
                print(f"{place},{place.split('/')[0]},{'' if place[0] == 'r' else place.split('/')[1]}", file=file)
    shutil.rmtree(models)


def place_of(number: int) -> str:
    """The path of an image, by which it has its class and generator."""
    batch = number // IN_FOLDER
    kind = "real" if batch % 2 == 0 else f"fake/generator{batch // 2 % GENERATORS}"
    return f"{kind}/{batch:04d}/{number:07d}.jpg"


def link(root: Path, count: int, models: Path) -> None:
    """Images as files of their own."""
    for number in range(count):
        path = root / place_of(number)
        if number % IN_FOLDER == 0:
            path.parent.mkdir(parents=True)
        os.link(models / f"{number % DISTINCT}.jpg", path)


def write_shards(root: Path, count: int, kind: str, models: Path, in_shard: int) -> None:
    """Images in shards, of which each holds some of all folders."""
    import pyarrow as pa
    from pyarrow import parquet

    content = [(models / f"{number}.jpg").read_bytes() for number in range(DISTINCT)]
    shards = -(-count // in_shard)
    for shard in range(shards):
        rows = [(place_of(number), content[number % DISTINCT]) for number in range(shard, count, shards)]
        if kind == "tar":
            with tarfile.open(root / f"{shard:05d}.tar", "w") as tar:
                for path, image in rows:
                    member = tarfile.TarInfo(path)
                    member.size = len(image)
                    tar.addfile(member, io.BytesIO(image))
        else:
            table = {
                "image": [{"bytes": image, "path": path} for path, image in rows],
                "label": [path.split("/")[0] for path, _ in rows],
                "generator": [path.split("/")[1] if path[0] == "f" else None for path, _ in rows],
            }
            parquet.write_table(pa.table(table), root / f"{shard:05d}.parquet", row_group_size=100)


def measure(command: list[str]) -> Cost:
    """Runs a command to its end. Raises SystemExit, with what it printed, where it fails."""
    with tempfile.TemporaryFile() as printed:
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *command],
            stdout=printed,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        printed.seek(0)
        if process.returncode:
            sys.exit(f"{' '.join(command)}\n{printed.read().decode()}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def commands(root: Path, out: Path, workers: int, kind: str = "folder") -> dict[str, list[str]]:
    """The command of each stage, as the rules run it."""
    options = {"type": kind, "root": str(root)} | ({"list": LIST} if kind == "list" else {})
    script = ROOT / "workflow/scripts/data"
    limits = ["--max-bad", "0", "--workers", str(workers)]
    how = json.dumps({"size": PACK_SIZE, "max_pixels": 10**8})
    return {
        "fingerprint": ["-c", FINGERPRINT, str(root)],
        "scan": [
            *(f"{script}/scan.py", "--source", "grown", "--options", json.dumps(options), *limits),
            *("--max-pixels", str(10**8), "--scan", f"{out}/scan.parquet"),
        ],
        "pack": [
            *(f"{script}/pack.py", "--scan", f"{out}/scan.parquet", "--root", str(root), *limits),
            *("--how", how, "--state", f"{out}/state", "--images", f"{out}/images.npy"),
            *("--index", f"{out}/images.json", "--bad", f"{out}/bad.csv"),
        ],
        "split": [
            *(f"{script}/split.py", "--scans", f"grown={out}/scan.parquet", "--bad", f"grown={out}/bad.csv"),
            *("--options", json.dumps({"grown": {"type": kind}}), "--fractions", "0.8", "0.1", "0.1"),
            *("--seed", "0", "--splits", f"{out}/splits.parquet"),
        ],
    }


def start_up(command: list[str]) -> Cost:
    """Cost of a stage before its first image: the smallest of three."""
    empty = command[:2] if command[0] == "-c" else [command[0], "--help"]
    costs = [measure(empty) for _ in range(3)]
    return Cost(*(min(getattr(cost, name) for cost in costs) for name in ("wall", "cpu", "peak")))


def main(args: argparse.Namespace) -> int:
    sizes = [*SIZES, *([FULL] if args.full else [])] if args.images is None else args.images
    faults: list[str] = []
    rows: dict[tuple[str, int], tuple[float, float]] = {}
    shards = f" of {args.in_shard:,} images each" if args.kind in ("parquet", "tar") else ""
    print(
        f"## Growth of a data set\n\nTiny JPEG files, kind `{args.kind}`{shards}, packed at {PACK_SIZE} px, "
        f"{args.workers} process(es). Time an image is of the CPU; the ratio is to the smallest tree, less than "
        f"{GRAIN} µs counting as {GRAIN}.\n"
    )
    print("| stage | images | s | CPU s | CPU µs an image | ratio | peak MiB | bytes an image |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
    with tempfile.TemporaryDirectory(dir=args.folder, prefix="growth-") as name:
        folder = Path(name)
        base = {stage: start_up(command) for stage, command in commands(folder, folder, 1, args.kind).items()}
        for size in sizes:
            root, out = folder / f"tree{size}", folder / f"out{size}"
            make_tree(root, size, args.kind, args.in_shard)
            out.mkdir()
            for stage, command in commands(root, out, args.workers, args.kind).items():
                cost = measure(command)
                each = (cost.cpu - base[stage].cpu) / size * 1e6
                memory = (cost.peak - base[stage].peak) / size * 2**20
                rows[stage, size] = (each, memory)
                ratio = max(each, GRAIN) / max(rows[stage, sizes[0]][0], GRAIN)
                print(
                    f"| {stage} | {size:,} | {cost.wall:.1f} | {cost.cpu:.1f} | {each:.0f} | {ratio:.2f} "
                    f"| {cost.peak:,.0f} | {memory:,.0f} |",
                    flush=True,
                )
                if ratio > args.tolerance:
                    faults.append(f"{stage}: {ratio:.2f} times the time an image at {size:,} images")
            shutil.rmtree(root)
            shutil.rmtree(out)
    for stage in STAGES:
        # Between two trees, not from nothing: what a stage holds whatever the number of images is no growth.
        low, high = sizes[0], sizes[-1]
        slope = (rows[stage, high][1] * high - rows[stage, low][1] * low) / max(high - low, 1)
        print(f"\n{stage}: {slope * 1e6 / 2**20:,.0f} MiB a million images", end="")
        if slope > MAX_BYTES:
            faults.append(f"{stage}: {slope:,.0f} bytes of memory an image, at most {MAX_BYTES:,} allowed")
    print("\n" + "\n".join(faults))
    return 1 if faults else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help=f"also {FULL:,} images")
    parser.add_argument("--images", type=int, nargs="+", help="other numbers of images")
    parser.add_argument("--kind", choices=KINDS, default=KINDS[0], help=f"of source (default {KINDS[0]})")
    parser.add_argument("--in-shard", type=int, default=IN_SHARD, help=f"images of a shard (default {IN_SHARD:,})")
    parser.add_argument("--workers", type=int, default=1, help="processes that read files (default 1)")
    parser.add_argument("--folder", help="where the trees are made (default: the system's)")
    parser.add_argument("--tolerance", type=float, default=TOLERANCE, help=f"default {TOLERANCE}")
    sys.exit(main(parser.parse_args()))
