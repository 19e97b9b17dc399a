"""Size and latency of exported variants of different runs beside the first one, timed in one interleaved run.

`tables/deployment.csv` compares the variants of one network. This compares networks, of runs of their own:

    python -m benchmarks.deployed results/full-size/runs/resnet50/seed0/baseline \
        results/shipped/runs/tf_efficientnet_lite0@trained/seed0/baseline --output deployed.csv

The first folder is the dense network that the others are to replace. PyTorch's passes begin with normalised
floats, those of ONNX Runtime with bytes. Sparse files are PyTorch's network once they are read: they have sizes
here, and no times.
"""

import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from detector.core import machine, tabular
from detector.experiment.formats import TRAINED, file
from detector.export import runtimes
from detector.models import checkpoints, latency, networks

ONNX = ("onnx-fp32", "onnx-int8")
SPARSE = ("sparse-fp16", "sparse-int8")


def passes_of(folder: Path, size: int, threads: int) -> Iterator[tuple[str, latency.Pass]]:
    """A pass of one image by each file of a variant that is timed, by the name of its format."""
    weights = checkpoints.load_weights(folder / "model.safetensors")
    yield TRAINED, latency.eager(networks.load(arch_of(folder), weights, size), size, 1, torch.device("cpu"))
    image = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), dtype=np.uint8)
    for name in ONNX:
        yield name, partial(runtimes.load(file(folder, name), "onnxruntime", threads), image)


def arch_of(folder: Path) -> str:
    """The network of a variant's folder, `{arch}/seed{seed}/{branch}`."""
    return folder.resolve().parts[-3]


def compare(folders: list[Path], size: int, threads: int, warmup: int, rounds: int) -> pd.DataFrame:
    """A row for each file of each variant; the first folder's trained network is what ratios are to."""
    torch.set_num_threads(threads)
    passes = {(folder, name): run for folder in folders for name, run in passes_of(folder, size, threads)}
    times = latency.interleaved(passes, warmup, rounds)
    first = folders[0]
    rows = []
    for folder in folders:
        for name in (TRAINED, *ONNX, *SPARSE):
            row = {"arch": arch_of(folder), "branch": folder.name, "file": name}
            row["file_mb"] = file(folder, name).stat().st_size / 1e6
            row["times_smaller"] = file(first, TRAINED).stat().st_size / 1e6 / row["file_mb"]
            if timed := times.get((folder, name)):
                row |= timed
                for column, against in (("times_faster_than_eager", TRAINED), ("times_faster_than_onnx", ONNX[0])):
                    row[column] = times[first, against]["latency_ms_median"] / timed["latency_ms_median"]
            rows.append(row)
    cpu, flags = machine.cpu()
    return pd.DataFrame(rows).assign(size=size, threads=threads, rounds=rounds, device=cpu, cpu_flags=flags)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "folders", type=Path, nargs="+", help="variants, with bundle/ in them; first the reference"
    )
    parser.add_argument("--size", type=int, default=224, help="side of the images in pixels")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of each pass")
    parser.add_argument("--warmup", type=int, default=5, help="untimed rounds")
    parser.add_argument("--rounds", type=int, default=50, help="timed rounds")
    parser.add_argument("--output", type=Path, required=True, help="CSV to write")
    args = parser.parse_args()
    table = compare(args.folders, args.size, args.threads, args.warmup, args.rounds)
    tabular.write_table(table, args.output)
    print(table.drop(columns=["device", "cpu_flags"]).to_string(index=False))
