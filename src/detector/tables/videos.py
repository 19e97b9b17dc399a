"""videos.csv: how well videos are judged by each frame, by one frame, and by all of their frames. No torch."""

import numpy as np
import pandas as pd

from detector.core.labels import CLASSES
from detector.data.records import FRAME, file_of
from detector.experiment.variants import VALID, names
from detector.stats import areas
from detector.stats.groups import apart, known_groups
from detector.stats.intervals import paired_interval, paired_interval_grouped, wilson_grouped
from detector.stats.predictions import Predictions, by_video, check, right
from detector.tables.per_generator import share_right

EACH, ONE, ALL = "each frame", "one frame", "all frames"
COLUMNS = (
    *("arch", "seed", "branch", "testset", "judged_by", "n", "videos"),
    *("accuracy", "accuracy_low", "accuracy_high", "groups", "grouped_low", "grouped_high", "balanced_accuracy"),
    *("auc", "auc_low", "auc_high", "auc_grouped_low", "auc_grouped_high", "gain", "gain_low", "gain_high"),
    *("gain_grouped_low", "gain_grouped_high"),
)


def videos(predictions: Predictions) -> list[dict]:
    """Rows of videos.csv: each variant on each test set, judged in three ways.

    `predictions`: a row for each frame of a video. `each frame`: a call for each; `one frame`: a call for each
    video, by the one in the middle of its frames; `all frames`: by the mean of their logits. Where frames have
    calls of their own, those of a video are one draw in every interval. `grouped_…` are the intervals that know
    of the people in videos, too, empty where none are known. `gain`: accuracy by all frames less that by one, on
    the same videos. Raises `DetectorError` where a logit is no number.
    """
    check(predictions)
    rows = []
    for variant, sets in predictions.items():
        for name, table in sets.items():
            table = table[table["path"].str.contains(FRAME, regex=False)]  # not photographs of `pairs`
            if name == VALID or table.empty:
                continue
            number = pd.factorize(table["path"].map(file_of))[0]
            whole, one = by_video(table), table.iloc[_middles(number)]
            low, high = paired_interval(right(one), right(whole))
            gain = {"gain": right(whole).mean() - right(one).mean(), "gain_low": low, "gain_high": high}
            if (group := known_groups(whole)) is not None:
                bounds = paired_interval_grouped(right(one), right(whole), group)
                gain["gain_grouped_low"], gain["gain_grouped_high"] = bounds
            for by, part, of in ((EACH, table, number), (ONE, one, None), (ALL, whole, None)):
                row = {**names(variant), "testset": name, "judged_by": by, "videos": len(whole)}
                rows.append(row | _measured(part, of) | (gain if by == ALL else {}))
    return rows


def _middles(number: np.ndarray) -> np.ndarray:
    """Of the rows of each video, int (n,), that in the middle; `number`: of the video, rows of one adjacent."""
    first, count = np.unique(number, return_index=True, return_counts=True)[1:]
    return first + count // 2


def _measured(part: pd.DataFrame, video: np.ndarray | None) -> dict:
    """Columns of one way; `video`, int (n,): what rows are of which video, None where each is one of its own."""
    correct, label, logit = right(part), part["label"].to_numpy(), part["logit"].to_numpy(dtype=np.float64)
    row = share_right(correct, part["group"])
    if video is not None:
        row["accuracy_low"], row["accuracy_high"] = wilson_grouped(correct, video)
    of_class = [correct[label == kind] for kind in CLASSES]
    row["balanced_accuracy"] = np.mean([own.mean() for own in of_class]) if all(map(len, of_class)) else np.nan
    row["auc"], row["auc_low"], row["auc_high"] = areas.area(label, logit, video)
    if "groups" in row:
        row["auc_grouped_low"], row["auc_grouped_high"] = areas.area(label, logit, apart(part["group"]))[1:]
    return row
