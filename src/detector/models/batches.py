"""Batches of packed images: gathered by row, flipped and normalised on the device."""

import copy
import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
import torch

from detector.core.errors import DetectorError
from detector.core.labels import REAL
from detector.imaging import augmentation, perturbations, windows
from detector.imaging import looks as looks_module
from detector.imaging.looks import Looks
from detector.imaging.normalisation import IMAGENET, Normalisation
from detector.models import devices

DIRECT, PREFETCHED, RESIDENT = "direct", "prefetched", "resident"  # how pixels reach the device
BY_KIND = "generators"
DRAWN = ("sampling", BY_KIND)  # values of a recipe's `balance` that choose the images of an epoch
AHEAD = 2  # batches that are gathered while the device works
UPLOAD = 256  # images copied at a time when all are taken to the device


def affine(normalisation: Normalisation) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale and shift, float32 (1, 3, 1, 1) each, that bring pixels from 0 to 255 to (x/255 - mean) / std."""
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (normalisation.mean, normalisation.std))
    return 1 / (255 * std), -mean / std


def epoch_order(
    count: int,
    seed: int,
    epoch: int,
    stream: int = 0,
    balance: np.ndarray | None = None,
    kinds: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Order of an epoch's images, and for each a number in [0, 1) that decides its flip.

    Both depend on (seed, epoch, stream) alone, so a resumed training sees what an uninterrupted one would have
    seen. Stages have streams of their own: fine-tuning that replayed the baseline's flips would see exactly the
    images that the network remembers. Returns an int64 permutation (count,) and float32 (count,) by position in
    that order.

    `balance`: labels (count,), each class of which fills an equal part of the epoch (the first one, where that is
    no whole number, one image more): an image of a small class comes several times, as often as any other of it
    but for one; of a large class some are left out, drawn anew in each epoch. `kinds`, int (count,), with it: each
    kind among the images of a class fills an equal part of what the class does, in the same way.
    """
    rng = np.random.default_rng([seed, epoch, stream])
    if balance is None:
        return rng.permutation(count), rng.random(count, dtype=np.float32)
    classes = [np.flatnonzero(balance == label) for label in np.unique(balance)]
    parts = []
    for number, own in enumerate(classes):
        wanted = (count + len(classes) - 1 - number) // len(classes)
        within = [own] if kinds is None else [own[kinds[own] == kind] for kind in np.unique(kinds[own])]
        for place, some in enumerate(within):
            share = (wanted + len(within) - 1 - place) // len(within)
            rounds = [rng.permutation(some) for _ in range(math.ceil(share / len(some)))]
            parts.append(np.concatenate([some[:0], *rounds])[:share])
    return rng.permutation(np.concatenate(parts)), rng.random(count, dtype=np.float32)


class Batches:
    """Images of several packed stores as one sequence.

    `stores`: uint8 arrays (n, packed, packed, 3); `store` and `row`: for each image which array and which row of
    it, int (count,); `label`: 1 = real, 0 = fake, (count,). `seeds`: what the degradations and windows of each
    image depend on beside seed, stage and epoch, int (count,) of at least 0; None is its number. `size`: side of
    what the network sees, None for all of an image: where it is smaller, training sees a window drawn for each
    epoch (`cropped`), and everything else the middle, or several windows (`looking`). `normalisation`: what its
    network expects. `kinds`: what `balance: generators` makes even within a class, int (count,), None for one
    kind.

    `feed`: how the bytes reach the device; it changes no number. DIRECT reads each batch when it is asked for,
    PREFETCHED has a thread gather the next ones into pinned memory, RESIDENT keeps all images on the device as
    bytes from the first use on. None chooses: DIRECT on a CPU, where gathering takes a few thousandths of a step
    and a thread would take the core that computes; on a GPU RESIDENT where the images take at most half of the
    free memory, otherwise PREFETCHED.
    """

    def __init__(
        self,
        stores: Sequence[np.ndarray],
        store: np.ndarray,
        row: np.ndarray,
        label: np.ndarray,
        device: torch.device,
        feed: str | None = None,
        seeds: np.ndarray | None = None,
        size: int | None = None,
        normalisation: Normalisation = IMAGENET,
        kinds: np.ndarray | None = None,
    ):
        self._stores = [np.asarray(array) for array in stores]  # views of a map cost more than those of an array
        self._store, self._row = np.asarray(store), np.asarray(row)
        self._label = torch.from_numpy(np.array(label, dtype=np.float32))
        self.kinds = np.zeros(len(self._row), np.int64) if kinds is None else np.asarray(kinds)
        self._device, self._feed = device, feed
        self._seeds = np.arange(len(self._row)) if seeds is None else np.asarray(seeds)
        self._resident: torch.Tensor | None = None
        self._crop: Mapping[str, Any] | None = None
        self._windows: list[looks_module.Window] | None = None
        size = size or self._stores[0].shape[1]
        self._seen = [windows.middle(array, size) for array in self._stores]
        layout = torch.channels_last if devices.channels_last(device.type, size) else torch.contiguous_format
        self._layout = layout
        self.normalisation = normalisation
        # One multiplication and one addition; a line long, so that both run over memory in one piece in either
        # layout
        line = torch.empty((1, 3, 1, size), device=device).to(memory_format=layout)
        self._scale, self._shift = (line.clone().copy_(part) for part in affine(normalisation))

    @classmethod
    def of(
        cls,
        images: pd.DataFrame,
        stores: Mapping[str, np.ndarray],
        device: torch.device,
        size: int | None = None,
        normalisation: Normalisation = IMAGENET,
    ) -> "Batches":
        """Batches of the rows of a manifest, in its order; `stores`: the packed store of each source by name.

        Raises `DetectorError` where `images` is empty.
        """
        if images.empty:
            raise DetectorError(
                "found no images, expected at least one; dataset_composition.csv shows which split is empty"
            )
        names = list(stores)
        number = images["source"].map({name: i for i, name in enumerate(names)})
        named = zip(images["source"], images["path"], strict=True)
        seeds = np.array([perturbations.seed_of(source, path) for source, path in named])
        arrays, rows, labels = [stores[n] for n in names], images["row"], images["label"]
        maker = images["source"].where(images["label"] == REAL, images["generator"])
        kinds = pd.factorize(maker, sort=True)[0]
        return cls(arrays, number, rows, labels, device, None, seeds, size, normalisation, kinds)

    def cropped(self, crop: Mapping[str, Any] | None) -> "Batches":
        """The same images for training by a recipe's `crop` (`imaging.windows`): `per_image` windows in an epoch.

        They are samples like images: the length, labels, order and steps are of count × `per_image`.
        """
        if crop is None:
            return self
        other = copy.copy(self)
        other._crop = crop
        return other

    def looking(self, looks: Looks | None) -> "Batches":
        """The same images for a trained network, which sees so many windows of each, one after another.

        The length and what `evaluate` and `gather` give are of images × `looks`. None: the same images. Raises
        `DetectorError` where a window is larger than what is packed.
        """
        if looks is None:
            return self
        other = copy.copy(self)
        other._windows = looks.windows(self._stores[0].shape[1])
        return other

    @property
    def looks(self) -> int:
        """Samples of each image outside of training, one after another."""
        return 1 if self._windows is None else len(self._windows)

    def __len__(self) -> int:
        return len(self._row) * self._per_image * self.looks

    @property
    def size(self) -> int:
        """Side in pixels of what the network sees."""
        return self._seen[0].shape[1]

    @property
    def windows(self) -> bool:
        """Whether training sees windows of packed images, another one in each epoch."""
        return self.size < self._stores[0].shape[1]

    @property
    def labels(self) -> torch.Tensor:
        """Labels of all images, float32 (count,), on the CPU; of all windows or looks where there are several."""
        return self._label.repeat(self._per_image).repeat_interleave(self.looks)

    @property
    def _per_image(self) -> int:
        return 1 if self._crop is None else int(self._crop.get("per_image", 1))

    def gather(self, indices: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Pixels of these samples that a network sees outside of training: uint8 (n, size, size, 3).

        In this order, written into `out` if given. A sample is an image, or with `looking` one look at it.
        """
        if self._windows is None:
            return self._gathered(self._seen, indices, out)
        if out is None:
            out = np.empty((len(indices), self.size, self.size, 3), dtype=np.uint8)
        for place, sample in zip(out, indices.tolist(), strict=True):
            image, look = divmod(sample, len(self._windows))
            pixels = self._stores[self._store[image]][self._row[image]]
            place[:] = looks_module.look(pixels, self._windows[look], self.size)
        return out

    def packed(self, indices: np.ndarray) -> np.ndarray:
        """All packed pixels of these images, in this order: uint8 (n, packed, packed, 3)."""
        return self._gathered(self._stores, indices)

    def _gathered(
        self, arrays: Sequence[np.ndarray], indices: np.ndarray, out: np.ndarray | None = None
    ) -> np.ndarray:
        if out is None:
            out = np.empty((len(indices), *arrays[0].shape[1:]), dtype=np.uint8)
        which, rows = self._store[indices].tolist(), self._row[indices].tolist()
        for place, (store, row) in enumerate(zip(which, rows, strict=True)):
            out[place] = arrays[store][row]
        return out

    def images(self, indices: np.ndarray, flip: np.ndarray | None = None) -> torch.Tensor:
        """Normalised images on the device, float32 (n, 3, size, size).

        In the memory layout that `devices.channels_last` chooses. `indices`: int (n,); `flip`: bool (n,), which to
        mirror left to right, or None.
        """
        raw = torch.from_numpy(self.gather(indices)).to(self._device)
        return self._finish(raw, None if flip is None else torch.from_numpy(flip).to(self._device))

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
        balance: str = "none",
        augment: Mapping[str, Any] | None = None,
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Training batches of one epoch, each image (or window) once: (images, labels), both on the device.

        Images are float32 (n, 3, size, size), labels float32 (n,). `flip`: the probability that an image is
        mirrored. `first`: the number of the step to begin with. Of `ranks` processes that share each batch,
        process `rank` gets its part. `steps` says which images make which batch. `balance`: of a recipe;
        with `sampling` as many images of each class instead, some of them several times, and with `generators` of
        each kind too (`epoch_order`). `augment`: how packed images are degraded
        before a window is cut and mirrored (`imaging.augmentation`). Both have a further draw for an image that
        comes again in an epoch.
        """
        order, chance = self.order(seed, epoch, stream, balance=balance)
        own = [slice(start + rank, stop, ranks) for start, stop in self.steps(batch_size, ranks)[first:]]
        if augment is None and not self.windows:
            yield from self._epoch(order, chance < flip, own)
            return
        again = balance in DRAWN or self._per_image > 1
        times = _times_before(order) if again else np.zeros(len(order), dtype=np.int64)

        def made(part: slice) -> torch.Tensor:
            shape = (len(order[part]), self.size, self.size, 3)
            out = torch.empty(shape, dtype=torch.uint8, pin_memory=self._device.type == "cuda")
            for place, image, before in zip(out.numpy(), order[part], times[part], strict=True):
                key = (seed, int(stream), epoch, int(self._seeds[image]), int(before))
                pixels = self._stores[self._store[image]][self._row[image]]
                if augment is not None:
                    pixels = augmentation.degraded(pixels, augment, key)
                place[:] = windows.drawn(pixels, self.size, self._crop, key) if self.windows else pixels
            return out

        yield from self._epoch(order, chance < flip, own, made)

    def order(
        self, seed: int, epoch: int, stream: int = 0, *, balance: str = "none"
    ) -> tuple[np.ndarray, np.ndarray]:
        """`epoch_order` of these images: which image stands where in an epoch, and what decides its flip."""
        labels = self.labels.numpy() if balance in DRAWN else None
        kinds = np.tile(self.kinds, self._per_image) if balance == BY_KIND else None
        order, chance = epoch_order(len(self), seed, epoch, stream, labels, kinds)
        return order % len(self._row), chance

    def steps(self, batch_size: int, ranks: int = 1) -> list[tuple[int, int]]:
        """Start and end of each training step in the epoch's order.

        A last batch of a single image joins the one before it: batch normalisation cannot train on one value per
        channel, and dropping it would leave an image out of every epoch. So does one of fewer images than `ranks`.
        """
        spans = _spans(len(self), batch_size)
        if len(spans) > 1 and spans[-1][1] - spans[-1][0] < max(2, ranks):
            spans[-2:] = [(spans[-2][0], spans[-1][1])]
        return spans

    def evaluate(
        self, batch_size: int, *, rank: int = 0, ranks: int = 1
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Batches of all images in order, unflipped: (images, labels), both on the device.

        Images are float32 (n, 3, size, size), labels float32 (n,). Of `ranks` processes, each gets different
        batches. With `looking` each image comes as all its looks, one after another.
        """
        samples = np.arange(len(self._row) * self.looks)
        own = [slice(*span) for span in _spans(len(samples), batch_size)[rank::ranks]]
        made = None if self._windows is None else lambda part: self._pinned(samples[part])
        yield from self._epoch(samples // self.looks, None, own, made)

    def _epoch(
        self,
        order: np.ndarray,
        flip: np.ndarray | None,
        parts: Sequence[slice],
        made: Callable[[slice], torch.Tensor] | None = None,
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        # Order, labels and flips go to the device once an epoch: sending them with each batch would make a GPU
        # wait for the CPU.
        order_there = torch.from_numpy(order).to(self._device)
        labels = self._label.to(self._device)[order_there]
        flips = None if flip is None else torch.from_numpy(flip).to(self._device)
        raws = self._raw(order, order_there, parts) if made is None else self._made(made, parts)
        for part, raw in zip(parts, raws, strict=True):
            yield self._finish(raw, None if flips is None else flips[part]), labels[part]

    def _raw(self, order: np.ndarray, order_there: torch.Tensor, parts: Sequence[slice]) -> Iterator[torch.Tensor]:
        """The batches as bytes on the device, each a copy of its own."""
        feed = self._feed or self._choose()
        if feed == RESIDENT:
            pixels = self._on_device()
            yield from (pixels[order_there[part]] for part in parts)
        elif feed == PREFETCHED:
            jobs = [lambda chosen=order[part]: self._pinned(chosen) for part in parts]
            yield from (raw.to(self._device, non_blocking=True) for raw in _ahead(jobs, AHEAD))
        else:
            yield from (torch.from_numpy(self.gather(order[part])) for part in parts)

    def _made(self, made: Callable[[slice], torch.Tensor], parts: Sequence[slice]) -> Iterator[torch.Tensor]:
        """The batches that `made` makes of parts of the order, on the CPU, as bytes on the device.

        A thread for each of the job's works ahead. Pillow lets go of the interpreter while it compresses.
        """
        threads = torch.get_num_threads()
        jobs = [lambda part=part: made(part) for part in parts]
        yield from (raw.to(self._device, non_blocking=True) for raw in _ahead(jobs, threads + 1, threads))

    def _choose(self) -> str:
        """How to feed this device. No result depends on it, so it may look at the memory that is free now."""
        if self._device.type != "cuda":
            return DIRECT
        if self._resident is not None:
            return RESIDENT
        free, _ = torch.cuda.mem_get_info(self._device)
        free += torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(self._device)
        return RESIDENT if len(self._row) * self._seen[0][0].nbytes <= free / 2 else PREFETCHED

    def _on_device(self) -> torch.Tensor:
        """All images, uint8 (count, size, size, 3), on the device from the first call on."""
        if self._resident is None:
            shape = (len(self._row), *self._seen[0].shape[1:])
            self._resident = torch.empty(shape, dtype=torch.uint8, device=self._device)
            for start, stop in _spans(len(self._row), UPLOAD):
                self._resident[start:stop] = torch.from_numpy(self.gather(np.arange(start, stop)))
        return self._resident

    def _pinned(self, indices: np.ndarray) -> torch.Tensor:
        """`gather` into memory that the GPU can read while the CPU goes on (PyTorch hands it out again only when
        the copy is done); ordinary memory for another device."""
        shape = (len(indices), *self._seen[0].shape[1:])
        out = torch.empty(shape, dtype=torch.uint8, pin_memory=self._device.type == "cuda")
        self.gather(indices, out.numpy())
        return out

    def _finish(self, raw: torch.Tensor, flip: torch.Tensor | None) -> torch.Tensor:
        """Bytes (n, size, size, 3) to normalised floats; flips in `raw` itself."""
        if flip is not None:
            if raw.device.type == "cpu":
                for place in flip.nonzero().flatten().tolist():  # on a CPU several times as fast as `where`
                    raw[place] = raw[place].flip(1)
            else:
                raw = torch.where(flip.view(-1, 1, 1, 1), raw.flip(2), raw)
        size = raw.shape[1]
        x = torch.empty((len(raw), 3, size, size), device=raw.device, memory_format=self._layout)
        x.copy_(raw.permute(0, 3, 1, 2))
        return torch.addcmul(self._shift, x, self._scale, out=x)


def _ahead(jobs: Sequence[Callable[[], torch.Tensor]], depth: int, threads: int = 1) -> Iterator[torch.Tensor]:
    """The results of `jobs` in order; threads work up to `depth` jobs ahead of what was taken."""
    with ThreadPoolExecutor(max_workers=threads) as pool:
        waiting = deque(pool.submit(job) for job in jobs[:depth])
        try:
            for number in range(len(jobs)):
                if number + depth < len(jobs):
                    waiting.append(pool.submit(jobs[number + depth]))
                yield waiting.popleft().result()
        finally:  # also where the consumer stops early
            for job in waiting:
                job.cancel()


def _times_before(order: np.ndarray) -> np.ndarray:
    """How often each image has come before in this order: int64 (count,)."""
    return pd.Series(order).groupby(order).cumcount().to_numpy()


def _spans(count: int, size: int) -> list[tuple[int, int]]:
    return [(start, min(start + size, count)) for start in range(0, count, size)]
