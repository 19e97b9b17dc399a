"""One training run: epochs, early stopping on validation accuracy, best weights kept, resume after a kill."""

import logging
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits
from tqdm import tqdm

from detector import masks as pruning
from detector.batches import Batches
from detector.checkpoints import ResumeState
from detector.devices import Plan
from detector.errors import DetectorError, Diverged
from detector.models import prunable

log = logging.getLogger(__name__)

EVALUATION_BATCH = 256
BASELINE, SEARCH, FINETUNE = 0, 1, 2  # streams


@dataclass(frozen=True)
class Recipe:
    """How to train. `patience` None trains every epoch; `momentum` is SGD's and ignored by Adam.

    `stream` sets the order and flips of a stage apart from those of the others with the same seed.
    """

    optimizer: str
    learning_rate: float
    batch_size: int
    epochs: int
    patience: int | None
    flip: float
    seed: int
    momentum: float = 0.0
    stream: int = 0


@dataclass(frozen=True)
class Epoch:
    """One row of history.csv. Losses are means over images; seconds cover training and validation."""

    epoch: int  # from 1
    train_loss: float
    train_accuracy: float
    valid_loss: float
    valid_accuracy: float
    learning_rate: float
    seconds: float
    images_per_second: float  # training images over the time spent training


HISTORY_COLUMNS = [field.name for field in fields(Epoch)]


@dataclass
class Fit:
    """What a run leaves: the weights of the epoch with the best validation accuracy (the first of equals)."""

    weights: dict[str, torch.Tensor]
    history: list[Epoch]

    @property
    def best(self) -> Epoch:
        return max(self.history, key=lambda row: row.valid_accuracy)


def make_optimizer(name: str, parameters: Sequence[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    """Adam or SGD with PyTorch's defaults otherwise, fused into one kernel a step."""
    if name == "Adam":
        return torch.optim.Adam(parameters, lr=recipe.learning_rate, fused=True)
    if name == "SGD":
        return torch.optim.SGD(parameters, lr=recipe.learning_rate, momentum=recipe.momentum, fused=True)
    raise DetectorError(f"unknown optimizer {name!r}; expected Adam or SGD")


def fit(
    model: nn.Module,
    train: Batches,
    valid: Batches,
    recipe: Recipe,
    plan: Plan,
    *,
    masks: Sequence[torch.Tensor] | None = None,
    state: ResumeState | None = None,
    title: str = "",
    after_epoch: Callable[[Epoch], None] | None = None,
) -> Fit:
    """Train `model` in place and return its best weights and history.

    `masks`: boolean, as `masks.make` gives them; the weights they drop are zero from the first step to the
    last (checked at the end). `state`: where each finished epoch is saved and, if something is there already,
    what to go on from; the caller clears it. `after_epoch` is called with each new row.

    Raises `Diverged`, a `DetectorError`, where the loss is no longer a number.
    """
    model = plan.place(model)
    weights = prunable(model)
    if masks is not None:
        kept = pruning.like(weights, masks)
        pruning.apply(weights, kept)
    optimizer = make_optimizer(recipe.optimizer, list(model.parameters()), recipe)
    history: list[Epoch] = []
    best: dict[str, torch.Tensor] = {}
    if state is not None and (saved := state.load()):
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        best, history = saved["best"], [Epoch(**row) for row in saved["history"]]
        log.info("%s: going on after epoch %d", title, len(history))

    while not _finished(history, recipe):
        number = len(history) + 1
        started = time.perf_counter()
        loss, accuracy = _train_epoch(
            model, train, recipe, plan, optimizer, kept if masks is not None else None, number, title
        )
        trained = time.perf_counter() - started
        valid_loss, valid_accuracy = _evaluate(model, valid, plan)
        if not (math.isfinite(loss) and math.isfinite(valid_loss)):
            raise Diverged(
                f"{title}: the loss is {loss} (validation {valid_loss}) in epoch {number}; "
                f"lower the learning rate ({recipe.learning_rate:g}) or set runtime.precision: fp32"
            )
        seconds = time.perf_counter() - started
        row = Epoch(
            number,
            loss,
            accuracy,
            valid_loss,
            valid_accuracy,
            recipe.learning_rate,
            seconds,
            len(train) / trained,
        )
        history.append(row)
        if max(history, key=lambda r: r.valid_accuracy) is row:
            best = {name: t.detach().cpu().clone() for name, t in model.state_dict().items()}
        log.info(
            "%s: epoch %d/%d  loss %.4f  accuracy %.4f  validation %.4f  %.0f images/s",
            *(title, number, recipe.epochs, loss, accuracy, valid_accuracy, row.images_per_second),
        )
        if state is not None:
            state.save(
                number,
                {
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "best": best,
                    "history": [asdict(r) for r in history],
                },
            )
        if after_epoch is not None:
            after_epoch(row)

    model.load_state_dict(best)
    if masks is not None and (wrong := pruning.violations(weights, masks)):
        raise RuntimeError(f"{title}: {wrong} pruned weights are not zero after training; this is a bug")
    return Fit(best, history)


def _finished(history: Sequence[Epoch], recipe: Recipe) -> bool:
    if len(history) >= recipe.epochs:
        return True
    if not history or recipe.patience is None:
        return False
    best = max(history, key=lambda row: row.valid_accuracy)
    return len(history) - best.epoch >= recipe.patience


def _train_epoch(
    model: nn.Module,
    train: Batches,
    recipe: Recipe,
    plan: Plan,
    optimizer: torch.optim.Optimizer,
    masks: Sequence[torch.Tensor] | None,
    number: int,
    title: str,
) -> tuple[float, float]:
    """Mean loss and accuracy over the epoch, as the model was at each step."""
    model.train()
    weights = prunable(model)
    # Sums stay on the device and are read once, at the end: reading a value makes a GPU wait for the CPU.
    loss_sum = torch.zeros((), device=plan.torch_device)
    correct = torch.zeros((), device=plan.torch_device)
    bar = tqdm(
        total=len(train),
        unit="image",
        desc=f"{title} epoch {number}",
        leave=False,
        disable=not sys.stderr.isatty(),
    )
    with bar:
        for images, labels in train.train(recipe.batch_size, recipe.seed, number, recipe.flip, recipe.stream):
            optimizer.zero_grad(set_to_none=True)
            with plan.autocast():
                logits = model(images).squeeze(1)
            loss = binary_cross_entropy_with_logits(logits.float(), labels)
            loss.backward()
            optimizer.step()
            if masks is not None:
                pruning.apply(weights, masks)
            loss_sum += loss.detach() * len(labels)
            correct += ((logits.detach() >= 0) == (labels > 0.5)).sum()
            bar.update(len(labels))
    return loss_sum.item() / len(train), correct.item() / len(train)


@torch.inference_mode()
def _evaluate(model: nn.Module, valid: Batches, plan: Plan) -> tuple[float, float]:
    """Mean loss and accuracy over the validation images."""
    model.eval()
    loss_sum = torch.zeros((), device=plan.torch_device)
    correct = torch.zeros((), device=plan.torch_device)
    for images, labels in valid.evaluate(EVALUATION_BATCH):
        with plan.autocast():
            logits = model(images).squeeze(1).float()
        loss_sum += binary_cross_entropy_with_logits(logits, labels, reduction="sum")
        correct += ((logits >= 0) == (labels > 0.5)).sum()
    return loss_sum.item() / len(valid), correct.item() / len(valid)
