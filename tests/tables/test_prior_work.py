"""The study's own comparison is followed by this run's accuracies."""

import pandas as pd

from detector.tables import final_accuracy
from detector.tables.prior_work import COLUMNS, prior_work
from tests.support.tables import PAPER, written


def test_prior_work_ends_with_this_run(sets, tmp_path):
    accuracy = written(final_accuracy.final_accuracy(sets, PAPER), final_accuracy.COLUMNS, tmp_path)
    manifest = pd.DataFrame({"source": ["faces140k", "celebdf"], "split": ["train", "test"]})
    got = written(prior_work(accuracy, manifest, PAPER), COLUMNS, tmp_path)
    ours = got[got["source"] == "this run"]
    assert len(got) - len(ours) == len(PAPER["prior_work"]) == 18
    assert ours["accuracy"].tolist() == accuracy["accuracy"].tolist()
    assert ours["train_test"].iloc[0] == "faces140k → faces140k"
