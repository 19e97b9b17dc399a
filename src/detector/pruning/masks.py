"""Unstructured pruning: masks of the weights to drop, kept at zero while the rest trains."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch

from detector.core.errors import DetectorError

EMPTY = 0.01  # share of a layer's weights


def global_l1(weights: Sequence[torch.Tensor], sparsity: float) -> list[torch.Tensor]:
    """Masks that drop the `sparsity` share of smallest magnitudes over all `weights` together.

    The same masks as `torch.nn.utils.prune.global_unstructured` with `L1Unstructured`: round(share · n)
    weights are dropped. That function cannot take channels_last weights and keeps a copy of each weight, so
    the masks are made here, and kept up by `apply`.

    Returns boolean tensors shaped like `weights`, True = kept.
    """
    return lowest(weights, sparsity, lambda flat: flat.abs())


def lowest(
    weights: Sequence[torch.Tensor], sparsity: float, importance: Callable[[torch.Tensor], torch.Tensor]
) -> list[torch.Tensor]:
    """Masks that drop the `sparsity` share of lowest importance over all `weights` together.

    `importance` gives float (n,) for all weights one after the other, float (n,). Returns boolean tensors shaped
    like `weights`, True = kept. Raises `DetectorError` for a share below 0 or of 1 and more.
    """
    if not 0 <= sparsity < 1:
        raise DetectorError(f"sparsity: found {sparsity}, expected a share of at least 0 and below 1")
    flat = torch.cat([w.detach().cpu().contiguous().reshape(-1) for w in weights])
    keep = torch.ones(flat.numel(), dtype=torch.bool)
    # topk, not a threshold: where magnitudes tie it drops exactly as many as asked, and the same ones as torch
    keep[importance(flat).topk(round(sparsity * flat.numel()), largest=False).indices] = False
    return [part.view(w.shape) for part, w in zip(keep.split([w.numel() for w in weights]), weights, strict=True)]


@dataclass(frozen=True)
class Gradual:
    """Global L1 pruning in steps, one before each of the first `epochs` epochs, with training between them.

    The share follows the cubic rule of Zhu & Gupta (2017), fast at first and slow at the end, and reaches
    `sparsity` in epoch number `epochs`.
    """

    sparsity: float
    epochs: int

    def at(self, epoch: int) -> float:
        """Share of the weights that is zero in an epoch, counted from 1."""
        left = 1 - min(epoch, self.epochs) / self.epochs
        return self.sparsity * (1 - left**3)

    def masks(self, weights: Sequence[torch.Tensor], epoch: int) -> list[torch.Tensor]:
        """Make the masks of an epoch: boolean, shaped like `weights`, True = kept.

        Weights that are zero already are the smallest, so they stay dropped.
        """
        return global_l1(weights, self.at(epoch))


def emptied(layers: Iterable[str], masks: Sequence[torch.Tensor]) -> dict[str, tuple[int, int]]:
    """Layers of which next to nothing is left, with how many weights are, and of how many.

    `layers`: names, one for each of `masks`. Next to nothing: less than `EMPTY` of a layer's weights, and less
    than a tenth of the share that is left of all layers together.
    """
    left = {name: (int(kept.sum()), kept.numel()) for name, kept in zip(layers, masks, strict=True)}
    share = sum(count for count, _ in left.values()) / max(1, sum(of for _, of in left.values()))
    return {
        name: (count, of) for name, (count, of) in left.items() if not count or count < min(EMPTY, share / 10) * of
    }


def like(weights: Sequence[torch.Tensor], masks: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Convert masks to 0/1 tensors of each weight's dtype, device and memory layout, as `apply` needs them."""
    return [torch.empty_like(w).copy_(m) for w, m in zip(weights, masks, strict=True)]


@torch.no_grad()
def apply(weights: Sequence[torch.Tensor], masks: Sequence[torch.Tensor]) -> None:
    """Set the dropped weights to zero, in place.

    `masks` are 0/1 in the weights' own dtype, device and layout (`like`): one fused multiplication then. With
    boolean masks torch falls back to a loop that takes 70 times as long on a CPU.
    """
    torch._foreach_mul_(list(weights), list(masks))


def violations(weights: Sequence[torch.Tensor], masks: Sequence[torch.Tensor]) -> int:
    """Number of dropped weights that are not exactly zero."""
    return sum(int(((w.detach().cpu() != 0) & (m.cpu() == 0)).sum()) for w, m in zip(weights, masks, strict=True))
