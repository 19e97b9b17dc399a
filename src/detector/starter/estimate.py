"""Estimate of a run: seconds by rule, disk and memory, from a configuration, its images and one measured step.

The constants were fitted to the CPU times of a run of 300 + 300 images: what a stage takes beside its network, in
units of the start of one, which is measured, so that a slow disk or a busy machine counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from detector.experiment.branches import branches, deployed, explained, perturbations, perturbed, searches
from detector.experiment.config import looks
from detector.experiment.variants import BASELINE
from detector.starter.folders import Counts

LIGHT = 0.7  # starts: a table, a figure, a scan; they import no torch
LIGHT_STAGES = 34  # beside those below
EXPORTING = 6.0  # starts: three files of a network, one of them quantised, and read again
PLANNING = 6.0  # starts: Snakemake itself, and the trial of a network that is new here
PACKING = 0.01  # seconds an image, of one process
MARGIN = 1.15
WEIGHT_BYTES = 4
STATES = 8  # copies of the weights in the two states of the training at work: its own, the best, an optimizer's
EXPORTS = 2.5  # copies of the weights in a bundle: fp32, fp16, int8 and sparse
SMALL_FILES = 20_000_000  # bytes of tables, figures, logs and notes
PROCESS = 600  # MiB of what runs beside a training


@dataclass(frozen=True)
class Estimate:
    """What a run takes: seconds of a job by rule, and what one of any other adds; bytes, MiB.

    `seconds`: of all, `training`: of these.
    """

    stages: Mapping[str, float]
    others: float
    seconds: float
    training: float
    disk: int
    memory: int


def estimate(
    config: Mapping[str, Any],
    counts: Counts,
    measured: Mapping[str, Any],
    cores: int,
    stages_beside: int = LIGHT_STAGES,
) -> Estimate:
    """Estimate the run of a complete configuration on a machine.

    `measured`: what `starter.step` prints, of a batch of `train.batch_size`. Training is taken to go through all
    its epochs. `stages_beside`: how many are run that need no network.
    """
    start, image = measured["start"], measured["image"]
    learning = measured["step"] / config["train"]["batch_size"]
    runs = len(config["architectures"]) * len(config["seeds"])
    train, valid, test = (counts.of(split) for split in ("train", "valid", "test"))
    epoch = train * learning + valid * image
    frozen = config["train"]["freeze"] * train * (learning - image)  # what training the head alone saves
    pruned, shipped = len(branches(config)), len(deployed(config))
    rounds = config["latency"]["rounds"] + config["latency"]["warmup"]
    names = perturbations(config)
    looked_at = len(perturbed(config)) * (len(names) + 1) if names else 0
    some = looks(config["images"])
    each = 1 if some is None else len(some.windows(config["images"]["pack_size"]))  # passes of a trained network
    once = 0 if some is None else 1  # pass by the middle alone beside these
    stages = {
        "pack": counts.total * PACKING,
        BASELINE: start + config["train"]["epochs"] * epoch - frozen,
        "search": start + config["search"]["trials"] * config["search"]["epochs"] * epoch,
        "finetune": start + config["finetune"]["epochs"] * epoch,
        "predict": start + (each + once) * (valid + test) * image,
        "latency": start + (1 + once * each) * rounds * (1 + pruned) * image,
        "export": EXPORTING * start + 3 * (each * valid + config["deploy"]["calibration_images"]) * image,
        "predict_exported": start + 3 * each * test * image,
        "deployment_latency": 2 * start + 4 * rounds * shipped * image,
        "probe": 2 * start + each * test * image * looked_at,
    }
    times = {
        **{"pack": len(config["data"]["use"]), BASELINE: runs, "search": runs * len(searches(config))},
        **{"finetune": runs * pruned, "predict": runs * (1 + pruned), "latency": runs},
        **{"export": runs * shipped, "predict_exported": runs * shipped, "deployment_latency": runs},
        "probe": runs if looked_at or explained(config) else 0,
    }
    training = MARGIN * sum((stages[rule] - start) * times[rule] for rule in (BASELINE, "search", "finetune"))
    heavy = sum(stages[rule] * times[rule] for rule in stages)
    light = LIGHT * start * stages_beside / min(cores, 4)
    seconds = MARGIN * (PLANNING * start + heavy + light)
    weights = WEIGHT_BYTES * measured["parameters"]
    side = config["images"]["pack_size"] or config["images"]["size"]
    disk = 3 * counts.total * side**2 + SMALL_FILES
    disk += round(weights * (runs * (1 + pruned + EXPORTS * shipped) + STATES))
    return Estimate(stages, light / stages_beside, seconds, training, disk, measured["memory"] + PROCESS)
