"""audit_metadata.csv: the AUC of metadata alone on each test set, beside that of the detectors. No torch."""

import pandas as pd

from detector.audit.shortcuts import ALL
from detector.experiment.variants import BASELINE, DENSE_CONTROL

COLUMNS = (
    *("testset", "against", "classifier", "arch", "seed", "n_train", "n"),
    *("auc", "auc_low", "auc_high"),
)


def audit_metadata(shortcuts: pd.DataFrame, detectors: pd.DataFrame) -> list[dict]:
    """Rows of audit_metadata.csv: the AUC of metadata on each test set, and below it those of the detectors.

    `shortcuts`: the rows of `audit.shortcuts.shortcuts`; `detectors`: metrics.csv, of which the baselines and the
    dense controls are shown.
    """
    shown = detectors["branch"].isin([BASELINE, DENSE_CONTROL])
    chosen = detectors[shown & (detectors["threshold"].astype(str) == "0.5")]
    rows = []
    for testset, table in shortcuts.groupby("testset", sort=False):
        for row in table.to_dict("records"):
            name = "metadata" if row["features"] == ALL else f"metadata: {row['features']}"
            rows.append({**row, "classifier": name, "n": row["n_real"] + row["n_fake"]})
        for row in chosen[chosen["testset"] == testset].to_dict("records"):
            rows.append({**row, "against": "own", "classifier": f"detector: {row['branch']}"})
    return rows
