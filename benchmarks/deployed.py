"""Size and latency of exported variants beside those of another network, timed in one interleaved run.

`tables/deployment.csv` compares the files of one network. This asks what is saved by one that is chosen in place
of another:

    python -m benchmarks.deployed results/shipped/runs/tf_efficientnet_lite0@trained/seed0/baseline \
        --against resnet50 --output deployed.csv

The other network has fresh weights: no byte and no millisecond hangs on their values. PyTorch's passes begin with
normalised floats, those of ONNX Runtime with bytes. Sparse files are PyTorch's network once they are read: they
have sizes here, and no times.
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from detector.core import machine, tabular
from detector.experiment.formats import TRAINED, file
from detector.export import onnx_model, runtimes
from detector.models import checkpoints, latency, networks

ONNX = ("onnx-fp32", "onnx-int8")
SPARSE = ("sparse-fp16", "sparse-int8")
# Files of the other network whose times these columns are ratios to.
REFERENCES = {"times_faster_than_eager": TRAINED, "times_faster_than_onnx": ONNX[0]}


def arch_of(folder: Path) -> str:
    """The network of a variant's folder, `{arch}/seed{seed}/{branch}`."""
    return folder.resolve().parts[-3]


def fresh(folder: Path, size: int) -> None:
    """Write a network with fresh weights as a variant that was trained and exported in fp32 alone."""
    network = networks.build(arch_of(folder), size=size).eval()
    checkpoints.save_weights(file(folder, TRAINED), network.state_dict())
    onnx_model.save_onnx(file(folder, ONNX[0]), network, size, {})


def passes_of(folder: Path, size: int, threads: int) -> Iterator[tuple[str, latency.Pass]]:
    """A pass of one image by each file of a variant that is timed, by the name of its format."""
    network = networks.load(arch_of(folder), checkpoints.load_weights(file(folder, TRAINED)), size)
    yield TRAINED, latency.eager(network, size, 1, torch.device("cpu"))
    image = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), dtype=np.uint8)
    for name in ONNX:
        if (path := file(folder, name)).exists():
            yield name, partial(runtimes.load(path, "onnxruntime", threads), image)


def compare(
    folders: Sequence[Path], against: str, size: int, threads: int, warmup: int, rounds: int
) -> pd.DataFrame:
    """A row for each file of each variant, after those of the network that they are compared with."""
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as place:
        other = Path(place) / against / "fresh/dense"
        other.mkdir(parents=True)
        fresh(other, size)
        every = [other, *folders]
        passes = {(folder, name): run for folder in every for name, run in passes_of(folder, size, threads)}
        times = latency.interleaved(passes, warmup, rounds)
        rows = []
        for folder in every:
            for name in (TRAINED, *ONNX, *SPARSE):
                if not file(folder, name).exists():
                    continue
                row = {"arch": arch_of(folder), "branch": folder.name, "file": name}
                row["file_mb"] = file(folder, name).stat().st_size / 1e6
                row["times_smaller"] = file(other, TRAINED).stat().st_size / 1e6 / row["file_mb"]
                if timed := times.get((folder, name)):
                    row |= timed
                    for column, what in REFERENCES.items():
                        row[column] = times[other, what]["latency_ms_median"] / timed["latency_ms_median"]
                rows.append(row)
    cpu, flags = machine.cpu()
    return pd.DataFrame(rows).assign(size=size, threads=threads, rounds=rounds, device=cpu, cpu_flags=flags)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="variants with a bundle/")
    parser.add_argument("--against", default="resnet50", help="network that they are compared with")
    parser.add_argument("--size", type=int, default=224, help="side of the images in pixels")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of each pass")
    parser.add_argument("--warmup", type=int, default=5, help="untimed rounds")
    parser.add_argument("--rounds", type=int, default=50, help="timed rounds")
    parser.add_argument("--output", type=Path, required=True, help="CSV to write")
    args = parser.parse_args()
    table = compare(args.folders, args.against, args.size, args.threads, args.warmup, args.rounds)
    tabular.write_table(table, args.output)
    print(table.drop(columns=["device", "cpu_flags"]).to_string(index=False))
