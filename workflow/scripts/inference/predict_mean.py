"""Write one logit per validation and test image of a mean of networks, and what the mean is of."""

import argparse
import json
from pathlib import Path

from detector.core import job, parquet, provenance
from detector.core.files import read_json, sha256, write_json
from detector.experiment.variants import BASELINE, VALID
from detector.imaging.looks import Looks
from detector.imaging.normalisation import KEY, Normalisation
from detector.models import checkpoints, devices, inference, networks
from detector.models.dataset import Images
from detector.stats.predictions import right

# What is said of each network.
SAID = ("epochs", "best_epoch", "valid_accuracy", "total_parameters", "data_fingerprint")


def main(args: argparse.Namespace) -> None:
    origin = provenance.record()
    how, seen = json.loads(args.system), Normalisation.beside(args.models[0])
    images = Images.open(args.manifest, args.packs, seen)
    where = devices.plan(
        precision="fp32", threads=args.threads, image_size=images.size, **json.loads(args.runtime)
    )

    weights = map(checkpoints.load_weights, args.models)
    judge = inference.judge([networks.load(how["mean_of"], each, images.size) for each in weights], where)
    inference.write(args.folder, images, args.name, judge, where.torch_device, args.looks)
    metas = [read_json(path.with_name("meta.json")) for path in args.models]
    members = [
        {"folder": path.parent.name, "sha256": sha256(path), **{key: meta[key] for key in SAID}}
        for path, meta in zip(args.models, metas, strict=True)
    ]
    write_json(args.folder / "provenance.json", {**origin, "plan": where.as_dict()})
    write_json(
        args.meta,
        {
            **{"arch": args.name, "seed": args.seed, "branch": BASELINE, "sparsity": 0.0},
            **{"system": how, "members": members, "start": metas[0]["start"]},
            "valid_accuracy": float(right(parquet.read(args.folder / f"{VALID}.parquet")).mean()),
            **{key: sum(meta[key] for meta in metas) for key in ("total_parameters", "macs")},
            "image_size": images.size,
            "preprocessing": dict(images.preprocessing),
            KEY: seen.record(),
            "data_fingerprint": images.fingerprint(),
            **{"labels": {"0": "fake", "1": "real"}, "logit": "above 0 means real"},
            **{"plan": where.as_dict(), **origin},
        },
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="name of the system")
    parser.add_argument("--seed", type=int, required=True, help="of its networks")
    parser.add_argument("--system", required=True, help="JSON: what the config says of it")
    parser.add_argument("--manifest", type=Path, required=True, help="manifest.parquet")
    parser.add_argument("--packs", type=Path, nargs="+", required=True, help="folders of packed images")
    parser.add_argument("--models", type=Path, nargs="+", required=True, help="model.safetensors of each network")
    parser.add_argument("--looks", type=Looks.parse, help="JSON: windows that are seen, if not the middle alone")
    parser.add_argument("--runtime", required=True, help="JSON: device, evaluation_batch, and memory in MiB")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--folder", type=Path, required=True, help="where valid.parquet and SOURCE.parquet go")
    parser.add_argument("--meta", type=Path, required=True, help="JSON to write")
    job.run(main, parser)
