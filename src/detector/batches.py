"""Packed images to batches on the device; flip and normalisation happen there."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from detector.errors import DetectorError

MEAN = (0.485, 0.456, 0.406)  # ImageNet, as in the study
STD = (0.229, 0.224, 0.225)


def epoch_order(count: int, seed: int, epoch: int, stream: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The order of an epoch's images, and a number in [0, 1) for each that decides its flip.

    Both depend on (seed, epoch, stream) alone, so a resumed training sees what an uninterrupted one would
    have. Stages have streams of their own: fine-tuning that replayed the baseline's flips would see images
    that are remembered exactly so.
    Returns an int64 permutation (count,) and float32 (count,) by position in that order.
    """
    rng = np.random.default_rng([seed, epoch, stream])
    return rng.permutation(count), rng.random(count, dtype=np.float32)


class Batches:
    """Images of several packed stores as one sequence.

    `stores`: uint8 arrays (n, size, size, 3); `store` and `row`: for each image which array and which row of
    it, int (count,); `label`: 1 = real, 0 = fake, (count,).
    """

    def __init__(
        self,
        stores: Sequence[np.ndarray],
        store: np.ndarray,
        row: np.ndarray,
        label: np.ndarray,
        device: torch.device,
    ):
        self._stores = list(stores)
        self._store, self._row = np.asarray(store), np.asarray(row)
        self._label = torch.from_numpy(np.array(label, dtype=np.float32))
        self._device = device
        # (x/255 - mean) / std as one multiplication and one addition
        std = torch.tensor(STD, device=device).view(1, 3, 1, 1)
        self._scale = 1 / (255 * std)
        self._shift = -torch.tensor(MEAN, device=device).view(1, 3, 1, 1) / std

    @classmethod
    def of(cls, images: pd.DataFrame, stores: Mapping[str, np.ndarray], device: torch.device) -> "Batches":
        """The rows of a manifest, in its order; `stores`: the packed store of each source by name.

        Raises `DetectorError` where `images` is empty: nothing can be trained on or tested with it.
        """
        if images.empty:
            raise DetectorError("no images here; look at dataset_composition.csv for the split that is empty")
        names = list(stores)
        number = images["source"].map({name: i for i, name in enumerate(names)})
        return cls([stores[n] for n in names], number, images["row"], images["label"], device)

    def __len__(self) -> int:
        return len(self._row)

    @property
    def labels(self) -> torch.Tensor:
        """float32 (count,), on the CPU."""
        return self._label

    def gather(self, indices: np.ndarray) -> np.ndarray:
        """uint8 (n, size, size, 3): these images, in this order."""
        size = self._stores[0].shape[1:]
        out = np.empty((len(indices), *size), dtype=np.uint8)
        which = self._store[indices]
        rows = self._row[indices]
        for number in np.unique(which):
            chosen = np.flatnonzero(which == number)
            out[chosen] = self._stores[number][rows[chosen]]
        return out

    def images(self, indices: np.ndarray, flip: np.ndarray | None = None) -> torch.Tensor:
        """float32 (n, 3, size, size) on the device, channels_last, normalised; `flip`: bool (n,) or None."""
        raw = torch.from_numpy(self.gather(indices)).to(self._device)
        x = raw.permute(0, 3, 1, 2).to(torch.float32)
        x = x.mul_(self._scale).add_(self._shift)
        if flip is not None and flip.any():
            chosen = torch.from_numpy(np.flatnonzero(flip)).to(self._device)
            x[chosen] = x[chosen].flip(-1)
        return x

    def train(
        self,
        batch_size: int,
        seed: int,
        epoch: int,
        flip: float,
        stream: int = 0,
        *,
        first: int = 0,
        rank: int = 0,
        ranks: int = 1,
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """One epoch, each image once: batches of images and labels, float32 (n,), both on the device.

        first: the number of the step to begin with. Of `ranks` processes that share each batch, number `rank`
        gets its part. Which images make which batch is `steps`.
        """
        order, chance = epoch_order(len(self), seed, epoch, stream)
        flips = chance < flip
        for start, stop in self.steps(batch_size, ranks)[first:]:
            chosen = order[start:stop][rank::ranks]
            yield self.images(chosen, flips[start:stop][rank::ranks]), self._label[chosen].to(self._device)

    def steps(self, batch_size: int, ranks: int = 1) -> list[tuple[int, int]]:
        """From and to which position of the epoch's order each training step goes.

        A last batch of a single image joins the one before it: batch normalisation cannot train on one value
        a channel, and dropping it would leave an image out of every epoch. So does one of fewer images than
        `ranks`.
        """
        spans = _spans(len(self), batch_size)
        if len(spans) > 1 and spans[-1][1] - spans[-1][0] < max(2, ranks):
            spans[-2:] = [(spans[-2][0], spans[-1][1])]
        return spans

    def evaluate(
        self, batch_size: int, *, rank: int = 0, ranks: int = 1
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """All images in order, without flips; of several processes each gets other batches."""
        for start, stop in _spans(len(self), batch_size)[rank::ranks]:
            chosen = np.arange(start, stop)
            yield self.images(chosen), self._label[start:stop].to(self._device)


def _spans(count: int, size: int) -> list[tuple[int, int]]:
    return [(start, min(start + size, count)) for start in range(0, count, size)]
