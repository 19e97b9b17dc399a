"""Training loop: epochs, early stopping on validation images, best weights kept, resume after a kill."""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from detector.core import progress, signals
from detector.core.errors import DetectorError, DivergedError
from detector.core.labels import CLASSES, FAKE, REAL
from detector.models.batches import Batches
from detector.models.devices import Plan
from detector.models.networks import Passes, head, prunable, prunable_layers
from detector.pruning import masks as pruning
from detector.stats import decisions
from detector.stats.auc import auc
from detector.training import distributed
from detector.training.average import Average
from detector.training.distillation import Teacher
from detector.training.optimizer import SHARE, make_optimizer, sides
from detector.training.recipe import Recipe
from detector.training.resume import ResumeState
from detector.training.schedule import rate

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Epoch:
    """One row of history.csv. Losses are means over images; seconds cover training and validation."""

    epoch: int  # from 1; 0 alone where nothing was trained
    train_loss: float
    train_accuracy: float
    valid_loss: float
    valid_accuracy: float
    learning_rate: float  # of its last step
    seconds: float
    images_per_second: float  # training images over the time spent training
    valid_called_real: float  # share of the validation images
    valid_balanced_accuracy: float  # mean of the shares of each class that were called right; NaN without both
    valid_auc: float  # NaN without both classes
    # As valid_balanced_accuracy, each share a mean over generators, or over the sources of real images.
    valid_generators: float

    def score(self, select: str) -> float:
        """What a recipe's `select` chooses by, the higher the better."""
        value: float = getattr(self, f"valid_{select}")
        return -value if select == "loss" else value


HISTORY_COLUMNS = [field.name for field in fields(Epoch)]


@dataclass
class Fit:
    """Result of a training: the weights of the epoch with the best score (the first of ties)."""

    weights: dict[str, torch.Tensor]
    history: list[Epoch]
    best: Epoch


def fit(
    model: nn.Module,
    train: Batches,
    valid: Batches,
    recipe: Recipe,
    plan: Plan,
    *,
    masks: Sequence[torch.Tensor] | pruning.Gradual | None = None,
    teacher: Teacher | None = None,
    state: ResumeState | None = None,
    title: str = "",
    after_epoch: Callable[[Epoch], None] | None = None,
) -> Fit:
    """Train `model` in place and return its best weights and history.

    `masks`: boolean, as `masks.lowest` gives them; the weights they drop are zero from the first step to the last
    (checked at the end). `Gradual` makes new ones before each of its first epochs; epochs below its final sparsity
    are never the best, and no reason to stop early. `teacher`: whose logits the model learns from beside the
    labels; the training loss is that of both then, validation is by the labels alone. `state`: where each finished
    epoch is saved, and what a resumed training continues from. `after_epoch` is called with each row that counts;
    on a resume, first with the rows already there. A recipe of no epochs leaves the model as it is.

    Where the process is asked to end (`signals`), the finished steps are saved and `StoppedError` is raised.
    Raises `DivergedError`, a `DetectorError`, where the loss is NaN or infinite. Called in each process of a team
    (`distributed`), all return the same, and the first one saves. The log warns of a network that never calls one
    class.
    """
    if not recipe.epochs:
        return _as_it_is(model, valid, plan)
    run = _Run(model, train, valid, recipe, plan, masks, teacher, state, title)
    if after_epoch is not None:
        for row in run.history[run.first - 1 :]:
            after_epoch(row)
    with signals.deferred():
        while not _finished(run.history, recipe, run.first):
            row = run.epoch()
            if after_epoch is not None and row.epoch >= run.first:
                after_epoch(row)
            signals.check()
    run.freeze(False)
    model.load_state_dict(run.best)
    if wrong := run.violations():
        raise RuntimeError(f"{title}: {wrong} pruned weights are not zero after training; this is a bug")
    result = Fit(run.best, run.history, run.kept)
    if said := _doubt(result, valid):
        log.warning("%s: %s. %s", title, said, decisions.REMEDY)
    return result


def _as_it_is(model: nn.Module, valid: Batches, plan: Plan) -> Fit:
    begun = time.perf_counter()
    found = _evaluate(plan.place(model), valid, plan)
    nothing = dict.fromkeys(("train_loss", "train_accuracy", "images_per_second"), math.nan)
    row = Epoch(epoch=0, learning_rate=0.0, seconds=time.perf_counter() - begun, **nothing, **found)
    return Fit({name: t.detach().cpu().clone() for name, t in model.state_dict().items()}, [row], row)


def _doubt(result: Fit, valid: Batches) -> str:
    """Warning about a network that never calls one class, in the epoch that is kept or in the last one."""
    reals = int((valid.labels == REAL).sum())
    for row in (result.best, result.history[-1]):
        called, right = (round(share * len(valid)) for share in (row.valid_called_real, row.valid_accuracy))
        said = decisions.doubt(reals, len(valid) - reals, called, right, "validation images")
        if said and (row is result.best or row.valid_called_real in (0, 1)):
            return f"in epoch {row.epoch}, {'which is kept' if row is result.best else 'its last'}, {said}"
    return ""


def _best(history: Sequence[Epoch], recipe: Recipe, first: int = 1) -> Epoch | None:
    """The epoch with the best score, the first of equals, of those from number `first` on."""
    return max(history[first - 1 :], key=lambda row: row.score(recipe.select), default=None)


def _finished(history: Sequence[Epoch], recipe: Recipe, first: int = 1) -> bool:
    best = _best(history, recipe, first)
    # While the body is frozen there is no reason to stop: what comes then is another training.
    since = None if best is None else len(history) - max(best.epoch, recipe.freeze)
    early = since is not None and recipe.patience is not None and since >= recipe.patience
    return early or len(history) >= recipe.epochs


@dataclass
class _Partial:
    """The part of an epoch that is done: steps, and sums over their images (those of this process)."""

    step: int
    loss_sum: torch.Tensor
    correct: torch.Tensor
    seconds: float


class _Run:
    """A training under way: everything that changes from step to step, and how it is saved."""

    def __init__(
        self,
        model: nn.Module,
        train: Batches,
        valid: Batches,
        recipe: Recipe,
        plan: Plan,
        masks: Sequence[torch.Tensor] | pruning.Gradual | None,
        teacher: Teacher | None,
        state: ResumeState | None,
        title: str,
    ):
        train = train.cropped(recipe.crop)
        self._train, self._valid, self._recipe, self._plan, self._title = train, valid, recipe, plan, title
        self._team = distributed.team()
        self._state = state if self._team.rank == 0 else None
        self._model = plan.place(model)
        self._weights = prunable(model)
        self._emptied: set[str] = set()  # layers with next to no weight left, said once
        self._average = None if recipe.ema is None else Average(self._model, recipe.ema)
        if recipe.select in ("balanced_accuracy", "generators", "auc"):
            _require_both(valid, "select", "validation", title)
        if recipe.balance != "none":
            _require_both(train, "balance", "training", title)
        self._class_weights = _class_weights(train).to(plan.torch_device) if recipe.balance == "weights" else None
        self._per_epoch = len(train.steps(recipe.batch_size, self._team.size))
        # A ramp longer than the training ends with it: no run leaves a model that is pruned less than it says.
        self._gradual: pruning.Gradual | None = None
        self._kept: list[torch.Tensor] | None = None
        if isinstance(masks, pruning.Gradual):
            self._gradual = replace(masks, epochs=min(masks.epochs, recipe.epochs))
        elif masks is not None:
            self._keep(masks)
        self._optimizer = make_optimizer(model, recipe)
        self._partial = self._fresh()
        self.history: list[Epoch] = []
        self.best: dict[str, torch.Tensor] = {}
        if state is not None and (saved := state.load()):
            self._restore(saved)
        self._teacher = teacher
        if teacher is not None and not _finished(self.history, recipe, self.first):
            teacher.prepare(train, recipe, plan, title)
        self._frozen = False
        self._network = self._team.wrap(self._model)

    @property
    def first(self) -> int:
        """Number of the first epoch that can be the best one: all pruning is done in it."""
        return 1 if self._gradual is None else self._gradual.epochs

    @property
    def kept(self) -> Epoch:
        """The epoch whose weights are `best`."""
        row = _best(self.history, self._recipe, self.first)
        if row is None:
            raise RuntimeError(f"{self._title}: no epoch was trained; this is a bug")
        return row

    def violations(self) -> int:
        """How many weights of the model are not zero that should be."""
        if self._gradual is not None:  # which ones may have changed since the best epoch, not how many
            zeros = sum(int((w == 0).sum()) for w in self._weights)
            wanted = round(self._gradual.sparsity * sum(int(w.numel()) for w in self._weights))
            return max(0, wanted - zeros)
        return 0 if self._kept is None else pruning.violations(self._weights, self._kept)

    def freeze(self, frozen: bool) -> None:
        """Let the body learn nothing from now on, or again."""
        if frozen is self._frozen:
            return
        self._frozen = frozen
        for weight in sides(self._model)[1]:
            weight.requires_grad_(not frozen)
        self._network = self._model  # what the team had wrapped, which waits for other gradients, goes
        self._network = self._team.wrap(self._model)

    def _keep(self, masks: Sequence[torch.Tensor]) -> None:
        self._kept = pruning.like(self._weights, masks)
        pruning.apply(self._weights, self._kept)
        if self._average is not None:
            pruning.apply(prunable(self._average.module), self._kept)
        emptied = pruning.emptied(prunable_layers(self._model), masks)
        if new := [name for name in emptied if name not in self._emptied]:
            self._emptied.update(new)
            said = [f"{name} keeps {emptied[name][0]:,} of {emptied[name][1]:,} weights" for name in new]
            log.warning(
                "%s: %s (layer collapse, Tanaka et al. 2020); what is pruned stays zero, whatever is trained. "
                "Prune less, or in another way, such as lamp.",
                self._title,
                ", ".join(said[:5]) + (f", and {len(new) - 5} more layers as few" if len(new) > 5 else ""),
            )

    @property
    def _evaluated(self) -> nn.Module:
        """The network that is validated and kept."""
        return self._model if self._average is None else self._average.module

    def epoch(self) -> Epoch:
        """Train and validate one epoch, or what is left of it, and save."""
        number = len(self.history) + 1
        if self._gradual is not None and (number <= self._gradual.epochs or self._kept is None):
            self._keep(self._gradual.masks(self._weights, number))
        self.freeze(number <= self._recipe.freeze)
        begun = time.perf_counter() - self._partial.seconds
        self._steps(number, begun)
        self._team.sum(self._partial.loss_sum, self._partial.correct)
        # Sums stay on the device and are read once, here: reading a value makes a GPU wait for the CPU.
        count = len(self._train)
        loss, accuracy = self._partial.loss_sum.item() / count, self._partial.correct.item() / count
        trained = time.perf_counter() - begun
        found = _evaluate(self._evaluated, self._valid, self._plan, self._stop_if_asked)
        if not (math.isfinite(loss) and math.isfinite(found["valid_loss"])):
            raise DivergedError(
                f"{self._title}: the loss is {loss} (validation {found['valid_loss']}) in epoch {number}; "
                f"lower the learning rate ({self._recipe.learning_rate:g}) or set runtime.precision: fp32"
            )
        seconds, last = time.perf_counter() - begun, self._rate(number, self._per_epoch - 1)
        row = Epoch(
            *(number, loss, accuracy),
            learning_rate=last,
            seconds=seconds,
            images_per_second=count / trained,
            **found,
        )
        self.history.append(row)
        if _best(self.history, self._recipe, self.first) is row:
            self.best = {name: t.detach().cpu().clone() for name, t in self._evaluated.state_dict().items()}
        self._partial = self._fresh()
        self._save()
        # Logged when it is safe: an epoch in the log is never trained again.
        log.info(
            "%s: epoch %d/%d  loss %.4f  accuracy %.4f  validation %.4f  %.0f images/s",
            *(self._title, number, self._recipe.epochs, loss, accuracy, row.valid_accuracy, row.images_per_second),
        )
        return row

    def _steps(self, number: int, begun: float) -> None:
        """The training steps that this epoch still lacks; loss and accuracy count as the model was at each."""
        recipe, team, partial = self._recipe, self._team, self._partial
        self._network.train(not self._frozen)
        if self._frozen:  # norms of the body keep their statistics: features are those that the weights came with
            inner = getattr(self._network, "module", self._network)
            for name in head(self._model):
                inner.get_submodule(name).train()
        steps = self._train.steps(recipe.batch_size, team.size)
        batches = self._train.train(
            *(recipe.batch_size, recipe.seed, number, recipe.flip, recipe.stream),
            **{"first": partial.step, "rank": team.rank, "ranks": team.size},
            balance=recipe.balance,
            augment=recipe.augment,
        )
        bar = progress.bar(
            len(self._train),
            f"{self._title} epoch {number}",
            initial=sum(stop - start for start, stop in steps[: partial.step]),
            shown=team.rank == 0,
        )
        with bar:
            for images, labels in batches:
                self._optimizer.zero_grad(set_to_none=True)
                with self._plan.autocast():
                    logits = self._network(images).squeeze(1)
                start, stop = steps[partial.step]
                theirs = None
                if self._teacher is not None:
                    theirs = self._teacher.logits(images, number, slice(start + team.rank, stop, team.size))
                loss = self._loss(logits.float(), labels, theirs)
                if team.size == 1:
                    loss.backward()
                else:
                    # Gradients are averaged over the processes; so it is the mean over all images of the batch.
                    (loss * (len(labels) * team.size / (stop - start))).backward()
                self._step(number, partial.step)
                partial.loss_sum += loss.detach() * len(labels)
                partial.correct += decisions.right(labels, logits.detach()).sum()
                partial.step += 1
                partial.seconds = time.perf_counter() - begun
                bar.update(stop - start)
                self._stop_if_asked()

    def _loss(
        self, logits: torch.Tensor, labels: torch.Tensor, theirs: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Mean loss of a batch: the share `label_smoothing` of each label is spread over both classes.

        `theirs`: the teacher's logits, if there is one.
        """
        smoothing = self._recipe.label_smoothing
        weight = None if self._class_weights is None else self._class_weights[labels.long()]
        targets = labels * (1 - smoothing) + smoothing / 2 if smoothing else labels
        loss = binary_cross_entropy_with_logits(logits, targets, weight)
        if self._teacher is None or theirs is None:
            return loss
        return self._teacher.loss(loss, logits, theirs, weight)

    def _step(self, number: int, step: int) -> None:
        """Change the weights by the gradients of step `step`, from 0, of epoch `number`."""
        recipe = self._recipe
        if recipe.clip is not None:
            if self._kept is not None:  # weights that are not there count for nothing in the norm
                pairs = [(w.grad, kept) for w, kept in zip(self._weights, self._kept, strict=True)]
                there = [(grad, kept) for grad, kept in pairs if grad is not None]  # none of a frozen body
                pruning.apply([grad for grad, _ in there], [kept for _, kept in there])
            nn.utils.clip_grad_norm_(self._model.parameters(), recipe.clip)
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate(number, step) * group.get(SHARE, 1.0)
        self._optimizer.step()
        if self._kept is not None:
            pruning.apply(self._weights, self._kept)
        if self._average is not None:
            self._average.update(self._model, (number - 1) * self._per_epoch + step)

    def _rate(self, number: int, step: int) -> float:
        """Learning rate of step `step`, from 0, of epoch `number`."""
        return rate(self._recipe, (number - 1) * self._per_epoch + step, self._per_epoch)

    def _fresh(self) -> _Partial:
        loss_sum, correct = torch.zeros(2, device=self._plan.torch_device)
        return _Partial(0, loss_sum, correct, 0.0)

    def _stop_if_asked(self) -> None:
        """Between two steps: save what is done and end."""
        if signals.requested():
            if self._team.size == 1:  # several processes would not agree on the step; they lose the epoch
                self._save(self._partial)
            signals.check()

    def _save(self, partial: _Partial | None = None) -> None:
        if self._state is None:
            return
        content = {"best": self.best, "history": [asdict(row) for row in self.history]}
        if partial is None and _finished(self.history, self._recipe, self.first):
            self._state.save(len(self.history), content, keep=1)
            return
        content |= {"model": self._model.state_dict(), "optimizer": self._optimizer.state_dict()}
        if self._average is not None:
            content["average"] = self._average.module.state_dict()
        if partial is not None:
            content["partial"] = vars(partial)
        self._state.save(len(self.history), content, step=0 if partial is None else partial.step)

    def _restore(self, saved: Mapping[str, Any]) -> None:
        self.best, self.history = saved["best"], [Epoch(**row) for row in saved["history"]]
        if "model" in saved:
            self._model.load_state_dict(saved["model"])
            self._optimizer.load_state_dict(saved["optimizer"])
            if self._average is not None:
                self._average.module.load_state_dict(saved["average"])
        if "partial" in saved:
            device = self._plan.torch_device
            self._partial = _Partial(**saved["partial"])
            self._partial.loss_sum = self._partial.loss_sum.to(device)
            self._partial.correct = self._partial.correct.to(device)
        log.info("%s: going on after epoch %d, step %d", self._title, len(self.history), self._partial.step)


def _require_both(images: Batches, knob: str, part: str, title: str) -> None:
    labels = images.labels.unique().tolist()
    if len(labels) < 2:
        raise DetectorError(
            f"{title}: {knob} in the recipe needs images of both classes, and the {part} images are all "
            f"{CLASSES[int(labels[0])]}; leave it at its default, or add images"
        )


def _class_weights(train: Batches) -> torch.Tensor:
    """Weight of an image by its label, float32 (2,): both classes weigh the same, all images 1 on average."""
    counts = [int((train.labels == label).sum()) for label in (FAKE, REAL)]
    return torch.tensor([len(train) / (2 * count) for count in counts])


def _by_kind(label: np.ndarray, kind: np.ndarray, right: np.ndarray) -> float:
    """Mean over both classes of the mean over their kinds of the share of right calls; NaN without both."""
    of_class = []
    for one in (FAKE, REAL):
        shares = [right[(label == one) & (kind == k)].mean() for k in np.unique(kind[label == one])]
        of_class.append(np.mean(shares) if shares else np.nan)
    return float(np.mean(of_class))


@torch.inference_mode()
def _evaluate(
    model: nn.Module, valid: Batches, plan: Plan, stop_if_asked: Callable[[], None] = lambda: None
) -> dict[str, float]:
    """Columns of `Epoch` that the validation images give."""
    model.eval()
    team = distributed.team()
    loss_sum = torch.zeros((), device=plan.torch_device)
    # Logits; those of images of other processes are 0 until they are summed.
    found = torch.zeros(len(valid), device=plan.torch_device)
    passes = Passes(model)
    for start, images, labels in distributed.own_part(model, valid, plan):
        with plan.autocast():
            logits = passes(images).squeeze(1).float()
        loss_sum += binary_cross_entropy_with_logits(logits, labels, reduction="sum")
        found[start : start + len(labels)] = logits
        stop_if_asked()
    team.sum(loss_sum, found)
    label, logit = valid.labels.numpy(), found.cpu().numpy()
    right = decisions.right(label, logit)
    classes = [right[label == one] for one in (FAKE, REAL)]
    return {
        "valid_loss": loss_sum.item() / len(valid),
        "valid_accuracy": int(right.sum()) / len(valid),
        "valid_called_real": int(decisions.real(logit).sum()) / len(valid),
        "valid_balanced_accuracy": float(np.mean([part.mean() if len(part) else np.nan for part in classes])),
        "valid_auc": auc(label, logit),
        "valid_generators": _by_kind(label, valid.kinds, right),
    }
