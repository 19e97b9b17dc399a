"""`detector evaluate`: names the data, the models and the perturbations, evaluates, sets the exit code."""

import logging
from collections.abc import Sequence
from pathlib import Path

from detector.core import job
from detector.data import walk
from detector.experiment.config import config_of
from detector.referee import contenders, evaluation, images, perturbed
from detector.referee.scoring import Limits

log = logging.getLogger(__name__)
ALL_FINE, SOME_BAD = 0, 1


def evaluate(
    data: str,
    models: Sequence[str],
    *,
    out: Path,
    split: str | None = None,
    calibrate: float = 0.0,
    perturb: Sequence[str] = (),
    config: Sequence[Path] = (),
    time_limit: float = 60.0,
    start_limit: float = 300.0,
    threads: int = 0,
    root: Path = Path(),
) -> int:
    """Evaluate models on data and print where the page is; `config.yaml` is read below `root` where it is needed.

    Returns 0, or 1 where an image or a model gave no score. Raises `DetectorError` for input that is of no use.
    """
    asked = contenders.parse_all(models)
    table = {}
    named = [name for name in perturb if "=" not in name]
    whole = (
        config_of(root, config) if named or not Path(data).exists() and (root / "config.yaml").is_file() else None
    )
    if whole is not None:
        table = whole["robustness"]["perturbations"]
    steps = {name: perturbed.steps_of(name, table) for name in perturb}
    known = whole is not None and not Path(data).exists()
    walk.check_output("--out", out, images.walked(data, whole if known else None))
    found = images.of_source(data, whole, split) if known and whole else images.read(Path(data), split)
    fine = evaluation.evaluate(
        found,
        asked,
        out,
        calibrate=calibrate,
        perturb=steps,
        limits=Limits(start_limit, time_limit),
        threads=threads,
    )
    job.say(str(out / "report.html"))
    return ALL_FINE if fine else SOME_BAD
