"""search_luck.csv: the best that a search has after each number of trials, and had they come in another order."""

from collections.abc import Mapping

import pandas as pd

from detector.experiment.variants import Variant, names
from detector.stats import expected_best

COLUMNS = (
    *(
        "arch",
        "seed",
        "branch",
        "trials",
        "draws",
        "best_so_far",
        "expected_best",
        "expected_low",
        "expected_high",
    ),
    *("gain", "gain_over_half", "margin", "verdict"),
)


def search_luck(searches: Mapping[Variant, pd.DataFrame], margin: float) -> list[dict]:
    """Rows of search_luck.csv: one for each number of trials of each search.

    `searches`: the content of trials.csv by what was searched for, a variant or all branches of a run
    (`variants.SHARED`), columns trial and score (NaN where a trial diverged); `margin`: the difference of
    accuracies from which on it matters. The verdict on a search stands in its last row.
    """
    rows = []
    for variant, trials in searches.items():
        scores = trials.sort_values("trial")["score"]
        count, best_so_far = len(scores), scores.cummax().ffill()
        for draws in range(1, count + 1):
            expected, low, high = expected_best.best_of(scores, draws)
            rows.append(
                {
                    **names(variant),
                    "trials": count,
                    "draws": draws,
                    "best_so_far": best_so_far.iloc[draws - 1],
                    "expected_best": expected,
                    "expected_low": low,
                    "expected_high": high,
                    "gain": expected_best.gain(scores, draws, draws - 1),
                    "gain_over_half": expected_best.gain(scores, draws, expected_best.half(draws)),
                    "margin": margin,
                    "verdict": expected_best.verdict(scores, margin) if draws == count else "",
                }
            )
    return rows
