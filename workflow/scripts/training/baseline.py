"""Train one network from scratch: the baseline of an architecture and seed."""

import argparse
import json
from pathlib import Path

from detector.core import dependencies, job, provenance
from detector.models import networks
from detector.training import distributed, stage
from detector.training.fit import BASELINE, Recipe, fit
from detector.training.resume import ResumeState


def main(args: argparse.Namespace) -> None:
    if distributed.launch(args.gpus):
        return
    origin = provenance.record()
    settings = json.loads(args.config)
    images, where, train, valid = stage.prepare(args, settings)
    model = networks.build(args.arch, args.seed)
    recipe = Recipe(**settings["train"], seed=args.seed, stream=BASELINE)
    processes = distributed.team().size
    key = dependencies.key(
        *(__file__, args.arch, settings, args.seed, processes, where.arithmetic, images.fingerprint())
    )
    state = ResumeState(args.state / key)
    result = fit(model, train, valid, recipe, where, state=state, title=f"baseline {args.arch} seed {args.seed}")
    facts = {"branch": "baseline", "sparsity": 0.0, "config": settings, **origin}
    stage.write_variant(args, key, model, result, images, where, **facts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    stage.add_arguments(parser)
    parser.add_argument("--model", type=Path, required=True, help="safetensors to write")
    parser.add_argument("--meta", type=Path, required=True, help="JSON to write")
    parser.add_argument("--history", type=Path, required=True, help="CSV to write, one row per epoch")
    job.run(main, parser)
