"""Learning rate of each step: a function of the step's number alone, so that a resumed training has the same."""

import math

from detector.training.recipe import Recipe

RISE = 0.3  # share of the steps in which one_cycle's rate rises, where no warm-up says otherwise
START, END = 25, 25e4  # its first and last rate are the recipe's divided by these: OneCycleLR's defaults


def rate(recipe: Recipe, step: int, steps: int) -> float:
    """Learning rate of a step, counted from 0 over the whole training; `steps`: of an epoch.

    constant and cosine rise linearly through the first `warmup` epochs, to the recipe's rate in their last step.
    From there cosine falls as `CosineAnnealingLR` does, towards 0 at the end of epoch number `epochs`. one_cycle
    is `OneCycleLR`, which rises through `warmup` epochs where there are any.
    """
    full, total, warm = recipe.learning_rate, recipe.epochs * steps, recipe.warmup * steps
    if recipe.schedule == "one_cycle":
        top = (warm or RISE * total) - 1
        if step < top:
            return _between(full / START, full, step / top)
        return _between(full, full / END, (step - top) / (total - 1 - top))
    if step < warm:
        return full * min(1.0, (step + 1) / warm)
    if recipe.schedule == "cosine":
        return _between(full, 0.0, (step - warm) / (total - warm))
    return full


def _between(first: float, last: float, way: float) -> float:
    """Value on the cosine from `first` to `last` after this share of the way."""
    return last + (first - last) / 2 * (1 + math.cos(math.pi * way))
