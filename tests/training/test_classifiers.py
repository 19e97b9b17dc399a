"""A classifier that is saved as arrays says what scikit-learn's own says, of the setting that was best on
validation images; the same again on any number of threads, and nothing is fitted that could not be learned."""

import os

import numpy as np
import pytest
import threadpoolctl
from scipy.special import logit
from sklearn.preprocessing import StandardScaler

from detector.core.errors import DetectorError
from detector.experiment import config
from detector.models import classifiers as saved
from detector.stats.calibration import temperature
from detector.training import classifiers

WIDTH = 12
RNG = np.random.default_rng(0)
SCALES = RNG.uniform(0.1, 50, WIDTH)


def labelled(count, seed):
    """Features of very unlike scales, one of them constant, of which the first two tell the labels, not surely."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(count, WIDTH))
    label = (values[:, 0] * values[:, 1] + values[:, 0] + rng.normal(scale=0.5, size=count) > 0).astype(np.int8)
    values = 3 + values * SCALES
    values[:, 5] = 7.0
    return classifiers.Labelled(values.astype(np.float32), label)


TRAIN, VALID, OTHER = labelled(150, 1), labelled(60, 2), labelled(50, 3)[0]


SCIKIT = [name for name, kind in classifiers.KINDS.items() if not kind.sequences]  # others: test_bilstm.py


@pytest.fixture(scope="module", params=SCIKIT)
def fitted(request):
    return request.param, classifiers.fit(request.param, TRAIN, VALID, 4)


def own(name, value, seed=4):
    """What scikit-learn's own of this setting says of images: classes, and decision values or log-odds."""
    scaler, estimator = (
        StandardScaler().fit(TRAIN[0].astype(np.float64)),
        classifiers.KINDS[name].make(value, seed),
    )
    estimator.fit(scaler.transform(TRAIN[0].astype(np.float64)), TRAIN[1])

    def said(features):
        values = scaler.transform(features.astype(np.float64))
        if name == "svm":
            return estimator.predict(values), estimator.decision_function(values)
        return estimator.predict(values), logit(estimator.predict_proba(values)[:, 1])

    return said


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_what_is_saved_says_what_scikit_learn_says(fitted, monkeypatch):
    name, found = fitted
    said = own(name, found.chosen[classifiers.KINDS[name].setting])
    called, decision = said(OTHER)
    if name == "svm":
        decision = decision / temperature(VALID[1], said(VALID[0])[1])
    logits = saved.logits(found.arrays, OTHER)
    assert logits == pytest.approx(decision, rel=1e-6, abs=1e-8)
    assert ((logits >= 0) == called).all()
    assert 0.2 < called.mean() < 0.8, "of both classes"
    monkeypatch.setattr(saved, "CHUNK", 7)
    assert saved.logits(found.arrays, OTHER) == pytest.approx(logits, rel=1e-12)
    assert saved.logits(found.arrays, OTHER[:0]).shape == (0,)
    assert saved.size(found.arrays) == sum(array.size for array in found.arrays.values()) > 3 * WIDTH


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_first_of_the_best_on_validation_is_chosen(fitted):
    name, found = fitted
    kind = classifiers.KINDS[name]
    accuracies = [(own(name, value)(VALID[0])[0] == VALID[1]).mean() for value in kind.values]
    assert [row["valid_accuracy"] for row in found.tried] == pytest.approx(accuracies)
    assert [row[kind.setting] for row in found.tried] == list(kind.values)
    assert found.chosen == {kind.setting: kind.values[int(np.argmax(accuracies))]}
    assert found.valid_accuracy == max(accuracies) > 0.6


def test_values_go_from_the_most_regularised_on():
    for kind in classifiers.KINDS.values():
        assert list(kind.values) == sorted(kind.values, reverse=kind.setting in ("alpha", "weight_decay"))


def same(one, other):
    return all((one.arrays[name] == array).all() for name, array in other.arrays.items())


def test_it_repeats_on_any_number_of_threads_and_a_seed_is_an_mlp_s_alone(fitted):
    name, found = fitted
    with threadpoolctl.threadpool_limits(os.cpu_count()):
        assert same(classifiers.fit(name, TRAIN, VALID, 4), found)
    assert same(classifiers.fit(name, TRAIN, VALID, 5), found) == (name != "mlp")


def test_the_schema_offers_these():
    part = config.schema_of()["properties"]["systems"]["additionalProperties"]["properties"]["classifier"]
    assert part["enum"] == sorted(classifiers.KINDS)


def test_one_class_or_no_number_is_refused():
    features, label, _ = TRAIN
    with pytest.raises(DetectorError, match="mine: the training images are all fake, expected both classes"):
        classifiers.fit("logistic", TRAIN._replace(label=np.zeros_like(label)), VALID, 0, "mine")
    wrong = features.copy()
    wrong[3, 2] = np.nan
    for train, valid, of in (
        (TRAIN._replace(features=wrong), VALID, "training"),
        (TRAIN, TRAIN._replace(features=wrong), "validation"),
    ):
        with pytest.raises(DetectorError, match=f"mine: a feature of the {of} images is no number"):
            classifiers.fit("logistic", train, valid, 0, "mine")
