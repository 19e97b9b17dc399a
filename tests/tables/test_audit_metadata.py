"""What metadata alone reach on a test set stands above what the run's baselines and dense controls reach there."""

import pandas as pd

from detector.audit import shortcuts
from detector.tables.audit_metadata import COLUMNS, audit_metadata
from tests.support.tables import written


def test_detectors_stand_below_what_metadata_reach_on_the_same_test_set(tmp_path):
    reached = [
        (testset, "own", kind, 30, 7, 5, 0.5, 0.4, 0.6)
        for testset in ("faces", "combined")
        for kind in (shortcuts.ALL, "format")
    ]
    branches = ("baseline", "l1-00", "l1-40")
    measured = [
        {"arch": "resnet18", "seed": 0, "branch": branch, "testset": testset, "threshold": threshold, "n": 12}
        for branch in branches
        for testset in ("faces", "combined")
        for threshold in ("0.5", "valid")
    ]
    rows = audit_metadata(pd.DataFrame(reached, columns=shortcuts.COLUMNS), pd.DataFrame(measured).assign(auc=0.9))
    got = written([{name: row.get(name) for name in COLUMNS} for row in rows], COLUMNS, tmp_path)
    shown = ["metadata", "metadata: format", "detector: baseline", "detector: l1-00"]
    assert got["classifier"].tolist() == shown * 2
    assert got["testset"].tolist() == ["faces"] * 4 + ["combined"] * 4
    assert got["n"].tolist() == [12] * 8
    assert got["auc"].tolist() == [0.5, 0.5, 0.9, 0.9] * 2
