"""How sure a logit is: temperature scaling, fitted on validation images."""

import numpy as np
from scipy.optimize import minimize_scalar

LOWEST, HIGHEST = 0.05, 20.0


def temperature(label: np.ndarray, logit: np.ndarray) -> float:
    """The number that logits are divided by so that probabilities fit the labels best (Guo et al. 2017).

    `label` int (n,), 1 = real; `logit` float (n,), above 0 = real. Minimises the log loss between 0.05 and 20:
    where no error is made, the best temperature would be 0. It changes no verdict.
    """
    sign = np.where(np.asarray(label) == 1, 1.0, -1.0)
    margin = sign * np.asarray(logit, dtype=np.float64)
    found = minimize_scalar(
        lambda power: np.logaddexp(0, -margin / np.exp(power)).mean(),
        bounds=(np.log(LOWEST), np.log(HIGHEST)),
        method="bounded",
    )
    return float(np.exp(found.x))
