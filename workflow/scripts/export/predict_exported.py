"""Write one logit per test image from each exported file; those of fp32 ONNX must equal torch's."""

import argparse
import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import nn

from detector.core import job, parquet, provenance
from detector.core.files import write_json
from detector.experiment.formats import EXPORTED, FILES, exported
from detector.export import runtimes
from detector.imaging import looks
from detector.imaging.looks import Looks
from detector.imaging.normalisation import Normalisation
from detector.models import devices, inference, networks, sparse
from detector.models.dataset import Images
from detector.stats.predictions import require_numbers, require_same_images


def main(args: argparse.Namespace) -> None:
    origin = provenance.record()
    images = Images.open(args.manifest, args.packs)
    where = devices.plan(
        precision="fp32", threads=args.threads, image_size=images.size, **json.loads(args.runtime)
    )
    # The network as it was trained says how much a pass of any of these files holds.
    network = networks.build(args.arch, size=images.size)
    batch = networks.evaluation_batch(network, images.size, where, runtimes.BATCH)
    sets = {name: images.part("test", name) for name in images.stores}
    differences = {}
    for place in exported(args.runtimes, args.formats):
        runtime, name = place.split("/")
        path = args.bundle / FILES[name]
        if runtime == "torch":
            weights, facts = sparse.load(path)
            images = replace(images, normalisation=Normalisation.of(facts))
            model = networks.load(args.arch, weights, images.size)
        else:
            model = runtimes.load(path, runtime, args.threads)
        for testset, rows in sets.items():
            values = np.empty(0, np.float32)
            if not rows.empty:
                batches = images.batches(rows, where.torch_device).looking(args.looks)
                title = f"{place} {testset}"
                if isinstance(model, nn.Module):
                    values = inference.logits(model, batches, where, title)
                else:
                    values = runtimes.logits(model, len(batches), batches.gather, title, batch)
                    values = looks.mean(values, batches.looks)
            table = inference.predictions(rows, values)
            require_numbers(table, f"{path} in {runtime}, {testset}")
            if name == "onnx-fp32":
                saved = args.predictions / f"{testset}.parquet"
                of_torch = parquet.read(saved)
                require_same_images(table, f"{path}, {testset}", of_torch, str(saved))
                difference = runtimes.parity(of_torch["logit"].to_numpy(), values, path, testset)
                differences[f"{runtime} {testset}"] = difference
            parquet.write(table, args.folder / place / f"{testset}.parquet")
        logging.info("%s: done", place)
    compared = sum(map(len, sets.values()))
    logging.info("ONNX and torch differ by at most %.2g on %d images", max(differences.values()), compared)
    write_json(args.parity, differences)
    write_json(args.folder / "provenance.json", origin)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arch", required=True, help="architecture, such as resnet50")
    parser.add_argument("--runtimes", nargs="+", required=True, help=f"of {', '.join(runtimes.RUNTIMES)}")
    parser.add_argument("--formats", nargs="+", required=True, choices=EXPORTED, help="exported files to try")
    parser.add_argument("--bundle", type=Path, required=True, help="folder of the exported files")
    parser.add_argument("--predictions", type=Path, required=True, help="folder of the logits of torch")
    parser.add_argument("--manifest", type=Path, required=True, help="manifest.parquet")
    parser.add_argument("--packs", type=Path, nargs="+", required=True, help="folders of packed images")
    parser.add_argument("--looks", type=Looks.parse, help="JSON: windows that are seen, if not the middle alone")
    parser.add_argument(
        "--runtime", required=True, help="JSON: device (of sparse files), evaluation_batch, and memory in MiB"
    )
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--folder", type=Path, required=True, help="where RUNTIME/FORMAT/SET.parquet go")
    parser.add_argument("--parity", type=Path, required=True, help="JSON to write: largest difference a set")
    job.run(main, parser)
