"""search_luck.csv: the best that a search has after each number of trials, and had they come in another order."""

from collections.abc import Mapping

import pandas as pd

from detector.experiment.variants import Variant, names
from detector.stats import expected_best

COLUMNS = (
    *("arch", "seed", "branch", "selected_by", "trials", "draws", "best_so_far"),
    *("expected_best", "expected_low", "expected_high"),
    *("gain", "gain_over_half", "margin", "verdict"),
)


def search_luck(
    searches: Mapping[Variant, pd.DataFrame], margin: float, selected_by: str = "accuracy"
) -> list[dict]:
    """Rows of search_luck.csv: one for each number of trials of each search.

    `searches`: the content of trials.csv by what was searched for, a variant or all branches of a run
    (`variants.SHARED`), columns trial and score (NaN where a trial diverged); `margin`: the difference of
    accuracies from which on it matters; `selected_by`: what the score is, `train.select`. The verdict on a search
    stands in its last row; where the score is a loss, which has no such margin, there is none.
    """
    rows, judged = [], selected_by != "loss"
    for variant, trials in searches.items():
        scores = trials.sort_values("trial")["score"]
        count, best_so_far = len(scores), scores.cummax().ffill()
        for draws in range(1, count + 1):
            expected, low, high = expected_best.best_of(scores, draws)
            rows.append(
                {
                    **names(variant),
                    "selected_by": selected_by,
                    "trials": count,
                    "draws": draws,
                    "best_so_far": best_so_far.iloc[draws - 1],
                    "expected_best": expected,
                    "expected_low": low,
                    "expected_high": high,
                    "gain": expected_best.gain(scores, draws, draws - 1),
                    "gain_over_half": expected_best.gain(scores, draws, expected_best.half(draws)),
                    "margin": margin if judged else None,
                    "verdict": expected_best.verdict(scores, margin) if judged and draws == count else "",
                }
            )
    return rows
