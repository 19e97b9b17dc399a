"""A bidirectional LSTM on sequences of features as arrays of numbers, computed by NumPy.

Arrays: `swish.weight` (k, units) and `swish.bias`, a linear layer with Swish, x · sigmoid(x); of each direction,
`forward` and `backward`, `{direction}.input` (units, 4 · hidden), `{direction}.state` (hidden, 4 · hidden) and
`{direction}.bias`, whose columns are the gates in PyTorch's order (input, forget, cell, output); `last.weight`
(2 · hidden, 1) and `last.bias`, a linear layer on what each direction has at its end.
"""

from collections.abc import Mapping

import numpy as np
from scipy.special import expit

Arrays = Mapping[str, np.ndarray]
DIRECTIONS = ("forward", "backward")


def decision(arrays: Arrays, values: np.ndarray) -> np.ndarray:
    """Logits, float64 (n,), of sequences of one length, float64 (n, length, k)."""
    given = values @ arrays["swish.weight"] + arrays["swish.bias"]
    given *= expit(given)
    ends = [_end(arrays, name, given[:, :: 1 if name == "forward" else -1]) for name in DIRECTIONS]
    logits: np.ndarray = np.concatenate(ends, axis=1) @ arrays["last.weight"] + arrays["last.bias"]
    return logits[:, 0]


def _end(arrays: Arrays, direction: str, given: np.ndarray) -> np.ndarray:
    """State of one direction after the last of the steps that it is given, (n, length, units): (n, hidden)."""
    weight, recurrent, bias = (arrays[f"{direction}.{name}"] for name in ("input", "state", "bias"))
    state = cell = np.zeros((len(given), len(recurrent)))
    for step in range(given.shape[1]):
        gates = np.split(given[:, step] @ weight + state @ recurrent + bias, 4, axis=1)
        taken, kept, shown = (expit(gates[gate]) for gate in (0, 1, 3))
        cell = kept * cell + taken * np.tanh(gates[2])
        state = shown * np.tanh(cell)
    return state
