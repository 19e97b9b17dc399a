"""Two ONNX files of one network, such as two versions exported: which is faster, and do they say the same?

    python -m benchmarks.two_files FIRST.onnx SECOND.onnx

Both take turns with one image a pass in ONNX Runtime; then both are asked about the same random images.
"""

import argparse
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import common
from detector.export import runtimes
from detector.models import latency

IMAGES = 32  # of which logits are compared


def compare(first: Path, second: Path, threads: int, warmup: int, rounds: int) -> list[str]:
    """The table's row of two files."""
    models = [runtimes.load(path, "onnxruntime", threads) for path in (first, second)]
    size = int(runtimes.facts(first)["image_size"])
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, size, size, 3), dtype=np.uint8)
    passes = {at: partial(model, images[:1]) for at, model in enumerate(models)}
    times = latency.interleaved(passes, warmup, rounds)
    before, after = (times[at]["latency_ms_median"] for at in range(2))
    apart = np.abs(models[0](images) - models[1](images)).max()
    return [f"`{second.name}`", size, f"{before:.3f}", f"{after:.3f}", f"{before / after:.2f}", f"{apart:.2g}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of a pass")
    parser.add_argument("--warmup", type=int, default=5, help="untimed rounds")
    parser.add_argument("--rounds", type=int, default=100, help="timed rounds")
    args = parser.parse_args()
    row = compare(args.first, args.second, args.threads, args.warmup, args.rounds)
    header = ("file", "px", "first, ms", "second, ms", "× as fast", "largest difference of logits")
    print(common.table(header, [row]))


if __name__ == "__main__":
    main()
