"""Classifiers on features as arrays of numbers: a file of them is all that predictions need, no scikit-learn.

`mean` and `scale`, float64 (k,), standardise features first. Then come either layers, each `layers.{i}.weight`
(inputs, outputs) and `layers.{i}.bias`, with ReLU between them, the last of one output; or a kernel machine:
`vectors` (m, k), their `weights` (m,), `bias` (1,) and `gamma` (1,) of exp(-gamma · distance²); or what
`models.bilstm` computes of sequences.
"""

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
import threadpoolctl

from detector.models import bilstm

CHUNK = 1024  # rows whose distances to all vectors are held at a time

Arrays = Mapping[str, np.ndarray]

# To find the libraries whose threads are set takes thousands of times as long as the logits of an image.
_libraries = cache(threadpoolctl.ThreadpoolController)


def logits(arrays: Arrays, features: np.ndarray, sequences: Sequence[np.ndarray] | None = None) -> np.ndarray:
    """Logits float64 (n,) of features (n, k), above 0 = real. On one thread: more would give other last digits.

    `sequences`: rows of each, in order, all rows together; without them each row is one. A classifier of sequences
    says the same of each row of one; to others they are nothing.
    """
    with _libraries().limit(limits=1):
        if "swish.weight" in arrays:
            rows = [np.array([row]) for row in range(len(features))] if sequences is None else sequences
            return _of_sequences(arrays, features, rows)
        parts = [
            _decision(arrays, standardised(arrays, features[start : start + CHUNK]))
            for start in range(0, len(features), CHUNK)
        ]
    return np.concatenate(parts) if parts else np.empty(0)


def standardised(arrays: Arrays, features: np.ndarray) -> np.ndarray:
    """Features (…, k) of mean 0 and deviation 1, as in training: float64."""
    values: np.ndarray = (np.asarray(features, dtype=np.float64) - arrays["mean"]) / arrays["scale"]
    return values


def size(arrays: Arrays) -> int:
    """How many numbers a classifier is made of, those that standardise included."""
    return sum(array.size for array in arrays.values())


def _of_sequences(arrays: Arrays, features: np.ndarray, sequences: Sequence[np.ndarray]) -> np.ndarray:
    """As `logits`. Sequences of one length are computed together, so that none is made longer than it is."""
    found = np.empty(len(features))
    for length in sorted({len(rows) for rows in sequences}):
        alike = np.stack([rows for rows in sequences if len(rows) == length])
        together = max(1, CHUNK // length)
        for start in range(0, len(alike), together):
            rows = alike[start : start + together]
            found[rows] = bilstm.decision(arrays, standardised(arrays, features[rows]))[:, None]
    return found


def _decision(arrays: Arrays, values: np.ndarray) -> np.ndarray:
    found: np.ndarray
    if "vectors" in arrays:
        vectors = arrays["vectors"]
        squares = (values**2).sum(axis=1)[:, None] + (vectors**2).sum(axis=1) - 2 * values @ vectors.T
        found = np.exp(-arrays["gamma"] * np.maximum(squares, 0)) @ arrays["weights"] + arrays["bias"]
        return found
    depth = sum(name.endswith(".weight") for name in arrays)
    for layer in range(depth):
        values = values @ arrays[f"layers.{layer}.weight"] + arrays[f"layers.{layer}.bias"]
        values = np.maximum(values, 0) if layer < depth - 1 else values
    found = values[:, 0]
    return found
