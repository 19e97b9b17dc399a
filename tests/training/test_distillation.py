"""A student is taught by the formula: by hand it is the same, both ways of asking agree, a resumed lesson too."""

import dataclasses

import numpy as np
import pytest
import torch

from detector.imaging.normalisation import IMAGENET, Normalisation
from detector.models import devices
from detector.models.batches import Batches
from detector.models.networks import prunable
from detector.pruning import masks
from detector.training.distillation import Teacher, divergence, renormalised
from detector.training.fit import fit
from detector.training.resume import ResumeState
from tests.training.test_fit import PLAN, RECIPE, equal, make_batches, small_net, timeless


@pytest.fixture(scope="module")
def data():
    return make_batches(61, 0), make_batches(40, 1)


def teacher(weight=0.5, temperature=2.0, once=True):
    return Teacher(small_net(7).eval(), weight, temperature, once=once)


def test_the_loss_of_a_step_by_hand():
    student, theirs, weight, t = [0.3, -1.2], [2.0, 0.5], [1.5, 0.5], 2.0
    total = 0.0
    for z, y, w in zip(student, theirs, weight, strict=True):
        p, q = 1 / (1 + np.exp(-y / t)), 1 / (1 + np.exp(-z / t))
        total += w * (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))) / 2
    found = divergence(*map(torch.tensor, (student, theirs)), t, torch.tensor(weight))
    assert found.item() == pytest.approx(t * t * total, rel=1e-5)
    mixed = teacher(0.3, t).loss(torch.tensor(0.7), *map(torch.tensor, (student, theirs, weight)))
    assert mixed.item() == pytest.approx(0.7 * 0.7 + 0.3 * t * t * total, rel=1e-5)


def test_a_student_that_agrees_learns_nothing_from_its_teacher():
    theirs = torch.linspace(-20, 20, 41)
    logits = theirs.clone().requires_grad_()
    loss = divergence(logits, theirs, 3.0)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(theirs))


def test_a_teacher_of_no_weight_changes_no_byte(data):
    alone = fit(small_net(), *data, RECIPE, PLAN)
    taught = fit(small_net(), *data, RECIPE, PLAN, teacher=teacher(weight=0.0))
    other = fit(small_net(), *data, RECIPE, PLAN, teacher=teacher())
    assert equal(alone.weights, taught.weights)
    assert timeless(alone.history) == timeless(taught.history)
    assert not equal(alone.weights, other.weights)


def test_taught_by_a_teacher_alone_a_student_comes_nearer_to_it(data):
    def far(model):
        images = data[1].images(np.arange(40))
        with torch.no_grad():
            return (model.eval()(images) - teacher()._model(images)).abs().mean().item()

    alone, taught = small_net(), small_net()
    recipe = dataclasses.replace(RECIPE, epochs=12, flip=0.0)
    fit(alone, *data, recipe, PLAN)
    fit(taught, *data, recipe, PLAN, teacher=teacher(weight=1.0))
    assert far(taught) < far(alone) / 2


@pytest.mark.parametrize("knobs", [{}, {"balance": "sampling"}, {"flip": 1.0}, {"flip": 0.0}], ids=str)
def test_asked_once_or_at_each_batch_the_teacher_says_the_same(knobs):
    train, seen = make_batches(61, 0), {True: [], False: []}
    recipe = dataclasses.replace(RECIPE, **knobs)
    for once, found in seen.items():
        asked = teacher(once=once)
        asked.prepare(train, recipe, PLAN)
        for epoch in (1, 2):
            batches = train.train(8, 0, epoch, recipe.flip, recipe.stream, balance=recipe.balance)
            for (images, _), (start, stop) in zip(batches, train.steps(8), strict=True):
                found.append(asked.logits(images, epoch, slice(start, stop)))
    assert len(seen[True]) == 2 * len(train.steps(8))
    assert torch.cat(seen[True]).std() > 0.01
    torch.testing.assert_close(torch.cat(seen[True]), torch.cat(seen[False]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("size", "crop"), [(8, None), (6, None), (6, {"per_image": 2})])
def test_a_training_is_the_same_both_ways(size, crop):
    """Each step has the logits of its own images, or windows of them, in each epoch."""
    recipe = dataclasses.replace(RECIPE, balance="sampling", crop=crop)
    data = make_batches(61, 0, size), make_batches(40, 1, size)
    looked_up, asked = (
        fit(small_net(), *data, recipe, PLAN, teacher=teacher(weight=0.8, once=once)) for once in (True, False)
    )
    losses = [[row.train_loss for row in found.history] for found in (looked_up, asked)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_teacher_sees_its_own_normalisation(data):
    """Logits of a teacher that expects other pixels are those it has of batches normalised for it."""
    other = Normalisation((0.5, 0.4, 0.3), (0.5, 0.25, 0.2))
    model, rows = teacher()._model.eval(), np.arange(20)
    theirs = make_batches(61, 0)
    theirs = Batches(
        theirs._stores, theirs._store, theirs._row, theirs.labels.numpy(), PLAN.torch_device, normalisation=other
    )
    given = renormalised(model, IMAGENET, other)
    with torch.no_grad():
        expected, found = model(theirs.images(rows)), given(data[0].images(rows))
        assert (model(data[0].images(rows)) - expected).abs().max() > 0.01
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert renormalised(model, other, other) is model


def test_once_means_two_passes_over_the_images_and_no_gradient(data):
    asked = teacher()
    images = []
    # One image alone is passed to see how much a pass holds.
    asked._model.register_forward_hook(lambda _, __, out: images.append(len(out) * (len(out) > 1)))
    before = {name: value.clone() for name, value in asked._model.state_dict().items()}
    fit(small_net(), *data, RECIPE, PLAN, teacher=asked)
    assert sum(images) == 2 * len(data[0])
    assert equal(before, asked._model.state_dict()), "a teacher in training mode would learn statistics"
    assert all(weight.grad is None for weight in asked._model.parameters())


@pytest.mark.parametrize("once", [True, False])
@pytest.mark.parametrize("kept", ["masks", "gradual"])
def test_a_lesson_that_was_stopped_ends_like_one_that_was_not(data, tmp_path, once, kept):
    class Killed(Exception):
        pass

    def kill(row):
        raise Killed

    def start():
        model = small_net()
        gradual = masks.Gradual(0.5, 2)
        return model, gradual if kept == "gradual" else masks.global_l1(prunable(model), 0.5)

    model, given = start()
    whole = fit(model, *data, RECIPE, PLAN, masks=given, teacher=teacher(once=once))
    state = ResumeState(tmp_path / "state")
    model, given = start()
    with pytest.raises(Killed):
        fit(model, *data, RECIPE, PLAN, masks=given, teacher=teacher(once=once), state=state, after_epoch=kill)
    model, given = start()
    resumed = fit(model, *data, RECIPE, PLAN, masks=given, teacher=teacher(once=once), state=state)
    assert equal(whole.weights, resumed.weights)
    assert timeless(whole.history) == timeless(resumed.history)


def test_in_bf16_a_teacher_is_asked_in_bf16_and_answers_in_fp32():
    plan = dataclasses.replace(devices.plan("cpu", "fp32", 1, 8), precision="bf16")
    train, asked, kinds = make_batches(20, 0), teacher(), set()
    asked._model.register_forward_hook(lambda _, __, out: kinds.add(out.dtype) if len(out) > 1 else None)
    asked.prepare(train, RECIPE, plan)
    images, _ = next(train.train(8, 0, 1, 0.5))
    assert asked.logits(images, 1, slice(0, 8)).dtype == torch.float32
    assert kinds == {torch.bfloat16}
    assert np.isfinite(fit(small_net(), train, train, RECIPE, plan, teacher=asked).history[-1].train_loss)
