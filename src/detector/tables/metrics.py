"""metrics.csv: ranking, calibration and threshold metrics of each variant on each test set. No torch."""

import numpy as np

from detector.experiment.variants import VALID, names
from detector.stats import decisions, metric_modules
from detector.stats.areas import area
from detector.stats.calibration import probabilities, temperature
from detector.stats.classification import POSITIVE, measure
from detector.stats.groups import known_groups, share_of_groups
from detector.stats.predictions import Predictions, check, with_combined
from detector.stats.ranking import best_cut, ranking

COLUMNS = (
    *("arch", "seed", "branch", "testset", "threshold", "cut_logit", "n"),
    *("accuracy", "accuracy_low", "accuracy_high", "balanced_accuracy", "precision", "recall", "f1"),
    *("auc", "auc_low", "auc_high", "average_precision", "eer", "tpr_at_1_percent_fpr", "temperature"),
    *("brier", "brier_scaled", "log_loss", "log_loss_scaled", "ece", "ece_scaled", "positive"),
    *("groups", "grouped_low", "grouped_high", "auc_grouped_low", "auc_grouped_high"),
)
FROM_MODULES = ("balanced_accuracy",)  # of these: modules of `stats.metrics` give them


def columns() -> list[str]:
    """Names of the columns in order: `COLUMNS`, then those of further modules of `stats.metrics`.

    Raises `DetectorError` where such a module asks for a column that is there already.
    """
    further = metric_modules.columns([name for name in COLUMNS if name not in FROM_MODULES])
    return [*COLUMNS, *(name for name in further if name not in FROM_MODULES)]


def metrics(predictions: Predictions) -> list[dict]:
    """Rows of metrics.csv: each variant on each test set, at probability one half and at the cut of `valid`.

    An image is called fake where its logit is below `cut_logit`. Cut and temperature come from the validation
    images alone. Where these hold one class, there is no cut, and what depends on it is empty. Intervals by groups
    of images are empty where none are known. Raises `DetectorError` where a logit is no number.
    """
    check(predictions)
    rows = []
    for variant, sets in predictions.items():
        valid = sets[VALID]
        cuts = {"0.5": 0.0, "valid": best_cut(valid["label"], valid["logit"])}
        scale = temperature(valid["label"], valid["logit"]) if len(valid) else np.nan
        for name, table in with_combined(sets).items():
            if name == VALID:
                continue
            label, logit = table["label"].to_numpy(), table["logit"].to_numpy(dtype=np.float64)
            scaled = probabilities(label, logit / scale)
            same = {
                **names(variant),
                "testset": name,
                "temperature": scale,
                "positive": POSITIVE,
                **ranking(label, logit),
                **probabilities(label, logit),
                **{f"{key}_scaled": value for key, value in scaled.items()},
            }
            group = known_groups(table)
            if group is not None:
                low, high = area(label, logit, group)[1:]
                same |= {"groups": len(np.unique(group)), "auc_grouped_low": low, "auc_grouped_high": high}
            whole = measure(label, logit)
            for threshold, cut in cuts.items():
                at_cut = {key: whole[key] for key in ("n", "auc")}
                if not np.isnan(cut):
                    at_cut = measure(label, logit - cut) | metric_modules.measure(label, logit - cut)
                    at_cut |= share_of_groups(decisions.right(label, logit - cut), group)
                rows.append({**same, **at_cut, "threshold": threshold, "cut_logit": cut})
    return rows
