"""Prune the baseline again and fine-tune it with the best that its search found."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from detector.core import dependencies, job, provenance
from detector.core.files import read_json, sha256
from detector.experiment import architectures, methods, teachers
from detector.imaging import augmentation
from detector.imaging.normalisation import Normalisation
from detector.models import checkpoints, networks
from detector.pruning import start
from detector.training import distributed, resume, stage
from detector.training.distillation import Teacher, renormalised
from detector.training.fit import fit
from detector.training.recipe import Recipe, Stream, found


def main(args: argparse.Namespace) -> None:
    if distributed.launch(args.gpus):
        return
    origin = provenance.record()
    settings, pruning = json.loads(args.config), json.loads(args.pruning)
    best = read_json(args.best)
    seen = Normalisation.beside(args.baseline)
    images, plan, train, valid = stage.prepare(
        args.arch, args.manifest, args.packs, args.threads, settings["runtime"], seen
    )
    baseline = networks.load(args.arch, checkpoints.load_weights(args.baseline), images.size)
    model, kept = start.start(baseline, pruning, args.seed)
    recipe = Recipe(**{**settings["recipe"], **found(best)}, seed=args.seed, stream=Stream.FINETUNE)
    parent, teacher, taught = sha256(args.baseline), None, None
    if distill := settings["distill"]:
        taught = {"name": distill["teacher"], "sha256": sha256(args.teacher)}
        taught |= {knob: distill[knob] for knob in ("weight", "temperature")}
        taught |= teachers.facts(args.teacher, images.size, [args.arch])
        network = networks.load(taught["arch"], checkpoints.load_weights(args.teacher), images.size)
        network = renormalised(network, seen, Normalisation.beside(args.teacher))
        once = recipe.augment is None  # else no epoch's images are those of another one
        teacher = Teacher(network, distill["weight"], distill["temperature"], once=once)
    processes = distributed.team().size
    key = dependencies.key(
        *(__file__, args.arch, settings, pruning, best, args.seed),
        *(processes, plan.arithmetic, images.fingerprint(), parent, taught),
        modules=[
            *(architectures.module(arch) for arch in (args.arch, *([taught["arch"]] if taught else []))),
            methods.module(pruning["method"]),
            *augmentation.modules(recipe.augment),
        ],
    )
    state = resume.ResumeState(args.state / key)
    title = f"finetune {args.branch} seed {args.seed}"
    result = fit(model, train, valid, recipe, plan, masks=kept, teacher=teacher, state=state, title=title)
    stage.write_variant(
        *(stage.Outputs(args.model, args.meta, args.history), state, model, result, images, plan),
        arch=args.arch,
        seed=args.seed,
        branch=args.branch,
        **pruning,
        parameters_removed=1 - networks.parameter_count(model) / networks.parameter_count(baseline),
        channels_removed=1 - networks.channel_count(model) / networks.channel_count(baseline),
        config=settings,
        recipe=asdict(recipe),
        hyperparameters=best,
        baseline_sha256=parent,
        start=read_json(args.baseline.with_name("meta.json")).get("start"),
        teacher=taught,
        **origin,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    stage.add_arguments(parser)
    parser.add_argument("--branch", required=True, help="its name, for the log and meta.json")
    parser.add_argument("--pruning", required=True, help="JSON: method, sparsity, ramp")
    parser.add_argument("--baseline", type=Path, required=True, help="the baseline's model.safetensors")
    parser.add_argument("--teacher", type=Path, help="model.safetensors, beside its meta.json; with distillation")
    parser.add_argument("--best", type=Path, required=True, help="best.json of the branch's search")
    stage.add_outputs(parser)
    job.run(main, parser)
