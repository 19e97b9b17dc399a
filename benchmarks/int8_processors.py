"""int8 on a processor without VNNI: logits here and on an emulated one, with weights of 8 and 7 bits.

Needs a finished demo and `qemu-x86_64` (Debian's qemu-user).
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest.mock import patch

import numpy as np
from onnxruntime import quantization
from onnxruntime.quantization.shape_inference import quant_pre_process

from benchmarks import common
from detector.core import parquet
from detector.data.store import open_store
from detector.export import runtimes
from detector.export.quantization import METHODS, _quantize
from detector.stats import decisions

EMULATED = ("qemu-x86_64", "-cpu", "Haswell")  # AVX2, neither AVX-512 nor VNNI
SOURCE = "faces140k"
JUDGE = """
import sys
import numpy as np, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
images = np.load(sys.argv[1])
for path in sys.argv[2:]:
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    np.save(path + ".npy", np.concatenate([session.run(None, {name: image[None]})[0].ravel() for image in images]))
"""


def judged(prefix: tuple[str, ...], images: Path, models: list[Path]) -> dict[Path, np.ndarray]:
    """The logits of each model, from a process of its own."""
    subprocess.run([*prefix, sys.executable, "-c", JUDGE, images, *models], check=True, stderr=subprocess.DEVNULL)
    return {path: np.load(f"{path}.npy") for path in models}


def main(results: Path, branches: list[str], method: str) -> None:
    if shutil.which(EMULATED[0]) is None:
        sys.exit(f"{EMULATED[0]}: not found; apt-get install qemu-user")
    table = parquet.read(results / "data/manifest.parquet")
    table = table[table["source"] == SOURCE]
    store = open_store(results / f"data/{SOURCE}/images.npy", results / f"data/{SOURCE}/images.json")
    learned, tested = (store[table.loc[table["split"] == part, "row"]] for part in ("train", "test"))
    label = table.loc[table["split"] == "test", "label"].to_numpy()
    (run,) = (results / "runs").glob("*/seed0")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "images.npy", tested)
        models, exact = {}, {}
        for branch in branches:
            source = run / branch / "bundle/model.onnx"
            exact[branch] = runtimes.load(source, "onnxruntime", 1)(tested)
            quant_pre_process(source, folder / "prepared.onnx")
            for bits in (8, 7):
                models[branch, bits] = folder / f"{branch}.{bits}.onnx"
                static = quantization.quantize_static
                with patch.object(
                    *(quantization, "quantize_static"),
                    lambda *given, bits=bits, static=static, **more: static(
                        *given, **{**more, "reduce_range": bits == 7}
                    ),
                ):
                    _quantize(models[branch, bits], folder / "prepared.onnx", learned[::6], method, [])
        here = judged((), folder / "images.npy", list(models.values()))
        there = judged(EMULATED, folder / "images.npy", list(models.values()))
    print("## int8 on other processors\n")
    print("| model | weights | error here | error with AVX2 alone | logits that differ | accuracy here, there |")
    print("| --- | --- | --- | --- | --- | --- |")
    for (branch, bits), path in models.items():
        both = [found[path] for found in (here, there)]
        errors = [float(np.sqrt(np.mean((found - exact[branch]) ** 2))) for found in both]
        right = [100 * decisions.right(label, found).mean() for found in both]
        print(
            f"| {branch} | {bits} bits | {errors[0]:.3f} | {errors[1]:.3f} | {(both[0] != both[1]).sum()} of "
            f"{len(label)} | {right[0]:.1f} %, {right[1]:.1f} % |"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=common.ROOT / "results/demo", help="of a finished demo")
    parser.add_argument("--branches", nargs="+", default=["baseline", "l1-40"], help="exported variants")
    parser.add_argument("--method", choices=list(METHODS), default="minmax", help="of finding ranges")
    arguments = parser.parse_args()
    main(arguments.results, arguments.branches, arguments.method)
