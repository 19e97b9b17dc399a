"""Recipe of a training: the knobs of its optimizer, rate and loss. The defaults are the study's."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any


class Stream(IntEnum):
    """Stream of random numbers of a stage; the values are part of what each stage computes."""

    BASELINE = 0
    SEARCH = 1
    FINETUNE = 2


@dataclass(frozen=True)
class Recipe:
    """Training settings; docs/configuration.md says what each knob of `train` means.

    `patience`: epochs without a better validation score, None trains every epoch; `flip`: the probability that an
    image is mirrored; `momentum` and `nesterov` are SGD's and ignored by others; `warmup`: in epochs; `clip`: the
    largest norm of a step's gradients, None leaves them; `ema`: decay of the moving average of weights, None takes
    none; `augment`: `share`, `rounds` and `steps` of `imaging.augmentation`, None leaves images as they are;
    `crop`: `side` and `per_image` of `imaging.windows`, None for one window in its own pixels where packed images
    are larger; `freeze`: epochs at first that train the network's last layers alone; `body_rate`: share of the
    learning rate that all other layers have; `head`: what the weights of a new head begin as, `drawn` or `zero`.
    `stream` separates the order, flips, degradations and windows of a stage from those of other stages with the
    same seed.
    """

    optimizer: str
    learning_rate: float
    batch_size: int
    epochs: int
    patience: int | None
    flip: float
    seed: int
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    schedule: str = "constant"
    warmup: float = 0.0
    label_smoothing: float = 0.0
    clip: float | None = None
    ema: float | None = None
    balance: str = "none"
    select: str = "accuracy"
    augment: Mapping[str, Any] | None = None
    crop: Mapping[str, Any] | None = None
    freeze: int = 0
    body_rate: float = 1.0
    head: str = "drawn"
    stream: Stream = Stream.BASELINE


def found(best: Mapping[str, Any]) -> dict[str, Any]:
    """Knobs that a search found, of all that its best.json says: they override what the config says."""
    return {field.name: best[field.name] for field in fields(Recipe) if field.name in best}
