"""Distillation: a network learns from the logits of another one, its teacher, beside the labels.

Hinton, Vinyals and Dean, Distilling the Knowledge in a Neural Network (2015, arXiv:1503.02531), section 2, for one
logit: with z_t and z_s the teacher's and the student's logit of being real (label 1), T the temperature,
p = sigmoid(z_t / T) and q = sigmoid(z_s / T), an image's loss is

    (1 - weight) * BCE(z_s, label) + weight * T² * KL(p, q),   KL = p log(p / q) + (1 - p) log((1 - p) / (1 - q)).

T² keeps the size of the second gradient, which falls with T², beside that of the first.
"""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from detector.core import progress
from detector.imaging.normalisation import Normalisation
from detector.models.batches import Batches, affine
from detector.models.devices import Plan
from detector.models.networks import Passes
from detector.training import distributed
from detector.training.recipe import Recipe


def divergence(
    logits: torch.Tensor, theirs: torch.Tensor, temperature: float, weight: torch.Tensor | None = None
) -> torch.Tensor:
    """Mean of T² * KL over images; `logits`: the student's, `theirs`: the teacher's, both float32 (n,).

    `weight`: of each image, float32 (n,), or None for 1. Zero, with a gradient of zero, where the two agree.
    """
    ours, soft = logits / temperature, theirs / temperature
    target = torch.sigmoid(soft)
    crossed, own = (binary_cross_entropy_with_logits(z, target, weight) for z in (ours, soft))
    return (crossed - own) * temperature**2


def renormalised(model: nn.Module, given: Normalisation, expected: Normalisation) -> nn.Module:
    """A network for pixels that are normalised as `given`, made of one that expects another normalisation."""
    if given.alike(expected):
        return model
    (scale, shift), (own_scale, own_shift) = affine(given), affine(expected)
    first = nn.utils.skip_init(nn.Conv2d, 3, 3, 1, groups=3).requires_grad_(False)  # draws no random numbers
    first.weight.copy_((own_scale / scale).view(3, 1, 1, 1))
    first.bias.copy_((own_shift - shift * own_scale / scale).flatten())
    return nn.Sequential(first, model)


class Teacher:
    """A network, and how much of a student's loss its logits are.

    `weight`: share of the loss; `temperature`: T of the formula above. `once`: compute the logit of each training
    image, and that of its mirror image, before the first epoch and look them up from then on: right where nothing
    but a flip sets one epoch's image apart from the stored one, and not done where training sees windows of the
    images (`imaging.windows`). Otherwise each batch is judged as the student sees it. Both ways give the same but
    for rounding, in the precision that training has.
    """

    def __init__(self, model: nn.Module, weight: float, temperature: float, *, once: bool = True):
        self.weight, self.temperature = weight, temperature
        self._model, self._once = model, once

    def prepare(self, train: Batches, recipe: Recipe, plan: Plan, title: str = "") -> None:
        """Take the place of training, and compute the logits where that is done once. Call it in all processes."""
        self._plan, self._passes = plan, Passes(plan.place(self._model).eval())
        self._order: Callable[[int], tuple[torch.Tensor, torch.Tensor]] = lambda epoch: _order(
            train, recipe, epoch, plan.torch_device
        )
        self._epoch = 0
        self._table = self._judged(train, recipe, plan, title) if self._once and not train.windows else None

    @torch.no_grad()
    def logits(self, images: torch.Tensor, epoch: int, part: slice) -> torch.Tensor:
        """Logits of a batch, float32 (n,): `images` as the student sees them, `part` of the order of `epoch`."""
        if self._table is None:
            return self._see(images)
        if epoch != self._epoch:
            self._epoch, (self._rows, self._mirrored) = epoch, self._order(epoch)
        return self._table[self._mirrored[part], self._rows[part]]

    def loss(
        self, hard: torch.Tensor, logits: torch.Tensor, theirs: torch.Tensor, weight: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Loss of a batch; `hard`: the part that the labels are, `weight`: of each image."""
        return (1 - self.weight) * hard + self.weight * divergence(logits, theirs, self.temperature, weight)

    @torch.no_grad()
    def _judged(self, train: Batches, recipe: Recipe, plan: Plan, title: str) -> torch.Tensor:
        """Logits of all images as they are and mirrored, float32 (2, count); each process computes its part."""
        team = distributed.team()
        table = torch.zeros((2, len(train)), device=plan.torch_device)
        with progress.bar(len(train), f"{title} teacher", shown=team.rank == 0) as bar:
            for start, images, labels in distributed.own_part(self._model, train, plan):
                stop = start + len(labels)
                if recipe.flip < 1:
                    table[0, start:stop] = self._see(images)
                if recipe.flip > 0:
                    table[1, start:stop] = self._see(images.flip(3))
                bar.update(len(labels) * team.size)
        team.sum(table)
        return table

    def _see(self, images: torch.Tensor) -> torch.Tensor:
        with self._plan.autocast():
            found: torch.Tensor = self._passes(images).squeeze(1).float()
        return found


def _order(train: Batches, recipe: Recipe, epoch: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Images of an epoch in order, and whether each is mirrored, int64 (count,) both."""
    order, chance = train.order(recipe.seed, epoch, recipe.stream, balance=recipe.balance)
    return torch.from_numpy(order).to(device), torch.from_numpy(chance < recipe.flip).long().to(device)
