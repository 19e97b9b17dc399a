"""Write one logit per validation and test image of a classifier on features."""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd

from detector.core import job, provenance
from detector.core.errors import DetectorError
from detector.core.files import read_json, sha256, write_json
from detector.imaging import looks
from detector.imaging.looks import Looks
from detector.imaging.normalisation import Normalisation
from detector.models import checkpoints, classifiers, devices, features, inference
from detector.models.dataset import Images, sequences


def main(args: argparse.Namespace) -> None:
    origin = provenance.record()
    fitted_on = read_json(args.model.with_name("meta.json")).get("network")
    if fitted_on and sha256(args.network) != fitted_on["sha256"]:
        raise DetectorError(
            f"{args.network}: is not what {args.model} was fitted on; delete {args.model} and run snakemake again"
        )
    images = Images.open(args.manifest, args.packs, Normalisation.beside(args.model))
    where = devices.plan(
        precision="fp32", threads=args.threads, image_size=images.size, **json.loads(args.runtime)
    )
    network = features.body(fitted_on["name"], args.network, images.size) if fitted_on else None
    arrays = {name: tensor.numpy() for name, tensor in checkpoints.load_weights(args.model).items()}

    def found(rows: pd.DataFrame, name: str) -> np.ndarray:
        batches = images.batches(rows, where.torch_device).looking(args.looks)
        values = features.features(network, batches, where, name)
        seen = sequences(rows, batches.looks)
        return looks.mean(classifiers.logits(arrays, values, seen), batches.looks)

    inference.write(args.folder, images, str(args.model), found)
    write_json(args.folder / "provenance.json", {**origin, "plan": where.as_dict()})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--manifest", type=Path, required=True, help="manifest.parquet")
    parser.add_argument("--packs", type=Path, nargs="+", required=True, help="folders of packed images")
    parser.add_argument("--model", type=Path, required=True, help="model.safetensors, with meta.json beside it")
    parser.add_argument("--network", type=Path, help="file of the weights that features are taken from")
    parser.add_argument("--looks", type=Looks.parse, help="JSON: windows that are seen, if not the middle alone")
    parser.add_argument("--runtime", required=True, help="JSON: device, evaluation_batch, and memory in MiB")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--folder", type=Path, required=True, help="where valid.parquet and SOURCE.parquet go")
    job.run(main, parser)
