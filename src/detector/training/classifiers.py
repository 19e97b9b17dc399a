"""Classifiers on features, fitted by scikit-learn or PyTorch and chosen on validation images, as arrays.

Features are standardised, and of a small grid of strengths of regularisation the best is kept.
`models.classifiers` says what the arrays are.
"""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import threadpoolctl
import torch
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
from detector.training.bilstm import BiLstm, Examples

log = logging.getLogger(__name__)

HIDDEN = (64,)  # units of the layers of an mlp
ITERATIONS = 2000  # of the logistic regression's solver, at most


class Labelled(NamedTuple):
    """Features of images with what they are."""

    features: np.ndarray  # float (n, k)
    label: np.ndarray  # int (n,), 1 = real
    sequences: Sequence[np.ndarray] | None = None  # rows of each, in order; None: each row is one

    @property
    def each(self) -> Sequence[np.ndarray]:
        """Rows of each sequence, int."""
        return [np.array([row]) for row in range(len(self.label))] if self.sequences is None else self.sequences

    def standardised(self, arrays: classifiers.Arrays) -> "Labelled":
        """The same with features of mean 0 and deviation 1."""
        return self._replace(features=classifiers.standardised(arrays, self.features))

    def right(self, arrays: classifiers.Arrays) -> np.ndarray:
        """Whether each sequence is called correctly by a classifier, bool; without sequences each image."""
        found = decisions.right(self.label, classifiers.logits(arrays, self.features, self.sequences))
        return found if self.sequences is None else found[[rows[0] for rows in self.sequences]]


@dataclass(frozen=True)
class Kind:
    """A kind of classifier: the setting that is chosen, its values, most regularised first, how it is fitted."""

    setting: str
    values: tuple[float, ...]
    make: Callable[[float, int], Any]  # an estimator, by the setting's value and the seed
    arrays: Callable[[Any], dict[str, np.ndarray]]
    sequences: bool = False  # whether it is fitted on sequences, and stops by those of the validation images


@dataclass(frozen=True)
class Fitted:
    """A fitted classifier: its arrays, and the validation accuracy of each value that was tried."""

    arrays: dict[str, np.ndarray]
    chosen: dict[str, float]
    tried: list[dict[str, float]]
    valid_accuracy: float


def fit(name: str, train: Labelled, valid: Labelled, seed: int, title: str = "") -> Fitted:
    """Fit the classifier `name`, a key of `KINDS`, once for each value of its setting; keep the best.

    The best has the highest validation accuracy; of equals the first, which is regularised the most. A kind of
    sequences learns from each once and is judged by each once; for others there must be none. `seed`: of the
    initial weights and order of an mlp or bilstm. On one thread, so that the result hangs on no number of them.
    The logit is the log-odds of all but the SVM, which has none: its decision value is divided by the temperature
    that fits the validation labels best (Platt's scaling without its shift, which would move images across the
    SVM's own cut). Raises `DetectorError` where the training images have one class, or a feature is no number.
    """
    kind = KINDS[name]
    if len(found := np.unique(train.label)) < 2:
        raise DetectorError(
            f"{title}: the training images are all {CLASSES[int(found[0])]}, expected both classes; add images"
        )
    for part, of in ((train, "training"), (valid, "validation")):
        if not np.isfinite(part.features).all():
            raise DetectorError(
                f"{title}: a feature of the {of} images is no number: the network overflows, or a file is damaged"
            )
    best: dict[str, np.ndarray] | None = None
    tried: list[dict[str, float]] = []
    with _one_thread():
        scaler = StandardScaler().fit(np.asarray(train.features, dtype=np.float64))
        standard = {"mean": scaler.mean_, "scale": scaler.scale_}
        values = train.standardised(standard)
        for value in kind.values:
            estimator = kind.make(value, seed)
            if kind.sequences:
                estimator.fit(_examples(values), _examples(valid.standardised(standard)))
            else:
                _solve(estimator, values, f"{title}: {kind.setting} {value:g}")
            arrays = {**standard, **kind.arrays(estimator)}
            accuracy = float(valid.right(arrays).mean())
            log.info("%s: %s %g: validation %.4f", title, kind.setting, value, accuracy)
            if best is None or accuracy > max(row["valid_accuracy"] for row in tried):
                best = arrays
            tried.append({kind.setting: value, "valid_accuracy": accuracy})
        if best is None:
            raise RuntimeError(f"{title}: nothing was tried; this is a bug")
        if "vectors" in best:
            scale = temperature(valid.label, classifiers.logits(best, valid.features))
            best |= {key: best[key] / scale for key in ("weights", "bias")}
    chosen = max(tried, key=lambda row: row["valid_accuracy"])
    return Fitted(best, {kind.setting: chosen[kind.setting]}, tried, chosen["valid_accuracy"])


@contextmanager
def _one_thread() -> Iterator[None]:
    """Context in which the libraries of NumPy, scikit-learn and PyTorch compute on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpoolctl.threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)


def _solve(estimator: Any, train: Labelled, title: str) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", ConvergenceWarning)
        estimator.fit(train.features, train.label)
    if any(issubclass(warning.category, ConvergenceWarning) for warning in said):
        log.info("%s: stopped at its last iteration, before it had converged", title)


def _examples(part: Labelled) -> Examples:
    return [part.features[rows] for rows in part.each], part.label[[rows[0] for rows in part.each]]


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
    "bilstm": Kind("weight_decay", (10.0, 1.0, 0.1, 0.01), BiLstm, BiLstm.arrays, sequences=True),
}
