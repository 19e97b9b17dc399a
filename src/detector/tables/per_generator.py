"""per_generator.csv: accuracy on the real images and on each generator's. No torch."""

from collections.abc import Collection

import numpy as np
import pandas as pd

from detector.core.labels import CLASSES, FAKE, REAL
from detector.experiment.variants import VALID, names
from detector.stats.groups import apart, known, share_of_groups
from detector.stats.intervals import wilson
from detector.stats.predictions import Predictions, check, right

# In the column generator: all images of a test set, and its real ones. Before a generator of such a name: FAKES.
ALL, REALS, FAKES = "all", CLASSES[REAL], f"{CLASSES[FAKE]}: "
COLUMNS = (
    *("arch", "seed", "branch", "testset", "generator", "held_out", "n"),
    *("accuracy", "accuracy_low", "accuracy_high", "groups", "grouped_low", "grouped_high"),
)


def per_generator(predictions: Predictions, hold_out: Collection[str] = ()) -> list[dict]:
    """Rows of per_generator.csv: accuracy on all images of a source, its real ones, and each generator's.

    With an interval for single images and one for groups of images. `hold_out`: generators kept from training;
    `held_out` is yes or no, and empty where images are not all fakes of one generator. A generator that is called
    like another row gets the prefix `fake: `. `groups` and its interval are empty where the source knows no
    groups.
    """
    check(predictions)
    rows = []
    for variant, sets in predictions.items():
        for name, table in sets.items():
            if name == VALID:
                continue
            real, maker = (table["label"] == REAL).to_numpy(), table["generator"]
            correct, group = right(table), table["group"]
            parts = [(ALL, "", np.ones(len(table), bool)), (REALS, "", real)]
            for made_by in sorted(set(maker[~real])):
                held = "yes" if made_by in hold_out else "no"
                parts.append((shown(made_by), held, ~real & (maker == made_by).to_numpy()))
            for kind, held, chosen in parts:
                if chosen.any():
                    row = {"generator": kind, "held_out": held, **share_right(correct[chosen], group[chosen])}
                    rows.append({**names(variant), "testset": name, **row})
    return rows


def shown(generator: str) -> str:
    """A generator's name as no other row has it, whatever somebody called a folder."""
    return f"{FAKES}{generator}" if generator in (ALL, REALS) or generator.startswith(FAKES) else generator


def share_right(correct: np.ndarray, group: pd.Series) -> dict:
    """Columns from `n` on: the share of `correct`, bool (n,), n > 0, by image and by group, "" where unknown."""
    low, high = wilson(share := float(correct.mean()), len(correct))
    row = {"n": len(correct), "accuracy": share, "accuracy_low": low, "accuracy_high": high}
    return row | share_of_groups(correct, apart(group) if known(group) else None)
