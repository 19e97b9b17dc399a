"""Each knob of a recipe does what it says: the loss and the change of a step are those computed by hand."""

import copy
import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn import metrics as reference
from torch import nn
from torch.optim import optimizer as hooks

from detector.core import signals
from detector.core.errors import DetectorError
from detector.models import networks
from detector.models.batches import Batches, epoch_order
from detector.pruning import masks
from detector.training import resume
from detector.training.fit import _best, _evaluate, _finished, fit
from detector.training.schedule import rate
from tests.training.test_fit import (
    PLAN,
    RECIPE,
    epoch,
    equal,
    fakes_and,
    make_batches,
    share_of_zeros,
    small_net,
    timeless,
)

# One step of an epoch: all images in it, none mirrored.
ONE = replace(RECIPE, batch_size=61, epochs=1, flip=0.0, learning_rate=0.01)
SGD = replace(ONE, optimizer="SGD", learning_rate=0.1)


@pytest.fixture(scope="module")
def data():
    return make_batches(61, 0), make_batches(40, 1)


def by_hand(train, weight=(1.0, 1.0), smoothing=0.0):
    """Loss of the first step, and its gradients by name."""
    model = small_net().train()
    logits = model(train.images(np.arange(len(train)))).squeeze(1)
    target = (1 - smoothing) * train.labels + smoothing / 2
    own = torch.tensor(weight)[train.labels.long()]
    loss = (
        own * -(target * nn.functional.logsigmoid(logits) + (1 - target) * nn.functional.logsigmoid(-logits))
    ).mean()
    loss.backward()
    return loss.item(), {name: w.grad for name, w in model.named_parameters()}


def trained(data, recipe, **more):
    model = small_net()
    result = fit(model, *data, recipe, PLAN, **more)
    return result, dict(model.named_parameters())


def assert_changes(found, change):
    """Each parameter has changed from the initial ones by `change(name, parameter)`."""
    for name, before in small_net().named_parameters():
        torch.testing.assert_close(found[name], before + change(name, before), rtol=1e-4, atol=2e-6, msg=name)


DECAY = {"0.weight": 0.1, "5.weight": 0.1}  # biases and the norm have none


@pytest.mark.parametrize(
    ("knobs", "change"),
    [
        # Adam's first step is the rate, in the direction of the gradient.
        ({"optimizer": "Adam"}, lambda w, g, decay: -0.01 * g / (g.abs() + 1e-8)),
        (
            {"optimizer": "Adam", "weight_decay": 0.1},
            lambda w, g, decay: -0.01 * (g + decay * w) / ((g + decay * w).abs() + 1e-8),
        ),
        ({"optimizer": "AdamW"}, lambda w, g, decay: -0.01 * g / (g.abs() + 1e-8)),
        (
            {"optimizer": "AdamW", "weight_decay": 0.1},
            lambda w, g, decay: -0.01 * (g / (g.abs() + 1e-8) + decay * w),
        ),
        ({"optimizer": "SGD", "momentum": 0.9}, lambda w, g, decay: -0.01 * g),
        ({"optimizer": "SGD", "momentum": 0.9, "nesterov": True}, lambda w, g, decay: -0.01 * 1.9 * g),
        # A search may draw what means nothing together.
        ({"optimizer": "SGD", "nesterov": True}, lambda w, g, decay: -0.01 * g),
        (
            {"optimizer": "Adam", "nesterov": True, "momentum": 0.9},
            lambda w, g, decay: -0.01 * g / (g.abs() + 1e-8),
        ),
        ({"optimizer": "SGD", "weight_decay": 0.1}, lambda w, g, decay: -0.01 * (g + decay * w)),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_a_step_of_each_optimizer(data, knobs, change):
    _, gradients = by_hand(data[0])
    gradients["0.bias"] = None  # before batch normalisation it has no gradient but rounding
    _, found = trained(data, replace(ONE, **knobs))
    for name, before in small_net().named_parameters():
        if gradients[name] is not None:
            after = before + change(before, gradients[name], DECAY.get(name, 0.0))
            torch.testing.assert_close(found[name], after, rtol=1e-3, atol=2e-6, msg=name)


def test_the_second_step_has_momentum(data):
    """Two epochs of one step each, the second with what the first left."""
    recipe = replace(SGD, momentum=0.5, epochs=2)
    _, first = by_hand(data[0])
    _, once = trained(data, SGD)
    _, twice = trained(data, recipe)
    after = small_net()
    after.load_state_dict({**after.state_dict(), **once})
    logits = after.train()(data[0].images(np.arange(61))).squeeze(1)
    nn.functional.binary_cross_entropy_with_logits(logits, data[0].labels).backward()
    for name, weight in after.named_parameters():
        expected = once[name] - 0.1 * (weight.grad + 0.5 * first[name])
        torch.testing.assert_close(twice[name], expected, rtol=1e-4, atol=2e-6, msg=name)


def test_smoothed_labels_in_the_loss_of_a_step(data):
    loss, gradients = by_hand(data[0], smoothing=0.2)
    result, found = trained(data, replace(SGD, label_smoothing=0.2))
    assert result.history[0].train_loss == pytest.approx(loss, rel=1e-5)
    assert loss != pytest.approx(by_hand(data[0])[0], rel=1e-3)
    assert_changes(found, lambda name, _: -0.1 * gradients[name])
    plain, _ = trained(data, replace(SGD, learning_rate=1e-12))
    smooth, _ = trained(data, replace(SGD, learning_rate=1e-12, label_smoothing=0.2))
    assert smooth.best.valid_loss == pytest.approx(plain.best.valid_loss, rel=1e-6), "validation labels are left"


def test_weights_of_classes_in_the_loss_of_a_step(data):
    few = fakes_and(reals=8)  # of 40
    loss, gradients = by_hand(few, weight=(40 / 64, 40 / 16))
    result, found = trained((few, data[1]), replace(SGD, batch_size=40, balance="weights"))
    assert result.history[0].train_loss == pytest.approx(loss, rel=1e-5)
    assert loss != pytest.approx(by_hand(few)[0], rel=1e-3)
    assert_changes(found, lambda name, _: -0.1 * gradients[name])


def test_gradients_are_scaled_down_to_the_norm(data):
    _, gradients = by_hand(data[0])
    norm = math.sqrt(sum(float((g**2).sum()) for g in gradients.values()))
    _, found = trained(data, replace(SGD, clip=norm / 4))
    assert_changes(found, lambda name, _: -0.1 * gradients[name] / 4)
    _, found = trained(data, replace(SGD, clip=norm * 4))
    assert_changes(found, lambda name, _: -0.1 * gradients[name])


def test_pruned_weights_have_no_part_in_the_norm(data):
    """A step of the pruned network by hand; its gradients without those of weights that are not there."""
    model = small_net()
    kept = masks.global_l1(networks.prunable(model), 0.5)
    with torch.no_grad():
        masks.apply(networks.prunable(model), masks.like(networks.prunable(model), kept))
    before = copy.deepcopy(model.state_dict())
    logits = model.train()(data[0].images(np.arange(61))).squeeze(1)
    nn.functional.binary_cross_entropy_with_logits(logits, data[0].labels).backward()
    whole = math.sqrt(sum(float((w.grad**2).sum()) for w in model.parameters()))
    for weight, mask in zip(networks.prunable(model), kept, strict=True):
        weight.grad *= mask
    norm = math.sqrt(sum(float((w.grad**2).sum()) for w in model.parameters()))
    assert norm < 0.95 * whole, "nothing to tell apart"
    _, found = trained(data, replace(SGD, clip=norm / 2), masks=kept)
    for name, weight in model.named_parameters():
        torch.testing.assert_close(
            found[name], before[name] - 0.1 * weight.grad / 2, rtol=1e-4, atol=2e-6, msg=name
        )


def rates(recipe, steps):
    return [rate(recipe, step, steps) for step in range(recipe.epochs * steps)]


def torchs(make, steps):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    schedule, found = make(optimizer), []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_the_schedules_are_torch_s():
    recipe = replace(RECIPE, learning_rate=0.1, epochs=5)
    assert rates(recipe, 7) == [0.1] * 35
    cosine = torchs(lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 35), 35)
    assert rates(replace(recipe, schedule="cosine"), 7) == pytest.approx(cosine)
    for warmup, rise in ((0, 0.3), (2, 0.4)):
        one = torchs(
            lambda optimizer, rise=rise: torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, 35, pct_start=rise),
            35,
        )
        assert rates(replace(recipe, schedule="one_cycle", warmup=warmup), 7) == pytest.approx(one)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_warm_up_is_a_straight_line_to_the_rate_and_the_schedule_comes_after_it(schedule):
    recipe = replace(RECIPE, learning_rate=0.1, epochs=5, schedule=schedule)
    found = rates(replace(recipe, warmup=2), 10)
    assert found[:20] == pytest.approx([0.1 * (step + 1) / 20 for step in range(20)])
    assert found[20:] == pytest.approx(rates(replace(recipe, epochs=3), 10))


@pytest.mark.parametrize("schedule", ["constant", "cosine", "one_cycle"])
def test_each_step_is_taken_at_its_rate(data, schedule):
    recipe = replace(RECIPE, schedule=schedule, warmup=0.5, epochs=2)
    seen = []
    hook = hooks.register_optimizer_step_pre_hook(
        lambda optimizer, *_: seen.append(optimizer.param_groups[0]["lr"])
    )
    try:
        result, _ = trained(data, recipe)
    finally:
        hook.remove()
    assert seen == rates(recipe, 8)
    assert len(set(seen)) > 3
    assert [row.learning_rate for row in result.history] == [seen[7], seen[15]]


def test_the_average_of_weights_is_what_is_validated_and_kept(data):
    recipe = replace(RECIPE, epochs=2, ema=0.6)
    model, steps = small_net(), []
    average = copy.deepcopy(model.state_dict())

    def take(*_):
        steps.append(copy.deepcopy(model.state_dict()))

    hook = hooks.register_optimizer_step_post_hook(take)
    try:
        result = fit(model, *data, recipe, PLAN)
    finally:
        hook.remove()
    assert len(steps) == 16
    after = []
    for step, weights in enumerate(steps):
        own = min(0.6, (1 + step) / (10 + step))
        for name, tensor in weights.items():
            average[name] = own * average[name] + (1 - own) * tensor if tensor.is_floating_point() else tensor
        after.append(dict(average))
    kept = after[8 * result.best.epoch - 1]
    for name, tensor in result.weights.items():
        torch.testing.assert_close(tensor, kept[name], rtol=1e-4, atol=1e-6, msg=name)
        assert tensor.dtype == kept[name].dtype
    assert not torch.equal(result.weights["5.weight"], steps[8 * result.best.epoch - 1]["5.weight"])
    network = small_net()
    network.load_state_dict(result.weights)
    logits = network.eval()(data[1].images(np.arange(40))).detach().squeeze(1)
    right = ((logits >= 0) == (data[1].labels == 1)).float().mean().item()
    assert result.best.valid_accuracy == pytest.approx(right)
    assert torch.equal(model.state_dict()["5.weight"], result.weights["5.weight"]), "and the network has them"


@pytest.mark.parametrize("kept", ["l1", "gradual"])
def test_pruned_weights_are_zero_in_the_average_too(data, kept):
    model = small_net()
    drop = masks.global_l1(networks.prunable(model), 0.5) if kept == "l1" else masks.Gradual(0.5, 2)
    result = fit(model, *data, replace(RECIPE, epochs=3, ema=0.9), PLAN, masks=drop)
    zeros = [int((result.weights[name] == 0).sum()) for name in ("0.weight", "5.weight")]
    assert sum(zeros) == round(0.5 * (8 * 27 + 8))


@pytest.mark.parametrize(("fakes", "reals"), [(30, 7), (7, 30), (31, 30), (1, 60)])
def test_a_balanced_epoch_has_as_many_images_of_each_class(fakes, reals):
    labels = np.r_[np.zeros(fakes), np.ones(reals)]
    orders = [epoch_order(len(labels), 3, epoch, 1, labels)[0] for epoch in (1, 2)]
    for order in orders:
        assert len(order) == len(labels)
        drawn = np.bincount(order, minlength=len(labels))
        parts = drawn[:fakes], drawn[fakes:]
        assert abs(int(parts[0].sum()) - int(parts[1].sum())) <= 1
        for part in parts:
            assert part.max() - part.min() <= 1, "no image is preferred"
    again = epoch_order(len(labels), 3, 1, 1, labels)[0]
    assert np.array_equal(orders[0], again)
    assert not np.array_equal(*orders)
    assert not np.array_equal(orders[0], epoch_order(len(labels), 3, 1, 2, labels)[0]), "stages have their own"


def test_a_balanced_epoch_is_what_is_trained_with(data):
    few = fakes_and(reals=4)
    seen = []
    gather = few.gather
    few.gather = lambda chosen, *out: seen.extend(chosen.tolist()) or gather(chosen, *out)
    trained((few, data[1]), replace(RECIPE, epochs=1, balance="sampling"))
    assert sum(index < 4 for index in seen) == 20
    assert len(seen) == 40


@pytest.mark.parametrize("balance", ["weights", "sampling", "generators"])
def test_one_class_alone_cannot_be_balanced(data, balance):
    with pytest.raises(DetectorError, match="balance in the recipe needs images of both classes.*all fake"):
        trained((fakes_and(reals=0), data[1]), replace(RECIPE, balance=balance))


def test_the_columns_of_validation_are_scikit_learn_s(data):
    model, valid = small_net(), make_batches(40, 1)
    valid.kinds = np.arange(40) // 10
    found = _evaluate(model, valid, replace(PLAN, evaluation_batch=7))
    logits = model.eval()(valid.images(np.arange(40))).detach().squeeze(1).numpy()
    label = valid.labels.numpy().astype(int)
    assert found["valid_loss"] == pytest.approx(reference.log_loss(label, 1 / (1 + np.exp(-logits))), rel=1e-5)
    assert found["valid_accuracy"] == pytest.approx(reference.accuracy_score(label, logits >= 0))
    assert found["valid_balanced_accuracy"] == pytest.approx(reference.balanced_accuracy_score(label, logits >= 0))
    assert found["valid_auc"] == pytest.approx(reference.roc_auc_score(label, logits))
    assert found["valid_called_real"] == pytest.approx((logits >= 0).mean())
    right = (logits >= 0) == label
    parts = {(one, kind): right[(label == one) & (valid.kinds == kind)] for one in (0, 1) for kind in range(4)}
    shares = [np.mean([part.mean() for (one, _), part in parts.items() if one == o and len(part)]) for o in (0, 1)]
    assert found["valid_generators"] == pytest.approx(np.mean(shares))
    assert len({*found.values()}) == 6, "a column that repeats another proves nothing"


def test_no_epochs_leave_a_network_as_it_is_and_say_what_it_is_worth(data):
    before = small_net().state_dict()
    result = fit(small_net(), *data, replace(RECIPE, epochs=0), PLAN)
    assert all(torch.equal(value, before[name]) for name, value in result.weights.items())
    (row,) = result.history
    found = _evaluate(small_net(), data[1], PLAN)
    assert row is result.best
    assert (row.epoch, row.valid_loss) == (0, found["valid_loss"])
    assert math.isnan(row.train_loss)


HEAD = ("5.weight", "5.bias")  # of `small_net`


@pytest.mark.parametrize(
    "more", [{}, {"weight_decay": 0.1, "ema": 0.5}, {"clip": 0.01, "body_rate": 0.5}], ids=str
)
def test_while_the_body_is_frozen_only_the_head_changes(data, more):
    """Not even statistics of norms, by which the features would be others; from the next epoch on all learn."""
    recipe = replace(RECIPE, epochs=2, freeze=2, learning_rate=0.01, **more)
    before = small_net().state_dict()
    frozen = fit(small_net(), *data, recipe, PLAN)
    changed = {name for name, value in frozen.weights.items() if not torch.equal(value, before[name])}
    assert changed == set(HEAD)
    after, seen = small_net(), []
    fit(after, *data, replace(recipe, epochs=3, freeze=1), PLAN, after_epoch=lambda row: seen.append(row.epoch))
    assert seen == [1, 2, 3]
    assert all(
        not torch.equal(value, before[name]) for name, value in after.state_dict().items() if "num" not in name
    )
    assert all(weight.requires_grad for weight in after.parameters())


def test_the_first_step_of_a_frozen_training_is_that_of_the_head_alone(data):
    model = small_net().eval()
    logits = model(data[0].images(np.arange(61))).squeeze(1)
    nn.functional.binary_cross_entropy_with_logits(logits, data[0].labels).backward()
    _, found = trained(data, replace(SGD, freeze=1))
    gradients = {name: weight.grad for name, weight in model.named_parameters()}
    assert_changes(found, lambda name, _: -0.1 * gradients[name] * (name in HEAD))


@pytest.mark.parametrize("optimizer", ["Adam", "AdamW", "SGD"])
def test_the_body_learns_at_its_share_of_the_rate(data, optimizer):
    recipe = replace(ONE, optimizer=optimizer, weight_decay=0.1)
    (_, full), (_, slow) = (trained(data, replace(recipe, body_rate=share)) for share in (1.0, 0.25))
    for name, before in small_net().named_parameters():
        share = 1.0 if name in HEAD else 0.25
        torch.testing.assert_close(
            slow[name] - before, share * (full[name] - before), rtol=1e-3, atol=1e-6, msg=name
        )


def test_frozen_epochs_are_no_reason_to_stop(data):
    rows = [epoch(i + 1, valid_accuracy=0.9 - i / 10) for i in range(6)]
    recipe = replace(RECIPE, epochs=9, patience=2)
    assert [_finished(rows[:count], recipe) for count in (2, 3, 4)] == [False, True, True]
    recipe = replace(recipe, freeze=3)
    assert [_finished(rows[:count], recipe) for count in (3, 4, 5)] == [False, False, True]
    assert _best(rows, recipe).epoch == 1, "what is kept may be of any epoch"


SELECTED = [
    ("accuracy", "valid_accuracy", max),
    ("balanced_accuracy", "valid_balanced_accuracy", max),
    ("generators", "valid_generators", max),
    ("auc", "valid_auc", max),
    ("loss", "valid_loss", min),
]


@pytest.mark.parametrize(("select", "column", "best"), SELECTED)
def test_what_is_selected_by_decides_the_epoch_that_is_kept(data, select, column, best):
    result, found = trained(data, replace(RECIPE, epochs=12, select=select, learning_rate=0.02))
    values = [getattr(row, column) for row in result.history]
    assert result.best.epoch == 1 + values.index(best(values)), "the first of the best"
    assert len(result.history) == 12
    model = small_net()
    model.load_state_dict(result.weights)
    assert _evaluate(model, data[1], PLAN)[column] == getattr(result.best, column)


@pytest.mark.parametrize(("select", "column", "best"), SELECTED)
def test_what_is_selected_by_decides_when_training_stops(select, column, best):
    """Four epochs: the column is best in the first, everything else in the last."""
    rising, falling = [0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1]
    values = {name: rising if pick is max else falling for _, name, pick in SELECTED}
    values[column] = falling if best is max else rising
    history = [epoch(i + 1, **{name: of[i] for name, of in values.items()}) for i in range(4)]
    for one, *_ in SELECTED:
        recipe = replace(RECIPE, epochs=99, patience=3, select=one)
        assert _finished(history, recipe) == (one == select)
        assert _best(history, recipe).epoch == (1 if one == select else 4)


@pytest.mark.parametrize("select", ["balanced_accuracy", "generators", "auc"])
def test_one_class_alone_has_no_balanced_accuracy_and_no_auc(data, select):
    with pytest.raises(DetectorError, match="select in the recipe needs images of both classes.*all fake"):
        trained((data[0], fakes_and(reals=0)), replace(RECIPE, select=select))


def unequal(fakes, reals, seed):
    """Images of two classes as unequal as those of some sources, told apart by little beside their noise."""
    rng = np.random.default_rng(seed)
    label = rng.permutation(np.r_[np.zeros(fakes, int), np.ones(reals, int)])
    pixels = rng.integers(0, 200, (len(label), 8, 8, 3))
    pixels[..., 0] += (label * 12)[:, None, None]
    count = len(label)
    return Batches([pixels.astype(np.uint8)], np.zeros(count, int), np.arange(count), label, torch.device("cpu"))


def test_classes_as_unequal_as_those_of_celebdf_are_learned_with_balance():
    """249 fakes and 55 reals: the study's recipe calls all images fake; with either balance both are called."""
    pair = unequal(249, 55, 0), unequal(249, 55, 1)
    share = 249 / (249 + 55)
    recipe = replace(RECIPE, batch_size=16, epochs=6, learning_rate=1e-3)
    plain, _ = trained(pair, recipe)
    assert plain.best.valid_accuracy == pytest.approx(share, abs=0.01)
    assert plain.best.valid_balanced_accuracy < 0.55
    for balance in ("weights", "sampling"):
        result, _ = trained(pair, replace(recipe, balance=balance, select="balanced_accuracy"))
        assert result.best.valid_balanced_accuracy > 0.65, balance
        assert 0.1 < result.best.valid_called_real < 0.6, balance


# Noise draws from its own seed; scaling has a number of its own for each image.
NOISY = {"share": 0.7, "rounds": 2, "steps": [{"noise": [2, 9], "chance": 0.5}, {"scale": [0.5, 0.9]}]}
CROP = {"side": [0.5, 1.0], "per_image": 2}
GRID = [
    {"optimizer": optimizer, "schedule": schedule, **knobs}
    for (optimizer, schedule), knobs in zip(
        itertools.product(("Adam", "AdamW", "SGD"), ("constant", "cosine", "one_cycle")),
        (
            {"clip": 0.3, "select": "loss", "freeze": 2},
            {"ema": 0.9, "label_smoothing": 0.1, "select": "auc", "freeze": 1, "body_rate": 0.3},
            {"weight_decay": 0.1, "balance": "sampling", "select": "balanced_accuracy", "crop": CROP},
            {"ema": 0.5, "warmup": 1.5},
            {"clip": 0.3, "balance": "weights", "weight_decay": 0.1},
            {"label_smoothing": 0.1, "ema": 0.9, "clip": 0.3, "augment": NOISY, "crop": CROP},
            {"momentum": 0.9, "nesterov": True, "ema": 0.9, "balance": "sampling"},
            {
                "momentum": 0.9,
                "weight_decay": 0.1,
                "warmup": 0.5,
                "balance": "weights",
                "freeze": 2,
                "body_rate": 0.3,
            },
            {"momentum": 0.9, "nesterov": True, "clip": 0.3, "ema": 0.9, "balance": "sampling", "augment": NOISY},
        ),
        strict=True,
    )
]


@pytest.mark.parametrize("kept", [None, "l1", "gradual"])
@pytest.mark.parametrize(
    "knobs", GRID, ids=lambda knobs: "-".join(str(v) for v in knobs.values() if v not in (NOISY, CROP))
)
def test_killed_in_mid_epoch_and_resumed_is_undisturbed_whatever_the_recipe(
    data, knobs, kept, tmp_path, monkeypatch
):
    """Stopped in the second epoch and again in the third: the same weights and history, byte for byte."""
    recipe = replace(RECIPE, epochs=3, **knobs)
    if "crop" in knobs:
        data = make_batches(61, 0, size=6), make_batches(40, 1, size=6)

    def run(seed, state=None):
        model = small_net(seed)
        dropped = {
            None: None,
            "l1": masks.global_l1(networks.prunable(small_net()), 0.5),
            "gradual": masks.Gradual(0.5, 2),
        }
        return fit(model, *data, recipe, PLAN, masks=dropped[kept], state=state)

    def stopped_after(steps, seed):
        taken = []
        hook = hooks.register_optimizer_step_post_hook(lambda *_: taken.append(1))
        try:
            with monkeypatch.context() as patch:
                patch.setattr(signals, "requested", lambda: len(taken) >= steps)
                patch.setattr(signals, "check", lambda: stop() if len(taken) >= steps else None)
                with pytest.raises(KeyboardInterrupt):
                    run(seed, state)
        finally:
            hook.remove()
        assert len(taken) == steps

    def stop():
        raise KeyboardInterrupt

    whole = run(0)
    state = resume.ResumeState(tmp_path)
    stopped_after(11, seed=0)
    stopped_after(8, seed=1)  # of the steps that are left
    resumed = run(7, state)
    assert equal(whole.weights, resumed.weights)
    assert timeless(whole.history) == timeless(resumed.history)
    assert whole.best.epoch == resumed.best.epoch
    if kept is not None:
        assert share_of_zeros(resumed.weights) == pytest.approx(0.5, abs=0.01)
