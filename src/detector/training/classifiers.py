"""Classifiers on features, fitted by scikit-learn and chosen on validation images, as arrays.

Features are standardised, and of a small grid of strengths of regularisation the best is kept.
`models.classifiers` says what the arrays are.
"""

import logging
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import threadpoolctl
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from detector.core.errors import DetectorError
from detector.core.labels import CLASSES
from detector.models import classifiers
from detector.stats import decisions
from detector.stats.calibration import temperature

log = logging.getLogger(__name__)

HIDDEN = (64,)  # units of the layers of an mlp
ITERATIONS = 2000  # of the logistic regression's solver, at most

Labelled = tuple[np.ndarray, np.ndarray]  # features float (n, k); labels int (n,), 1 = real


@dataclass(frozen=True)
class Kind:
    """A kind of classifier: the setting that is chosen, its values, most regularised first, how it is fitted."""

    setting: str
    values: tuple[float, ...]
    make: Callable[[float, int], Any]  # an estimator of scikit-learn, by the setting's value and the seed
    arrays: Callable[[Any], dict[str, np.ndarray]]


@dataclass(frozen=True)
class Fitted:
    """A fitted classifier: its arrays, and the validation accuracy of each value that was tried."""

    arrays: dict[str, np.ndarray]
    chosen: dict[str, float]
    tried: list[dict[str, float]]
    valid_accuracy: float


def fit(name: str, train: Labelled, valid: Labelled, seed: int, title: str = "") -> Fitted:
    """Fit the classifier `name`, a key of `KINDS`, once for each value of its setting; keep the best.

    The best has the highest validation accuracy; of equals the first, which is regularised the most. `seed`: of an
    mlp's initial weights and order. On one thread, so that the result hangs on no number of them. The logit is the
    log-odds of logistic regression and mlp. An SVM has none: its decision value is divided by the temperature that
    fits the validation labels best (Platt's scaling without its shift, which would move images across the SVM's
    own cut). Raises `DetectorError` where the training images have one class, or a feature is no number.
    """
    kind, (features, label) = KINDS[name], train
    if len(found := np.unique(label)) < 2:
        raise DetectorError(
            f"{title}: the training images are all {CLASSES[int(found[0])]}, expected both classes; add images"
        )
    for part, of in ((features, "training"), (valid[0], "validation")):
        if not np.isfinite(part).all():
            raise DetectorError(
                f"{title}: a feature of the {of} images is no number: the network overflows, or a file is damaged"
            )
    best: dict[str, np.ndarray] | None = None
    tried: list[dict[str, float]] = []
    with threadpoolctl.threadpool_limits(1):
        scaler = StandardScaler().fit(np.asarray(features, dtype=np.float64))
        standard = {"mean": scaler.mean_, "scale": scaler.scale_}
        values = classifiers.standardised(standard, features)
        for value in kind.values:
            arrays = {**standard, **kind.arrays(_fitted(kind, value, values, label, seed, title))}
            accuracy = float(decisions.right(valid[1], classifiers.logits(arrays, valid[0])).mean())
            log.info("%s: %s %g: validation %.4f", title, kind.setting, value, accuracy)
            if best is None or accuracy > max(row["valid_accuracy"] for row in tried):
                best = arrays
            tried.append({kind.setting: value, "valid_accuracy": accuracy})
        if best is None:
            raise RuntimeError(f"{title}: nothing was tried; this is a bug")
        if "vectors" in best:
            scale = temperature(valid[1], classifiers.logits(best, valid[0]))
            best |= {key: best[key] / scale for key in ("weights", "bias")}
    chosen = max(tried, key=lambda row: row["valid_accuracy"])
    return Fitted(best, {kind.setting: chosen[kind.setting]}, tried, chosen["valid_accuracy"])


def _fitted(kind: Kind, value: float, values: np.ndarray, label: np.ndarray, seed: int, title: str) -> object:
    estimator = kind.make(value, seed)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", ConvergenceWarning)
        estimator.fit(values, label)
    if any(issubclass(warning.category, ConvergenceWarning) for warning in said):
        log.info("%s: %s %g: stopped at its last iteration, before it had converged", title, kind.setting, value)
    return estimator


def _layers(weights: list[np.ndarray], biases: list[np.ndarray]) -> dict[str, np.ndarray]:
    pairs = enumerate(zip(weights, biases, strict=True))
    return {
        f"layers.{number}.{name}": array
        for number, pair in pairs
        for name, array in zip(("weight", "bias"), pair, strict=True)
    }


def _machine(estimator: Any) -> dict[str, np.ndarray]:
    return {
        "vectors": estimator.support_vectors_,
        "weights": estimator.dual_coef_[0],
        "bias": estimator.intercept_,
        "gamma": np.array([1 / estimator.n_features_in_]),
    }


KINDS: Mapping[str, Kind] = {
    "logistic": Kind(
        "C",
        (1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0),
        lambda value, _: LogisticRegression(C=value, max_iter=ITERATIONS),
        lambda found: _layers([found.coef_.T], [found.intercept_]),
    ),
    "mlp": Kind(
        "alpha",
        (100.0, 10.0, 1.0, 0.1, 0.01),
        lambda value, seed: MLPClassifier(HIDDEN, alpha=value, random_state=seed),
        lambda found: _layers(found.coefs_, found.intercepts_),
    ),
    # A radial kernel of scikit-learn's own width, 1 / k for standardised features.
    "svm": Kind("C", (0.1, 1.0, 10.0, 100.0), lambda value, _: SVC(C=value, gamma="auto"), _machine),
}
