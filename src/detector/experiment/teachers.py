"""Teachers of fine-tuning: whose logits `finetune.distill` asks for, and whether they fit."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from detector.core.errors import DetectorError
from detector.core.files import read_json
from detector.experiment import architectures
from detector.experiment.variants import BASELINE, DENSE_CONTROL

NAMED = (BASELINE, DENSE_CONTROL)  # teachers of the run itself; any other is a file
SUFFIX = ".safetensors"
FILE = "file"  # how tables name one


def teacher(config: Mapping, branch: str) -> str | None:
    """Teacher of a branch: the name of another one, or the path of a file; None without distillation.

    The dense control, which cannot teach itself, learns from the baseline.
    """
    distill = config["finetune"]["distill"]
    if distill is None:
        return None
    return BASELINE if branch == DENSE_CONTROL == distill["teacher"] else str(distill["teacher"])


def problems(config: Mapping) -> list[str]:
    """What is wrong with `finetune.distill` beyond what a schema can say, without a look at files."""
    distill = config["finetune"]["distill"]
    if distill is None:
        return []
    name = distill["teacher"]
    if name == DENSE_CONTROL and not config["prune"]["dense_control"]:
        return [
            f"finetune.distill.teacher: {DENSE_CONTROL} is not there with prune.dense_control: false; set that to "
            f"true, or take {BASELINE}"
        ]
    if name not in NAMED and not name.endswith(SUFFIX):
        return [
            f"finetune.distill.teacher: found {name!r}, expected {BASELINE}, {DENSE_CONTROL} or the path of a "
            f"model{SUFFIX} with its meta.json beside it"
        ]
    return []


def facts(weights: str | os.PathLike[str], image_size: int, students: Sequence[str] = ()) -> dict[str, Any]:
    """What a teacher's meta.json, beside its `weights`, says of it: `arch`, `seed`, `branch`.

    Raises `DetectorError` where one of the two is missing, or it is no meta.json, or where the teacher sees images
    of another size than `image_size`, or made another way than those of the architectures that are its `students`.
    """
    path, meta = Path(weights), Path(weights).with_name("meta.json")
    place = "finetune.distill.teacher"
    for file in (path, meta):
        if not file.is_file():
            raise DetectorError(
                f"{place}: {file} is not there; expected a trained model{SUFFIX} with its meta.json beside it"
            )
    try:
        found = read_json(meta)
        size, named = found["image_size"], {key: found[key] for key in ("arch", "seed", "branch")}
    except (ValueError, KeyError, TypeError) as error:
        raise DetectorError(f"{place}: {meta} is not the meta.json of a trained variant ({error!r})") from None
    if size != image_size:
        raise DetectorError(
            f"{place}: {path} sees images of {size} px, expected the {image_size} px of images.size; take one "
            f"trained at this size, or set images.size to {size}"
        )
    step = architectures.step(named["arch"])
    if odd := [name for name in students if architectures.step(name) != step]:
        raise DetectorError(
            f"{place}: {path} is a {named['arch']} and sees other pixels than {', '.join(odd)}; expected a "
            "teacher with the same step of preprocessing, or none"
        )
    return named
