"""Pareto front: what nothing else beats in two goals at once."""

import numpy as np


def front(cost: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Pareto front: boolean (n,), the points that no other beats in both `cost` and `value`, float (n,).

    A point is beaten by one that costs no more and is worth no less, and differs in one of the two. NaN is beaten.
    """
    cost, value = np.asarray(cost, dtype=np.float64), np.asarray(value, dtype=np.float64)
    worse = (cost[:, None] >= cost) & (value[:, None] <= value)
    beaten = worse & ((cost[:, None] > cost) | (value[:, None] < value))
    best: np.ndarray = ~beaten.any(axis=1) & ~np.isnan(cost + value)
    return best
