"""Batches hold each image once an epoch, flipped and normalised exactly as torchvision would, by every feed."""

import numpy as np
import pandas as pd
import pytest
import torch
from torchvision.transforms import v2

from detector.core.errors import DetectorError
from detector.imaging import perturbations
from detector.imaging.looks import Looks
from detector.imaging.normalisation import IMAGENET, Normalisation
from detector.models import devices
from detector.models.batches import DIRECT, PREFETCHED, RESIDENT, Batches, epoch_order

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
            "path": list("abcdefg"),
            "row": [4, 0, 6, 1, 2, 0, 3],
            "label": [0, 1, 1, 0, 1, 0, 0],
            "generator": ["x", "", "", "y", "", "x", "x"],
        }
    )


OTHER = Normalisation((0.5, 0.4, 0.3), (0.5, 0.25, 0.2), "bicubic")


@pytest.mark.parametrize("normalisation", [IMAGENET, OTHER], ids=["ImageNet's", "other"])
def test_pixels_are_torchvision_s(stores, table, normalisation):
    batches = Batches.of(table, stores, CPU, normalisation=normalisation)
    flip = np.array([True, False, True, False, True, False, False])
    got = batches.images(np.arange(7), flip)
    transform = v2.Compose(
        [v2.ToDtype(torch.float32, scale=True), v2.Normalize(normalisation.mean, normalisation.std)]
    )
    for i, row in enumerate(table.itertuples()):
        image = torch.from_numpy(stores[row.source][row.row]).permute(2, 0, 1)
        expected = transform(v2.functional.horizontal_flip(image) if flip[i] else image)
        torch.testing.assert_close(got[i], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [8, devices.LARGE])
def test_layout_is_the_plan_s_and_changes_no_value(size, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), np.uint8)
    flip = np.array([True, False, True])

    def images():
        return Batches([pixels], np.zeros(3, int), np.arange(3), np.zeros(3), CPU).images(np.arange(3), flip)

    planned = images()
    wanted = devices.plan("cpu", "auto", 1, size).channels_last
    assert planned.is_contiguous(memory_format=torch.channels_last if wanted else torch.contiguous_format)
    monkeypatch.setattr(devices, "channels_last", lambda *_: not wanted)
    assert torch.equal(planned, images())


@pytest.mark.parametrize("feed", [PREFETCHED, RESIDENT])
def test_every_feed_gives_the_same_bytes(stores, table, feed):
    """On a GPU the feed depends on free memory, which must not show in results."""
    number = table["source"].map({"a": 0, "b": 1})
    arguments = (list(stores.values()), number, table["row"], table["label"], CPU)
    plain, other = Batches(*arguments, feed=DIRECT), Batches(*arguments, feed=feed)
    for epoch in (1, 2):
        pairs = zip(plain.train(2, 0, epoch, 0.5), other.train(2, 0, epoch, 0.5), strict=True)
        for (x, labels), (same, same_labels) in [*pairs, *zip(plain.evaluate(3), other.evaluate(3), strict=True)]:
            assert torch.equal(x, same)
            assert torch.equal(labels, same_labels)


DEGRADED = {"share": 0.7, "rounds": 2, "steps": [{"noise": [5, 20], "chance": 0.5}, {"scale": [0.5, 0.8]}]}


def pixels_of(epoch):
    """Bytes of each image of an epoch as the network gets it."""
    return [x.numpy().tobytes() for images, _ in epoch for x in images]


def test_degraded_images_hang_on_seed_stage_epoch_and_image_alone(stores, table):
    """Neither on batches, threads, a resumed step, processes that share a batch, nor on the other images."""
    batches = Batches.of(table, stores, CPU)

    def seen(count=7, seed=5, epoch=2, stream=1, of=batches, **more):
        return pixels_of(of.train(count, seed, epoch, 0.0, stream, **{"augment": DEGRADED, **more}))

    whole = seen()
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert seen(2) == whole
    finally:
        torch.set_num_threads(threads)
    assert seen(2, first=2) == whole[4:]
    shared = [seen(rank=rank, ranks=2) for rank in (0, 1)]
    assert [shared[place % 2][place // 2] for place in range(7)] == whole
    plain = set(seen(augment=None))
    assert 0 < len(set(whole) - plain) < 7, "some are degraded, some are not"
    for other in ({"seed": 6}, {"epoch": 3}, {"stream": 0}):
        assert not (set(seen(**other)) & set(whole)) - plain, other
    few = Batches.of(table[table["path"].isin(list("acg"))].reset_index(drop=True), stores, CPU)
    assert set(seen(of=few)) < set(whole), "beside others, at another place"


def test_an_image_that_comes_again_in_an_epoch_is_degraded_anew(stores, table):
    always = {"share": 1.0, "rounds": 1, "steps": [{"noise": [9, 9]}]}
    batches = Batches.of(table.assign(label=[0, 1, 1, 1, 1, 1, 1]), stores, CPU)
    ((images, labels),) = batches.train(7, 0, 1, 0.0, balance="sampling", augment=always)
    fakes = pixels_of([(images[labels == 0], None)])
    assert len(fakes) == len(set(fakes)) == 4


def test_validation_images_are_never_degraded(stores, table):
    batches = Batches.of(table, stores, CPU)
    list(batches.train(7, 0, 1, 0.0, augment=DEGRADED))
    assert pixels_of(batches.evaluate(3)) == [x.numpy().tobytes() for x in batches.images(np.arange(7))]


@pytest.mark.parametrize("feed", [DIRECT, PREFETCHED, RESIDENT])
def test_what_is_no_training_sees_the_middle_of_larger_images(stores, table, feed):
    whole = np.stack([stores[row.source][row.row] for row in table.itertuples()])
    middles = Batches([whole[:, 1:6, 1:6]], np.zeros(7, int), np.arange(7), table["label"], CPU)
    larger = Batches([whole], np.zeros(7, int), np.arange(7), table["label"], CPU, feed, size=5)
    assert larger.size == 5
    assert np.array_equal(larger.gather(np.array([4, 2])), whole[[4, 2], 1:6, 1:6])
    assert np.array_equal(larger.packed(np.array([4, 2])), whole[[4, 2]])
    for some in (larger, larger.cropped({"per_image": 3})):
        assert pixels_of(some.evaluate(3)) == pixels_of(middles.evaluate(3))
        assert torch.equal(some.images(np.arange(7)), middles.images(np.arange(7)))


def test_training_sees_windows_that_depend_on_seed_stage_epoch_and_image_alone(stores, table):
    """Not on batches, threads, processes, the step to begin with, or on what stands beside an image."""
    batches = Batches.of(table, stores, CPU, 5)
    for crop in (None, {"side": [0.3, 0.9]}, {"side": None, "per_image": 2}):
        count = 7 * (crop or {}).get("per_image", 1)

        def seen(count=3, seed=5, epoch=2, stream=1, of=batches, crop=crop, **more):
            return pixels_of(of.cropped(crop).train(count, seed, epoch, 0.0, stream, **more))

        whole = seen()
        assert len(whole) == len(set(whole)) == count, "no window twice"
        assert seen(2) == whole
        assert seen(2, first=2) == whole[4:]
        shared = [seen(2, rank=rank, ranks=2) for rank in (0, 1)]
        assert [shared[place % 2][place // 2] for place in range(count)] == whole
        for other in ({"seed": 6}, {"epoch": 3}, {"stream": 0}):
            assert set(seen(**other)) != set(whole), other
        few = Batches.of(table[table["path"].isin(list("acg"))].reset_index(drop=True), stores, CPU, 5)
        assert set(seen(of=few)) < set(whole), "beside others, at another place"
        assert seen(augment=DEGRADED) != whole


def test_a_window_is_cut_from_the_degraded_image(stores, table):
    """A window of an image that was blurred whole, not a blurred window: the order of the web."""
    always = {"share": 1.0, "rounds": 1, "steps": [{"scale": [0.25, 0.25]}]}
    batches = Batches.of(table, stores, CPU, 7)
    number = table["source"].map({"a": 0, "b": 1})
    blurred = [
        np.stack([perturbations.apply(image, [{"scale": 0.25}], 0) for image in s]) for s in stores.values()
    ]
    seeds = [perturbations.seed_of(*named) for named in zip(table["source"], table["path"], strict=True)]
    after = Batches(blurred, number, table["row"], table["label"], CPU, seeds=np.array(seeds), size=7)
    assert pixels_of(batches.train(3, 0, 1, 0.5, augment=always)) == pixels_of(after.train(3, 0, 1, 0.5))


def test_several_windows_of_an_image_are_samples_like_others(stores, table):
    batches = Batches.of(table, stores, CPU, 5)
    several = batches.cropped({"per_image": 3})
    assert (len(batches), len(several)) == (7, 21)
    assert several.labels.sum() == 3 * batches.labels.sum()
    assert several.steps(4) == [(0, 4), (4, 8), (8, 12), (12, 16), (16, 21)]
    order, chance = several.order(0, 1)
    assert sorted(order) == sorted([*range(7)] * 3)
    assert len(chance) == 21
    labels = torch.cat([labels for _, labels in several.train(4, 0, 1, 0.5)])
    assert torch.equal(labels, batches.labels[order])
    balanced = torch.cat([labels for _, labels in several.train(4, 0, 1, 0.5, balance="sampling")])
    assert sorted([int(balanced.sum()), 21 - int(balanced.sum())]) == [10, 11]


@pytest.mark.parametrize("feed", [DIRECT, PREFETCHED, RESIDENT])
@pytest.mark.parametrize("batch", [1, 4, 100])
def test_looks_at_an_image_come_one_after_another(stores, table, feed, batch):
    some = Looks(4, (5, 8))
    whole = [stores[row.source][row.row] for row in table.itertuples()]
    number = table["source"].map({"a": 0, "b": 1})
    plain = Batches(list(stores.values()), number, table["row"], table["label"], CPU, feed, size=5)
    batches = plain.looking(some)
    assert (len(plain), plain.looks, len(batches), batches.looks) == (7, 1, 35, 5)
    expected = np.concatenate([some.cut(image, 5) for image in whole])
    assert np.array_equal(batches.gather(np.arange(35)), expected)
    assert np.array_equal(batches.gather(np.array([33, 2])), expected[[33, 2]])
    views = Batches([expected], np.zeros(35, int), np.arange(35), batches.labels, CPU)
    found = list(batches.evaluate(batch))
    assert pixels_of(found) == pixels_of(views.evaluate(batch))
    assert torch.equal(torch.cat([labels for _, labels in found]), plain.labels.repeat_interleave(5))
    assert plain.looking(None) is plain


def test_generators_of_unequal_size_are_seen_as_often_as_each_other(stores, table):
    """Classes fill equal parts of an epoch; so do the generators of fakes, and the sources of real images."""
    rows = table.assign(label=[0, 0, 0, 0, 1, 1, 1], generator=["x", "x", "x", "y", "", "", ""])
    rows = pd.concat([rows] * 4, ignore_index=True).iloc[:-3]  # 12 of x, 4 of y, 9 real ones
    rows.loc[rows["label"] == 1, "source"] = ["a"] * 8 + ["b"]
    rows["row"] = rows["row"].clip(upper=min(map(len, stores.values())) - 1)
    batches = Batches.of(rows, stores, CPU)
    order, _ = batches.order(0, 1, balance="generators")
    drawn = rows.iloc[order].groupby(["label", "generator"]).size()
    assert drawn.to_dict() == {(0, "x"): 7, (0, "y"): 6, (1, ""): 12}
    real = rows.iloc[order].query("label == 1")
    assert real["source"].value_counts().to_dict() == {"a": 6, "b": 6}
    assert not np.array_equal(order, batches.order(0, 2, balance="generators")[0]), "drawn anew in each epoch"
    assert batches.order(0, 1, balance="sampling")[0].tolist() != order.tolist()


def test_an_epoch_may_end_early_while_batches_are_prefetched(stores, table):
    number = table["source"].map({"a": 0, "b": 1})
    batches = Batches(list(stores.values()), number, table["row"], table["label"], CPU, feed=PREFETCHED)
    epoch = batches.evaluate(1)
    next(epoch)
    epoch.close()
    assert len(list(batches.evaluate(1))) == len(table)


def test_batches_leave_the_stores_as_they_are(stores, table):
    before = {name: array.copy() for name, array in stores.items()}
    list(Batches.of(table, stores, CPU).train(3, seed=0, epoch=1, flip=1.0))
    assert all(np.array_equal(stores[name], before[name]) for name in stores)


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
