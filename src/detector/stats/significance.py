"""Significance: tests of difference and of equivalence between two models on the same images, and verdicts."""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from scipy.special import bdtr, ndtr

LEVEL = 0.05  # chance of calling a difference that is none, or of calling equivalent what is not
POWER = 0.8  # of `images_needed`
ROUNDING = 1e-13  # of sums of shares


def mcnemar(gained: int, lost: int) -> float:
    """Two-sided p-value of no difference: the exact test, binomial in the discordant images (McNemar 1947).

    `gained`, `lost`: images that only the second model, or only the first, called correctly.
    """
    return min(1.0, 2 * float(bdtr(min(gained, lost), gained + lost, 0.5)))


def mcnemar_grouped(first: np.ndarray, second: np.ndarray, group: np.ndarray) -> float:
    """`mcnemar` where images of one group (a person, a video) are no independent draws.

    `first`, `second`: whether each was right on the same images, bool (n,); `group`: int (n,). Had neither model
    an edge, what a group's images have gained might as well be lost: the share of all ways to flip whole groups
    (Fisher 1935) in which as much is gained or lost as was. Exact, but never below 1e-13, the rounding. For groups
    of one image it is McNemar's test.
    """
    change = np.asarray(second, dtype=int) - np.asarray(first, dtype=int)
    sums = np.bincount(np.unique(group, return_inverse=True)[1], change).round().astype(int)
    sizes, counts = np.unique(np.abs(sums[sums != 0]), return_counts=True)
    if len(sizes) < 2:
        return mcnemar(int((sums > 0).sum()), int((sums < 0).sum()))
    whole = int(sizes @ counts)  # the most that flips can gain or lose
    # The sum of flipped groups has as its characteristic function the product of theirs, each a cosine.
    turns = np.arange(2 * whole + 1) * (2 * np.pi / (2 * whole + 1))
    product = np.ones(len(turns))
    for size, count in zip(sizes, counts, strict=True):
        product *= np.cos(size * turns) ** count
    share = np.fft.fft(product).real / len(turns)  # of a sum s at the place s, of -s as far from the end
    far = abs(int(sums.sum()))
    return float(np.clip(share[far : len(share) - far + 1].sum(), ROUNDING, 1)) if far else 1.0


def equivalence(n: float, gained: float, lost: float, margin: float) -> float:
    """P-value of two one-sided tests (Schuirmann 1987) of a difference of `margin` or more, in either direction.

    `n` images, counts as in `mcnemar`, `margin` a fraction above 0; of images that belong to groups the number of
    `intervals.independent` ones, and the same shares. Small where the difference is smaller than the margin.
    Each is the score test for paired proportions (Nam 1997, Tango 1998) with a continuity correction of one half,
    which keeps its level also where models rarely differ: there the plain one is wrong in up to 7 % of cases
    instead of 5 %, a Wald test with Bonett & Price's adjustment in up to 10 % (docs/statistics.md). NaN where
    there is no image.
    """
    if not n:
        return math.nan
    return max(_no_worse(n, gained, lost, margin), _no_worse(n, lost, gained, margin))


def _no_worse(n: float, gained: float, lost: float, margin: float) -> float:
    """p of `lost` being more frequent than `gained` by `margin` or more."""
    deviation = math.sqrt(n * _variance(gained / n, lost / n, margin))
    return float(ndtr(-(gained - lost + n * margin - 0.5) / deviation))


def _variance(gained: float, lost: float, margin: float) -> float:
    """Variance of one image's difference, were `lost` more frequent by just the margin; the shares are those
    observed.
    """
    # The most likely share of `lost` under that condition: the root of the likelihood's slope (Tango 1998).
    linear = gained + lost + margin * (2 - gained + lost)
    share = (linear + math.sqrt(max(0.0, linear**2 - 8 * lost * margin * (1 + margin)))) / 4
    return 2 * share - margin * (1 + margin)


def images_needed(n: int, gained: int, lost: int, margin: float) -> float:
    """Number of images that would show, in 4 of 5 cases, that two models without any difference are equivalent.

    Assumes that they disagree on as large a share of images as they did on `n`, counts as in `mcnemar`; the share
    is counted as in `paired_interval`. The sample size of the score test (Nam 1997), with what its continuity
    correction adds (Fleiss 1981). For one comparison: with more branches it takes more. NaN where there is no
    image.
    """
    if not n:
        return math.nan
    share = (gained + lost + 2) / (n + 2)
    normal = NormalDist().inv_cdf
    deviation = math.sqrt(_variance(share / 2, share / 2, margin))
    plain = ((normal(1 - LEVEL) * deviation + normal((1 + POWER) / 2) * math.sqrt(share)) / margin) ** 2
    return math.ceil(plain / 4 * (1 + math.sqrt(1 + 2 / (plain * margin))) ** 2)


def holm(p: Sequence[float]) -> np.ndarray:
    """P-values adjusted for several tests (Holm 1979), float (k,), in the order given.

    One wrong rejection among all tests then stays as rare as the level. NaN is no test: it stays, and counts for
    nothing.
    """
    adjusted = np.array(p, dtype=np.float64)
    tests = np.flatnonzero(~np.isnan(adjusted))
    order = tests[np.argsort(adjusted[tests])]
    adjusted[order] = np.minimum(1, np.maximum.accumulate(adjusted[order] * np.arange(len(order), 0, -1)))
    return adjusted


def verdict(difference: float, p_different: float, p_equivalent: float, enough: bool) -> str:
    """Verdict of the two adjusted p-values; its first word is better, worse, equivalent or undecided.

    A difference can be real and too small to matter: that is `equivalent`, with its direction behind a colon, and
    never hidden. Where neither test rejects, nothing is known, which is not the same as no difference. `enough`:
    whether there were as many images as equivalence takes.
    """
    direction = ("better" if difference > 0 else "worse") if p_different < LEVEL else ""
    if p_equivalent < LEVEL:
        return f"equivalent: {direction} within the margin" if direction else "equivalent"
    return direction or ("undecided" if enough else "undecided: n too small")
