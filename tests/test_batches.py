"""Batches hold each image once an epoch, flipped and normalised exactly as torchvision would."""

import numpy as np
import pandas as pd
import pytest
import torch
from torchvision.transforms import v2

from detector.batches import MEAN, STD, Batches, epoch_order
from detector.errors import DetectorError

CPU = torch.device("cpu")


@pytest.fixture
def stores():
    rng = np.random.default_rng(0)
    return {"a": rng.integers(0, 256, (7, 8, 8, 3), np.uint8), "b": rng.integers(0, 256, (5, 8, 8, 3), np.uint8)}


@pytest.fixture
def table():
    return pd.DataFrame(
        {
            "source": ["b", "a", "a", "b", "a", "b", "a"],
            "row": [4, 0, 6, 1, 2, 0, 3],
            "label": [0, 1, 1, 0, 1, 0, 0],
        }
    )


def test_pixels_are_torchvision_s(stores, table):
    batches = Batches.of(table, stores, CPU)
    flip = np.array([True, False, True, False, True, False, False])
    got = batches.images(np.arange(7), flip)
    transform = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])
    for i, row in enumerate(table.itertuples()):
        image = torch.from_numpy(stores[row.source][row.row]).permute(2, 0, 1)
        expected = transform(v2.functional.horizontal_flip(image) if flip[i] else image)
        torch.testing.assert_close(got[i], expected, atol=1e-5, rtol=0)
    assert got.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 6, 7, 100])
def test_an_epoch_has_each_image_once(stores, table, batch_size):
    batches = Batches.of(table, stores, CPU)
    seen = torch.cat([x for x, _ in batches.train(batch_size, seed=1, epoch=1, flip=0.0)])
    everything = torch.cat([x for x, _ in batches.evaluate(4)])
    assert sorted(seen.flatten(1).sum(1).tolist()) == sorted(everything.flatten(1).sum(1).tolist())


def test_no_batch_of_one_in_training(stores, table):
    """Batch normalisation cannot train on one value a channel."""
    sizes = [len(y) for _, y in Batches.of(table, stores, CPU).train(3, seed=0, epoch=1, flip=0.5)]
    assert sizes == [3, 4]


def test_labels_stay_with_their_images(stores, table):
    batches = Batches.of(table, stores, CPU)
    by_image = {float(x.sum()): float(y) for x, y in batches.evaluate(1)}
    for images, labels in batches.train(2, seed=3, epoch=2, flip=0.0):
        for image, label in zip(images, labels, strict=True):
            assert by_image[float(image[None].sum())] == float(label)


def test_order_depends_on_seed_epoch_and_stream_alone():
    assert np.array_equal(epoch_order(50, 1, 2)[0], epoch_order(50, 1, 2)[0])
    each = [(seed, epoch, stream) for seed in (0, 1) for epoch in (1, 2) for stream in (0, 1)]
    assert len({tuple(epoch_order(50, *which)[0]) for which in each}) == 8
    assert len({tuple(epoch_order(50, *which)[1]) for which in each}) == 8


def test_an_empty_split_is_an_error(stores, table):
    with pytest.raises(DetectorError, match="no images"):
        Batches.of(table[:0], stores, CPU)
