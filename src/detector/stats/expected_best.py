"""Best of k of a search's trials: its expectation and interval over all ways to draw k of those that were run.

The expected validation performance of Dodge et al. (2019), as the estimator without bias of Tang et al. (2020): k
of the n trials are drawn without replacement, where Dodge et al. draw with it. Exact sums, no simulation.
"""

import math
from collections.abc import Sequence
from itertools import accumulate

import numpy as np

RISING, FLAT, TOO_FEW = "still rising", "flat so far", "too few to tell"
ENOUGH_TO_TELL = 10  # trials; with fewer, half of them are less than five
ROUNDING = 1e-12  # (1 - 0.95) / 2 is a little more than 1 / 40


def best_of(scores: Sequence[float], draws: int, level: float = 0.95) -> tuple[float, float, float]:
    """Expectation of the best of `draws` of these scores drawn without replacement, and its central interval.

    The best is the i-th smallest of n scores with chance C(i-1, draws-1) / C(n, draws). The bounds are quantiles
    of this distribution, so scores themselves; of all n there is one draw alone, and the three are equal. A score
    that is NaN (the trial diverged) is below all others. NaN where `draws` of the trials may all be such. Raises
    `ValueError` where `draws` is not between 1 and n.
    """
    n = len(scores)
    if not 1 <= draws <= n:
        raise ValueError(f"best of {draws} draws of {n} scores: expected 1 to {n}")
    ordered = np.sort(np.nan_to_num(np.asarray(scores, dtype=np.float64), nan=-np.inf))
    if ordered[draws - 1] == -np.inf:
        return math.nan, math.nan, math.nan
    possible, total = ordered[draws - 1 :], math.comb(n, draws)
    ways = [math.comb(i, draws - 1) for i in range(draws - 1, n)]  # whole numbers: chances that add up to 1
    low, high = (
        next(score for score, count in zip(possible, accumulate(ways), strict=True) if count / total >= share)
        for share in ((1 - level) / 2 - ROUNDING, (1 + level) / 2 - ROUNDING)
    )
    expected = math.fsum(count / total * score for count, score in zip(ways, possible, strict=True))
    # The sum rounds; an expectation lies between the values that there are.
    return float(np.clip(expected, possible[0], possible[-1])), float(low), float(high)


def gain(scores: Sequence[float], draws: int, over: int) -> float:
    """Expected best of `draws` less that of `over`. NaN where `over` is 0 or no fewer, or either is unknown."""
    if not 0 < over < draws:
        return math.nan
    return best_of(scores, draws)[0] - best_of(scores, over)[0]


def half(trials: int) -> int:
    """Half of so many trials, rounded up."""
    return (trials + 1) // 2


def verdict(scores: Sequence[float], margin: float) -> str:
    """Whether half of the trials would have reached what all did, within `margin`.

    `RISING`: the expected best of all lies `margin` or more above that of half of them. `FLAT`: it does not, and
    there are at least `ENOUGH_TO_TELL` trials. Else `TOO_FEW`, also where half of them may all have diverged. It
    tells what the second half gave, and is no promise: if trials are drawn independently, the next one beats all
    n with a chance of 1 / (n + 1), whatever the curve looks like.
    """
    trials = len(scores)
    gained = gain(scores, trials, half(trials))
    if gained >= margin:
        return RISING
    return FLAT if gained < margin and trials >= ENOUGH_TO_TELL else TOO_FEW
