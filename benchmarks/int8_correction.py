"""int8 with the correction of its logits and without: how often it says what fp32 says, of test images.

    python -m benchmarks.int8_correction results/networks/runs/*/seed0/baseline

Takes exported variants of a finished run, with its packed images. Their first attempt at an int8 file is made anew
(ranges from the smallest and largest activation). Shifts are medians over images, of int8 less fp32.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch

from benchmarks import common
from detector.core.files import read_json
from detector.experiment import architectures
from detector.export import quantization, runtimes
from detector.imaging.normalisation import Normalisation
from detector.models.dataset import Images
from detector.stats import decisions

HEADER = ("variant", "test images", "accuracy fp32", "int8", "corrected", "as fp32 says: int8", "corrected")
SHIFTS = ("shift of test images", "of calibration images", "standard deviation of logits")
FIRST = "minmax"


def row(folder: Path, calibration_images: int) -> list[str]:
    """The table's row of a variant."""
    results, arch = folder.parents[3], folder.parents[1].name
    step = architectures.step(arch)
    packs = [path.parent for path in sorted((results / "data" / (step or "")).glob("*/images.json"))]
    images = Images.open(
        results / "data/manifest.parquet", packs, Normalisation.of(read_json(folder / "meta.json"))
    )
    learned, tested = (images.batches(images.part(name), torch.device("cpu")) for name in ("train", "test"))
    chosen = np.linspace(0, len(learned) - 1, min(calibration_images, len(learned))).astype(int)
    calibration = learned.gather(chosen)
    label = images.part("test")["label"].to_numpy()

    def asked(path: Path) -> np.ndarray:
        return runtimes.logits(runtimes.load(path, "onnxruntime", 1), len(tested), tested.gather, path.name)

    with tempfile.TemporaryDirectory() as name:
        prepared, rounded = Path(name, "prepared.onnx"), Path(name, "int8.onnx")
        quantization._prepare(prepared, folder / "bundle/model.onnx")
        quantization._quantize(rounded, prepared, calibration, FIRST, [])
        moved = quantization._logits(rounded, calibration) - quantization._logits(prepared, calibration)
        shift = float(np.median(moved))
        exact, plain = asked(prepared), asked(rounded)
        quantization._correct(rounded, -shift)
        corrected = asked(rounded)
    right = [f"{np.mean(decisions.right(label, logits)):.2%}" for logits in (exact, plain, corrected)]
    same = [f"{np.mean(decisions.real(logits) == decisions.real(exact)):.2%}" for logits in (plain, corrected)]
    shifts = [f"{np.median(plain - exact):+.3f}", f"{shift:+.3f}", f"{exact.std():.2f}"]
    return [f"`{arch}/{folder.name}`", str(len(label)), *right, *same, *shifts]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variants", type=Path, nargs="+", help="results/NAME/runs/NETWORK/seedN/BRANCH")
    parser.add_argument("--calibration-images", type=int, default=512)
    args = parser.parse_args()
    rows = [row(folder.resolve(), args.calibration_images) for folder in args.variants]
    print(common.table([*HEADER, *SHIFTS], rows))


if __name__ == "__main__":
    main()
