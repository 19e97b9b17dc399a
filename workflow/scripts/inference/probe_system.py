"""Write logits of a system, a classifier on features or a mean of networks, on perturbed test images."""

import argparse
import json
from pathlib import Path

from detector.core import job, parquet
from detector.experiment.variants import BASELINE
from detector.imaging.normalisation import Normalisation
from detector.models import checkpoints, devices, features, inference, networks, perturbed
from detector.models.dataset import Images
from detector.stats.predictions import tested


def main(args: argparse.Namespace) -> None:
    settings = json.loads(args.config)
    images = Images.open(args.manifest, args.packs, Normalisation.beside(args.models[0]))
    where = devices.plan(precision="fp32", threads=args.threads, image_size=images.size, **settings["runtime"])
    if (named := settings["system"].get("mean_of")) is not None:
        weights = map(checkpoints.load_weights, args.models)
        judge = inference.judge([networks.load(named, each, images.size) for each in weights], where)
    else:
        judge = features.judge(args.models[0], args.network, images.size, where)
    said = {BASELINE: tested(args.predictions, images.stores)}
    parquet.write(perturbed.of_test_images({BASELINE: judge}, said, images, settings, where), args.perturbed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--manifest", type=Path, required=True, help="manifest.parquet")
    parser.add_argument("--packs", type=Path, nargs="+", required=True, help="folders of packed images")
    parser.add_argument("--models", type=Path, nargs="+", required=True, help="the classifier, or each network")
    parser.add_argument("--network", type=Path, help="file of the weights that features are taken from")
    parser.add_argument("--predictions", type=Path, required=True, help="folder of its logits")
    parser.add_argument(
        "--config",
        required=True,
        help="JSON: system, perturbations, images (at most, a source), seed, looks, runtime",
    )
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--perturbed", type=Path, required=True, help="parquet to write: logits")
    job.run(main, parser)
