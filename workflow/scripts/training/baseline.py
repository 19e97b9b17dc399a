"""Train one network from scratch: the baseline of an architecture and seed."""

import argparse
import json
from dataclasses import asdict

from detector.core import dependencies, job, provenance
from detector.experiment import architectures
from detector.experiment.variants import BASELINE
from detector.imaging import augmentation
from detector.models import networks
from detector.training import distributed, stage
from detector.training.fit import fit
from detector.training.recipe import Recipe, Stream
from detector.training.resume import ResumeState


def main(args: argparse.Namespace) -> None:
    if distributed.launch(args.gpus):
        return
    origin = provenance.record()
    settings = json.loads(args.config)
    images, plan, train, valid = stage.prepare(args.manifest, args.packs, args.threads, settings["runtime"])
    model = networks.build(args.arch, args.seed, images.size)
    recipe = Recipe(**settings["recipe"], seed=args.seed, stream=Stream.BASELINE)
    processes = distributed.team().size
    key = dependencies.key(
        *(__file__, args.arch, settings, args.seed, processes, plan.arithmetic, images.fingerprint()),
        modules=[architectures.module(args.arch), *augmentation.modules(recipe.augment)],
    )
    state = ResumeState(args.state / key)
    result = fit(model, train, valid, recipe, plan, state=state, title=f"baseline {args.arch} seed {args.seed}")
    outputs = stage.Outputs(args.model, args.meta, args.history)
    facts = {"branch": BASELINE, "sparsity": 0.0, "config": settings, "recipe": asdict(recipe), **origin}
    stage.write_variant(*(outputs, state, model, result, images, plan), arch=args.arch, seed=args.seed, **facts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    stage.add_arguments(parser)
    stage.add_outputs(parser)
    job.run(main, parser)
