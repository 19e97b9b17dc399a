"""Labels and logits of a run's branches, checked, for figures."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from detector.stats.predictions import check, with_combined

# label int (n,), 1 = real; logit float (n,), the more below 0 the more fake
Scored = tuple[np.ndarray, np.ndarray]


def scored(predictions: Mapping[str, Mapping[str, pd.DataFrame]], run: str) -> dict[str, dict[str, Scored]]:
    """Labels and logits by branch and set, all test images as `combined`.

    `predictions`: saved logits by branch and set; `run`: its name in errors. Raises `DetectorError` where a logit
    is no number, or two branches saw other images.
    """
    check({f"{run}, {branch}": sets for branch, sets in predictions.items()})
    return {
        branch: {
            name: (table["label"].to_numpy(), table["logit"].to_numpy())
            for name, table in with_combined(sets).items()
        }
        for branch, sets in predictions.items()
    }
