"""Export one variant: ONNX in fp32, fp16 and, unless left out, int8; sparse files without the pruned weights."""

import argparse
import json
import logging
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import torch

from detector.core import job, parquet, provenance
from detector.core.files import read_json, sha256, write_json
from detector.data.records import file_of
from detector.experiment.formats import EXPORTED, FILES, INT8
from detector.export import onnx_model, quantization, runtimes
from detector.imaging import looks
from detector.imaging.looks import Looks
from detector.imaging.normalisation import Normalisation
from detector.models import checkpoints, devices, inference, networks, sparse
from detector.models.dataset import Images
from detector.stats import calibration, decisions
from detector.stats.predictions import by_video, require_numbers, require_same_images

THRESHOLD = 0.5  # of the probability that an image is real


def main(args: argparse.Namespace) -> None:
    origin = provenance.record()
    settings, meta = json.loads(args.config), read_json(args.meta)
    seen = Normalisation.of(meta)
    images = Images.open(args.manifest, args.packs, seen)
    looked = settings["looks"] and Looks.of(settings["looks"])
    weights = checkpoints.load_weights(args.model)
    network = networks.load(args.arch, weights, images.size)
    valid = parquet.read(args.predictions)
    rows = images.part("valid")
    require_numbers(valid, str(args.predictions))
    require_same_images(valid, str(args.predictions), rows, str(args.manifest))
    judged = by_video(valid)
    label, logit = judged["label"].to_numpy(), judged["logit"].to_numpy()
    reference = float(decisions.right(label, logit).mean())
    scale = calibration.temperature(label, logit)
    if calibration.at_lowest(scale) or calibration.at_highest(scale):
        logging.warning(
            "the temperature ends at its bound, %.3g: %d validation images, %.1f %% called right, allow no best "
            "one, and the probabilities of this network mean little; add validation images",
            *(scale, len(label), 100 * reference),
        )
    if looked:  # among what makes pixels: a version that knows no looks refuses the file
        meta["preprocessing"] = {
            source: {**how, "looks": looked.record()} for source, how in meta["preprocessing"].items()
        }
    facts = {
        **{key: meta[key] for key in ("arch", "seed", "branch", "image_size", "preprocessing", "labels")},
        **seen.facts(),
        "logit": "above 0 means real; P(real) = 1 / (1 + exp(-logit / temperature))",
        "threshold": THRESHOLD,
        "temperature": scale,
        "band": calibration.band(label, logit, settings["sure_error"]),
        **frames(images.part("train")),
        "shortest_side": int(images.part("train")[["width", "height"]].min(axis=None)),
        "trained_at": meta["git_commit"],
        "trained_dirty": meta.get("dirty"),  # None: trained before this was noted
        "data_fingerprint": meta["data_fingerprint"],
        "model_sha256": sha256(args.model),
    }
    files = {name: args.folder / FILES[name] for name in args.formats}
    onnx_model.save_onnx(files["onnx-fp32"], network, meta["image_size"], {**facts, "precision": "fp32"})
    onnx_model.save_half(files["onnx-fp16"], files["onnx-fp32"])

    def save_int8() -> dict:
        """Write the int8 file; returns how it was reached, and what its logits mean."""
        learned = images.batches(images.part("train"), torch.device("cpu"))
        chosen = np.linspace(0, len(learned) - 1, min(settings["calibration_images"], len(learned))).astype(int)
        checked = images.batches(rows, torch.device("cpu")).looking(looked)

        batch = settings["evaluation_batch"]
        if batch == devices.AUTO:
            batch = networks.images_at_once(network, images.size, settings["memory"], runtimes.BATCH)
        measured = []

        def accuracy(path: Path) -> float:
            model = runtimes.load(path, "onnxruntime", args.threads)
            found = runtimes.logits(model, len(checked), checked.gather, f"int8 {args.branch}", batch)
            table = inference.predictions(rows, looks.mean(found, checked.looks))
            require_numbers(table, f"{args.folder / FILES[INT8]}, valid")
            measured.append(by_video(table)["logit"].to_numpy())
            return float(decisions.right(label, measured[-1]).mean())

        done = quantization.save_int8(
            *(files[INT8], files["onnx-fp32"], learned.gather(chosen), accuracy),
            wanted=reference - settings["max_drop"],
        )
        # Rounded logits have a temperature and a band of their own: those of the attempt which was kept.
        kept = measured[done["tried"].index({k: v for k, v in done.items() if k != "tried"})]
        own = {
            "temperature": calibration.temperature(label, kept),
            "band": calibration.band(label, kept, settings["sure_error"]),
        }
        model = onnx.load(files[INT8])
        onnx_model.set_facts(model, own)
        onnx_model.write(files[INT8], model)
        return done | own

    int8 = save_int8() if INT8 in files else None
    for precision in ("fp16", "int8"):
        sparse.save(files[f"sparse-{precision}"], weights, precision, facts)
    for name, path in files.items():
        logging.info("%s: %.2f MB", name, path.stat().st_size / 1e6)
    write_json(
        args.facts,
        {
            **facts,
            **{key: meta[key] for key in ("total_parameters", "nonzero_weights", "macs")},
            "valid_accuracy": reference,
            "int8": int8,
            **origin,
        },
    )


def frames(train: pd.DataFrame) -> dict[str, float]:
    """Which frame of a video training saw, `frame` (0 = first, 1 = last; the middle one where it saw none).

    Where it saw several of one, also how many, `frames`: the most.
    """
    # Names of files are a source's own: two sources may have the same.
    video = train["source"] + "/" + train["path"].map(file_of)
    if (count := int(video.value_counts().max())) > 1:
        return {"frame": 0.5, "frames": count}
    positions = train["frame"].dropna()
    return {"frame": float(positions.iloc[0]) if len(positions) else 0.5}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arch", required=True, help="architecture, such as resnet50")
    parser.add_argument("--branch", required=True, help="its name, for the progress bar")
    parser.add_argument("--model", type=Path, required=True, help="model.safetensors of the variant")
    parser.add_argument("--meta", type=Path, required=True, help="meta.json of the variant")
    parser.add_argument("--predictions", type=Path, required=True, help="its logits on the validation images")
    parser.add_argument("--manifest", type=Path, required=True, help="manifest.parquet")
    parser.add_argument("--packs", type=Path, nargs="+", required=True, help="folders of packed images")
    parser.add_argument(
        "--config",
        required=True,
        help="JSON: calibration_images, max_drop, sure_error, looks, evaluation_batch, memory in MiB",
    )
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--folder", type=Path, required=True, help="where the exported files go")
    parser.add_argument("--formats", nargs="+", required=True, choices=EXPORTED, help="files to write")
    parser.add_argument("--facts", type=Path, required=True, help="JSON to write: what was exported")
    job.run(main, parser)
