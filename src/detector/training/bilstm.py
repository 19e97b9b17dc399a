"""A bidirectional LSTM on sequences of features, trained by PyTorch; `models.bilstm` computes what it says.

After ResNet-Swish-BiLSTM (Qadir et al. 2024), whose sizes and settings are not known to us: all here are ours.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, silu
from torch.nn.utils.rnn import PackedSequence, pack_sequence

from detector.models.bilstm import DIRECTIONS
from detector.training.optimizer import make_optimizer
from detector.training.recipe import Recipe

UNITS = 64  # of the linear layer with Swish
HIDDEN = 32  # of each direction
EPOCHS, PATIENCE, BATCH, RATE = 50, 5, 64, 3e-3  # at most; without a lower validation loss; sequences; AdamW's

Examples = tuple[
    Sequence[np.ndarray], np.ndarray
]  # sequences, float64 (length, k) each; labels int (n,), 1 = real


class Network(nn.Module):
    """Maps sequences of features, float64 (length, k) each, to logits (n,), whatever their lengths."""

    def __init__(self, width: int):
        super().__init__()
        self.swish = nn.Linear(width, UNITS, dtype=torch.float64)
        self.lstm = nn.LSTM(UNITS, HIDDEN, bidirectional=True, dtype=torch.float64)
        self.last = nn.Linear(2 * HIDDEN, 1, dtype=torch.float64)

    def forward(self, sequences: Sequence[torch.Tensor]) -> torch.Tensor:
        """Logits of sequences. They are packed, not padded: of none a step is made beyond its end."""
        packed = pack_sequence(list(sequences), enforce_sorted=False)
        given = PackedSequence(silu(self.swish(packed.data)), *packed[1:])
        ends = self.lstm(given)[1][0]  # (2, n, hidden)
        logits: torch.Tensor = self.last(torch.cat([ends[0], ends[1]], dim=1)).squeeze(1)
        return logits


class BiLstm:
    """An estimator, trained with one strength of regularisation; a seed draws its initial weights and order."""

    def __init__(self, weight_decay: float, seed: int):
        self.recipe = Recipe("AdamW", RATE, BATCH, EPOCHS, PATIENCE, 0, seed, weight_decay=weight_decay)

    def fit(self, train: Examples, valid: Examples) -> "BiLstm":
        """Train until the validation loss is not lower for `PATIENCE` epochs; keep the weights of the lowest.

        Each sequence counts the same. The number of threads is the caller's matter.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.recipe.seed)
            self.network = Network(train[0][0].shape[1])
            self.network.load_state_dict(self._best(train, valid))
        return self

    def _best(self, train: Examples, valid: Examples) -> dict[str, torch.Tensor]:
        optimizer, size = make_optimizer(self.network, self.recipe), self.recipe.batch_size
        kept: dict[str, torch.Tensor] = self.network.state_dict()
        lowest, since = np.inf, 0
        for epoch in range(self.recipe.epochs):
            for sequences, label in _batches(train, torch.randperm(len(train[1])).numpy(), size):
                loss = _loss(self.network, sequences, label) / size
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            now, since = self._validated(valid), since + 1
            if epoch == 0 or now < lowest:
                lowest, since = now, 0
                kept = {name: weight.clone() for name, weight in self.network.state_dict().items()}
            if since >= PATIENCE:
                break
        return kept

    @torch.no_grad()
    def _validated(self, valid: Examples) -> float:
        parts = _batches(valid, np.arange(len(valid[1])), 32 * self.recipe.batch_size)
        return sum(float(_loss(self.network, *part)) for part in parts) / len(valid[1])

    def arrays(self) -> dict[str, np.ndarray]:
        """What it has learned, as `models.bilstm` says."""
        own = {name: weight.detach().numpy() for name, weight in self.network.named_parameters()}
        found = {
            f"{layer}.{name}": array
            for layer in ("swish", "last")
            for name, array in (("weight", own[f"{layer}.weight"].T), ("bias", own[f"{layer}.bias"]))
        }
        for direction, suffix in zip(DIRECTIONS, ("", "_reverse"), strict=True):
            given, state = (f"lstm.{{}}_{one}h_l0{suffix}" for one in "ih")
            found[f"{direction}.input"] = own[given.format("weight")].T
            found[f"{direction}.state"] = own[state.format("weight")].T
            found[f"{direction}.bias"] = own[given.format("bias")] + own[state.format("bias")]
        return {name: np.ascontiguousarray(array) for name, array in found.items()}


def _batches(
    examples: Examples, order: np.ndarray, size: int
) -> Iterator[tuple[list[torch.Tensor], torch.Tensor]]:
    sequences, label = examples
    for start in range(0, len(order), size):
        chosen = order[start : start + size]
        tensors = [torch.from_numpy(sequences[one]) for one in chosen.tolist()]
        yield tensors, torch.from_numpy(label[chosen].astype(np.float64))


def _loss(network: Network, sequences: Sequence[torch.Tensor], label: torch.Tensor) -> torch.Tensor:
    return binary_cross_entropy_with_logits(network(sequences), label, reduction="sum")
