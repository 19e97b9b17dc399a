"""Degradations of training images: steps of perturbations, drawn anew for each image and epoch. No torch.

`train.augment` in the config has them: `{share: 0.5, rounds: 2, steps: [{jpeg: [40, 95], chance: 0.3}, …]}`. An
image is left as it is, or goes through one to `rounds` rounds. In each, every step is applied with its chance, in
the order of the list, with a number from its range, each as likely. So two rounds of scaling and JPEG are also a
picture that was shared twice.

All draws of an image depend on (seed, stage, epoch, image) alone, as those of order and flips do: neither batches,
workers, processes nor a resume change a pixel.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from detector.imaging import perturbations
from detector.imaging.perturbations import Steps

CHANCE = "chance"  # the key beside the one that names a step


def of_step(step: Mapping[str, Any]) -> tuple[str, list[float], float]:
    """Name, range and chance of a step in the config; it has a chance of 1 where it gives none."""
    ((name, between),) = ((key, value) for key, value in step.items() if key != CHANCE)
    return name, between, step.get(CHANCE, 1.0)


def modules(*augments: Mapping[str, Any] | None) -> list[str]:
    """Names of the modules of all steps that these `augment` of the config use, sorted; None uses none."""
    names = {of_step(step)[0] for augment in augments for step in (augment or {}).get("steps", ())}
    return sorted(f"{perturbations.PACKAGE}.{name}" for name in names)


def draw(augment: Mapping[str, Any], key: tuple[int, ...]) -> list[dict[str, float]]:
    """Draw the steps of one image, none for one that stays as it is.

    `augment`: `steps` and, each 1 if left out, `share` and `rounds`; `key`: what the draw
    depends on, ints of at least 0.
    """
    rng = np.random.default_rng(key)
    if rng.random() >= augment.get("share", 1.0):
        return []
    drawn: list[dict[str, float]] = []
    for _ in range(int(rng.integers(augment.get("rounds", 1))) + 1):
        for step in augment["steps"]:
            name, (low, high), chance = of_step(step)
            if rng.random() >= chance:
                continue
            if perturbations.step(name).BOUNDS["type"] == "integer":
                drawn.append({name: int(rng.integers(int(low), int(high) + 1))})
            else:
                drawn.append({name: float(rng.uniform(low, high))})
    return drawn


def degraded(image: np.ndarray, augment: Mapping[str, Any], key: tuple[int, ...]) -> np.ndarray:
    """Degrade `image`, uint8 (size, size, 3), as drawn for this key; returns one of the same shape and dtype.

    `image` is not written to, and is returned itself where nothing was drawn. Raises `DetectorError` for an
    unknown kind of step; the config's checks keep such steps out.
    """
    steps: Steps = draw(augment, key)
    if not steps:
        return image
    # A seed of its own for what steps draw themselves, such as noise: another stream than the choice of steps.
    return perturbations.apply(image, steps, int(np.random.default_rng([*key, 1]).integers(2**32)))
