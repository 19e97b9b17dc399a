"""Write one logit per validation and test image of one variant."""

import argparse
import json
from pathlib import Path

from detector.core import job, provenance
from detector.core.files import write_json
from detector.imaging.looks import Looks
from detector.imaging.normalisation import Normalisation
from detector.models import checkpoints, devices, inference, networks
from detector.models.dataset import Images


def main(args: argparse.Namespace) -> None:
    origin = provenance.record()
    images = Images.open(args.manifest, args.packs, Normalisation.beside(args.model))
    weights = networks.weights(args.arch, images.size)
    where = devices.plan(
        precision="fp32",
        threads=args.threads,
        image_size=images.size,
        weights=weights,
        **json.loads(args.runtime),
    )
    judge = inference.judge([networks.load(args.arch, checkpoints.load_weights(args.model), images.size)], where)
    inference.write(args.folder, images, str(args.model), judge, where.torch_device, args.looks)
    write_json(args.folder / "provenance.json", {**origin, "plan": where.as_dict()})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arch", required=True, help="architecture, such as resnet50")
    parser.add_argument("--manifest", type=Path, required=True, help="manifest.parquet")
    parser.add_argument("--packs", type=Path, nargs="+", required=True, help="folders of packed images")
    parser.add_argument("--model", type=Path, required=True, help="model.safetensors of the variant")
    parser.add_argument("--looks", type=Looks.parse, help="JSON: windows that are seen, if not the middle alone")
    parser.add_argument("--runtime", required=True, help="JSON: device, evaluation_batch, and memory in MiB")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--folder", type=Path, required=True, help="where valid.parquet and SOURCE.parquet go")
    job.run(main, parser)
