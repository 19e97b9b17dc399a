"""A bilstm learns what only the order of frames tells, says of a sequence what PyTorch says, whatever others there
are and however long they are, and is the same again for a seed."""

import dataclasses
import os

import numpy as np
import pytest
import threadpoolctl
import torch

from detector.models import classifiers as saved
from detector.training import bilstm, classifiers
from detector.training.classifiers import Labelled

WIDTH = 6


def ordered(videos, seed):
    """Sequences of 2 to 4 frames, of which one feature rises where they are real and falls where they are not.

    Their means are of one distribution. Rows of a sequence lie apart, in no order.
    """
    rng = np.random.default_rng(seed)
    label = np.arange(videos) % 2
    lengths = 2 + np.arange(videos) // 2 % 3
    slope = [np.linspace(-1, 1, length) * (1 if real else -1) for length, real in zip(lengths, label, strict=True)]
    place = np.split(rng.permutation(lengths.sum()), np.cumsum(lengths)[:-1])
    features = rng.normal(size=(lengths.sum(), WIDTH))
    labels = np.empty(lengths.sum(), np.int8)
    for rows, rise, real in zip(place, slope, label, strict=True):
        features[rows, 2] = rise + rng.normal() + 0.1 * rng.normal(size=len(rows))
        labels[rows] = real
    return Labelled((features * 20 + 5).astype(np.float32), labels, place)


TRAIN, VALID, OTHER = ordered(120, 1), ordered(60, 2), ordered(60, 3)


def trying(monkeypatch, *values):
    """Only these values of its setting are tried, which is quicker."""
    monkeypatch.setitem(
        classifiers.KINDS, "bilstm", dataclasses.replace(classifiers.KINDS["bilstm"], values=values)
    )


@pytest.fixture(scope="module")
def fitted():
    with pytest.MonkeyPatch.context() as patch:
        trying(patch, 10.0, 0.1)
        return classifiers.fit("bilstm", TRAIN, VALID, 4)


def means(part):
    """Each sequence as the mean of its frames."""
    return Labelled(
        np.stack([part.features[rows].mean(0) for rows in part.sequences]),
        np.array([part.label[rows[0]] for rows in part.sequences]),
    )


def test_it_learns_what_only_the_order_tells(fitted):
    linear = classifiers.fit("logistic", means(TRAIN), means(VALID), 4)
    assert means(OTHER).right(linear.arrays).mean() < 0.7
    assert OTHER.right(fitted.arrays).mean() > 0.9
    assert len(OTHER.right(fitted.arrays)) == 60, "each sequence once, not each frame"
    assert fitted.valid_accuracy == VALID.right(fitted.arrays).mean()
    assert fitted.chosen == {
        "weight_decay": max(fitted.tried, key=lambda row: row["valid_accuracy"])["weight_decay"]
    }
    still = OTHER._replace(sequences=[rows[::-1] for rows in OTHER.sequences])
    assert still.right(fitted.arrays).mean() < 0.1, "backwards they are of the other class"


def test_numpy_says_what_pytorch_s_own_lstm_says():
    """Of random weights, each sequence by itself, through modules that nothing here packs."""
    rng = np.random.default_rng(0)
    sequences = [rng.normal(size=(length, WIDTH)) for length in (1, 2, 5, 5, 9)]
    estimator = bilstm.BiLstm(0.1, 3).fit((sequences, np.arange(5) % 2), (sequences, np.arange(5) % 2))
    layers = estimator.network
    with torch.no_grad():
        expected = [
            layers.last(torch.cat([out[-1, : bilstm.HIDDEN], out[0, bilstm.HIDDEN :]])).item()
            for one in sequences
            for out in [layers.lstm(torch.nn.functional.silu(layers.swish(torch.from_numpy(one))))[0]]
        ]
    arrays = {"mean": np.zeros(WIDTH), "scale": np.ones(WIDTH), **estimator.arrays()}
    rows = np.split(np.arange(22), np.cumsum([1, 2, 5, 5])), np.concatenate(sequences)
    found = saved.logits(arrays, rows[1], rows[0])
    assert found == pytest.approx(np.repeat(expected, [1, 2, 5, 5, 9]), abs=1e-9)
    assert np.ptp(expected) > 1e-3
    assert {name: array.shape for name, array in arrays.items()} == {
        **{"mean": (WIDTH,), "scale": (WIDTH,), "swish.weight": (WIDTH, 64), "swish.bias": (64,)},
        **{f"{way}.input": (64, 128) for way in ("forward", "backward")},
        **{f"{way}.state": (32, 128) for way in ("forward", "backward")},
        **{f"{way}.bias": (128,) for way in ("forward", "backward")},
        **{"last.weight": (64, 1), "last.bias": (1,)},
    }


def test_a_sequence_s_logit_is_its_own_whatever_else_is_there(fitted, monkeypatch):
    """In training too: of sequences of unequal lengths in one batch none sees a step beyond its end."""
    together = saved.logits(fitted.arrays, OTHER.features, OTHER.sequences)
    monkeypatch.setattr(saved, "CHUNK", 5)
    assert saved.logits(fitted.arrays, OTHER.features, OTHER.sequences) == pytest.approx(together, abs=1e-9)
    network = (
        bilstm.BiLstm(0.1, 4)
        .fit(([np.ones((1, WIDTH))] * 2, np.arange(2)), ([np.ones((1, WIDTH))] * 2, np.arange(2)))
        .network
    )
    given = [torch.from_numpy(OTHER.features[rows].astype(np.float64)) for rows in OTHER.sequences]
    packed = network(given)
    for number, rows in enumerate(OTHER.sequences):
        alone = saved.logits(fitted.arrays, OTHER.features[rows], [np.arange(len(rows))])
        assert (alone == alone[0]).all()
        assert together[rows] == pytest.approx(alone, abs=1e-9)
        assert network(given[number : number + 1]).item() == pytest.approx(packed[number].item(), abs=1e-9)


def test_without_sequences_each_row_is_one(fitted, monkeypatch):
    features = OTHER.features[:9]
    alone = saved.logits(fitted.arrays, features)
    assert alone == pytest.approx(saved.logits(fitted.arrays, features, [np.array([n]) for n in range(9)]))
    assert np.ptp(alone) > 0
    assert saved.logits(fitted.arrays, features[:0]).shape == (0,)
    trying(monkeypatch, 0.1)
    monkeypatch.setattr(bilstm, "EPOCHS", 10)
    images = [Labelled(part.features, (part.features[:, 0] > 5).astype(np.int8)) for part in (TRAIN, VALID)]
    assert classifiers.fit("bilstm", *images, 0).valid_accuracy > 0.9


def test_it_is_the_same_again_on_any_number_of_threads_and_of_another_seed_another(fitted, monkeypatch):
    trying(monkeypatch, 0.1)
    monkeypatch.setattr(bilstm, "EPOCHS", 2)
    before = torch.get_num_threads()
    torch.manual_seed(5)
    drawn = torch.random.get_rng_state()
    found = []
    for seed, threads in ((4, 1), (4, max(2, os.cpu_count())), (5, 1)):
        torch.set_num_threads(threads)
        with threadpoolctl.threadpool_limits(threads):
            found.append(classifiers.fit("bilstm", TRAIN, VALID, seed).arrays)
            assert torch.get_num_threads() == threads, "as it was"
    torch.set_num_threads(before)
    assert torch.equal(torch.random.get_rng_state(), drawn), "no one else's random numbers are drawn"
    first, again, other = found
    assert all(first[name].tobytes() == array.tobytes() for name, array in again.items())
    assert not np.array_equal(first["last.weight"], other["last.weight"])
