"""Write logits of one run's networks on perturbed test images, and Grad-CAM maps of examples."""

import argparse
import json
import logging
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from torch import nn

from detector.core import job, parquet
from detector.imaging.normalisation import Normalisation
from detector.models import checkpoints, devices, gradcam, inference, perturbed
from detector.models import networks as networks_module
from detector.models.dataset import Images
from detector.stats.predictions import tested


def main(args: argparse.Namespace) -> None:
    settings = json.loads(args.config)
    # All are of one run, and so of one start. There is none where all that was asked for is left out of it.
    seen = [Normalisation.beside(path) for _, path in args.models[:1]]
    images = Images.open(args.manifest, args.packs, *seen)
    where = devices.plan(precision="fp32", threads=args.threads, image_size=images.size, **settings["runtime"])
    networks = {
        name: networks_module.load(args.arch, checkpoints.load_weights(path), images.size)
        for name, path in args.models
    }
    said = {name: tested(Path(folder), images.stores) for name, folder in args.predictions}
    judges = {name: inference.judge([networks[name]], where) for name in args.perturb}
    parquet.write(perturbed.of_test_images(judges, said, images, settings, where), args.perturbed)
    looked_at = {name: networks[name] for name in args.explain}
    parquet.write(maps(looked_at, said, images, settings["seed"], where), args.maps)


def maps(
    looked_at: Mapping[str, nn.Module],
    said: Mapping[str, pd.DataFrame],
    images: Images,
    seed: int,
    where: devices.Plan,
) -> pd.DataFrame:
    """A row for each example of each branch and source, its map as a list of rows."""
    tables = []
    places = images.part("test").set_index(["source", "path"])["row"]
    for branch, model in looked_at.items():
        for _, part in said[branch].groupby("source", sort=False):
            chosen = gradcam.examples(part, seed)
            keys = pd.MultiIndex.from_frame(chosen[["source", "path"]])
            chosen = chosen.assign(branch=branch, row=places.loc[keys].to_numpy())
            batches = images.batches(chosen, where.torch_device)
            pixels = batches.images(range(len(chosen)))
            found = gradcam.heat_maps(model, pixels, chosen["logit"].to_numpy(), where)
            tables.append(chosen.assign(map=[each.tolist() for each in found])[list(gradcam.MAP_COLUMNS)])
    logging.info("maps of %d examples", sum(map(len, tables)))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(gradcam.MAP_COLUMNS))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arch", required=True, help="architecture, such as resnet50")
    parser.add_argument("--manifest", type=Path, required=True, help="manifest.parquet")
    parser.add_argument("--packs", type=Path, nargs="+", required=True, help="folders of packed images")
    parser.add_argument("--models", type=job.pair, nargs="*", default=[], help="BRANCH=model.safetensors")
    parser.add_argument("--predictions", type=job.pair, nargs="*", default=[], help="BRANCH=folder of logits")
    parser.add_argument("--perturb", nargs="*", default=[], help="branches that are shown perturbed images")
    parser.add_argument("--explain", nargs="*", default=[], help="branches whose maps are made")
    parser.add_argument(
        "--config", required=True, help="JSON: perturbations, images (at most, a source), seed, looks, runtime"
    )
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--perturbed", type=Path, required=True, help="parquet to write: logits")
    parser.add_argument("--maps", type=Path, required=True, help="parquet to write: maps")
    job.run(main, parser)
