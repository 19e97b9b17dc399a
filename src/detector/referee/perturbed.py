"""Perturbed images: whole pictures, changed by steps and saved as PNG for as long as they are judged.

A detector of others is given files, so steps act here on the picture as it is in its file, before any resizing.
The table of robustness of a run has them act on the packed square (`imaging.perturbations`).
"""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import jsonschema
import numpy as np
from PIL import Image

from detector.core.errors import DetectorError
from detector.imaging import perturbations
from detector.imaging.perturbations import Steps
from detector.imaging.preprocessing import decoded
from detector.referee.images import Data
from detector.referee.inspection import MAX_PIXELS


def steps_of(text: str, known: Mapping[str, Steps]) -> Steps:
    """Steps of a name in `known`, or of a text such as `scale=0.5+jpeg=75`.

    Raises `DetectorError` for another name or step, and for a number that a step does not take.
    """
    if text in known:
        return known[text]
    steps = []
    for part in text.split("+"):
        name, found, value = part.partition("=")
        if not found:
            raise DetectorError(
                f"--perturb: found {text!r}, expected STEP=NUMBER with STEP one of "
                f"{', '.join(perturbations.known())}, several with + between them, or a name of "
                f"robustness.perturbations: {', '.join(known) or 'there is no config here'}"
            )
        bounds = perturbations.step(name).BOUNDS
        try:
            number = int(value) if bounds["type"] == "integer" else float(value)
            jsonschema.validate(number, bounds)
        except (ValueError, jsonschema.ValidationError) as error:
            why = getattr(error, "message", f"{value!r} is no {bounds['type']}")
            raise DetectorError(f"--perturb: {text}: {why}, which {name} does not take") from None
        steps.append({name: number})
    return steps


@contextlib.contextmanager
def file(data: Data, path: str, steps: Steps) -> Iterator[Path]:
    """Context in which there is a PNG of the perturbed image, with the name of its file in a folder of its own."""
    image = np.asarray(decoded(data.content(path), MAX_PIXELS))
    changed = perturbations.apply(image, steps, perturbations.seed_of("", path))
    with tempfile.TemporaryDirectory(prefix="detector-evaluate-") as folder:
        made = Path(folder) / f"{Path(path).stem[:100]}.png"
        Image.fromarray(changed).save(made, compress_level=1)
        yield made
