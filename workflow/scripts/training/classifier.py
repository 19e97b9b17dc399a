"""Fit a classifier on features of the training images: the baseline of a system, for a seed."""

import argparse
import json
import logging
from functools import partial
from pathlib import Path

import torch

from detector.core import job, provenance
from detector.core.errors import DetectorError
from detector.core.files import sha256, write_json
from detector.data import splits
from detector.experiment import systems
from detector.experiment.variants import BASELINE
from detector.imaging.looks import Looks
from detector.imaging.normalisation import IMAGENET, KEY, Normalisation
from detector.models import checkpoints, devices, features
from detector.models import classifiers as saved
from detector.models.dataset import Images, sequences
from detector.training import classifiers


def main(args: argparse.Namespace) -> None:
    origin = provenance.record()
    settings = json.loads(args.config)
    how, start = settings["system"], settings.get("start")
    title, named = f"{args.system} seed {args.seed}", systems.network(how)
    seen = IMAGENET
    if named is not None:
        digest = sha256(args.network)
        if start and digest != start["sha256"]:
            raise DetectorError(f"{args.network}: changed since the run began; start snakemake again")
        seen = Normalisation.of(start) if start else Normalisation.beside(args.network)
    images = Images.open(args.manifest, args.packs, seen)
    plan = devices.plan(precision="fp32", threads=args.threads, image_size=images.size, **settings["runtime"])
    network = None if named is None else features.body(named, args.network, images.size)
    if (most := how.get("images")) is not None:
        images = images.trained_on(partial(splits.subset, count=most, seed=args.seed))
    ordered = classifiers.KINDS[how["classifier"]].sequences
    found = {}
    for split in ("train", "valid"):
        rows = images.part(split)
        # Fitted to what it will be asked about: a window at the edge shows other things than the middle does.
        batches = images.batches(rows, plan.torch_device).looking(args.looks)
        values = features.features(network, batches, plan, f"{title}: {split}")
        labels = rows["label"].to_numpy().repeat(batches.looks)
        each = sequences(rows, batches.looks) if ordered else None
        found[split] = classifiers.Labelled(values, labels, each)
        logging.info("%s: %d features of %d images, %s", title, values.shape[1], len(rows), split)
    if ordered and len(found["train"].each) == len(found["train"].label):
        logging.warning(
            "%s: no training video has several frames here, so each sequence is one image; set `frames` of a "
            "source of videos, or choose another classifier",
            title,
        )
    fitted = classifiers.fit(how["classifier"], found["train"], found["valid"], args.seed, title)
    checkpoints.save_weights(args.model, {name: torch.from_numpy(array) for name, array in fitted.arrays.items()})
    used = 0 if network is None else network.parameters_used
    write_json(
        args.meta,
        {
            **{"arch": args.system, "seed": args.seed, "branch": BASELINE, "sparsity": 0.0},
            **{"system": how, "start": start, "network": named and {"name": named, "sha256": digest}},
            **{"chosen": fitted.chosen, "tried": fitted.tried, "valid_accuracy": fitted.valid_accuracy},
            **{"train_images": len(images.part("train")), "features": int(found["train"].features.shape[1])},
            **({"train_sequences": len(sequences(images.part("train")))} if ordered else {}),
            "total_parameters": used + saved.size(fitted.arrays),
            "image_size": images.size,
            "preprocessing": dict(images.preprocessing),
            KEY: images.normalisation.record(),
            "data_fingerprint": images.fingerprint(),
            **{"labels": {"0": "fake", "1": "real"}, "logit": "above 0 means real"},
            **{"plan": plan.as_dict(), **origin},
        },
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--system", required=True, help="name of the system")
    parser.add_argument("--seed", type=int, required=True, help="of which images are taken, of an mlp or bilstm")
    parser.add_argument("--config", required=True, help="JSON: system, runtime, and what its network starts from")
    parser.add_argument("--manifest", type=Path, required=True, help="manifest.parquet")
    parser.add_argument("--packs", type=Path, nargs="+", required=True, help="folders of packed images")
    parser.add_argument("--network", type=Path, help="file of the weights that features are taken from")
    parser.add_argument("--looks", type=Looks.parse, help="JSON: windows that are seen, if not the middle alone")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--model", type=Path, required=True, help="safetensors to write")
    parser.add_argument("--meta", type=Path, required=True, help="JSON to write")
    job.run(main, parser)
