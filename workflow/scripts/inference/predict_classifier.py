"""Write one logit per validation and test image of a classifier on features."""

import argparse
import json
from pathlib import Path

from detector.core import job, provenance
from detector.core.files import write_json
from detector.imaging.looks import Looks
from detector.imaging.normalisation import Normalisation
from detector.models import devices, features, inference
from detector.models.dataset import Images


def main(args: argparse.Namespace) -> None:
    origin = provenance.record()
    images = Images.open(args.manifest, args.packs, Normalisation.beside(args.model))
    where = devices.plan(
        precision="fp32", threads=args.threads, image_size=images.size, **json.loads(args.runtime)
    )
    judge = features.judge(args.model, args.network, images.size, where)
    inference.write(args.folder, images, str(args.model), judge, where.torch_device, args.looks)
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
