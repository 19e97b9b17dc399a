"""Images are counted by source, split and class, beside the study's counts where it gives any."""

import pandas as pd

from detector.tables.dataset_composition import COLUMNS, dataset_composition
from tests.support.tables import PAPER, written


def test_dataset_composition(tmp_path):
    manifest = pd.DataFrame(
        {
            "source": ["faces140k"] * 4 + ["synthbuster"] * 2,
            "split": ["train", "train", "train", "test", "train", "valid"],
            "label": [1, 0, 0, 1, 0, 0],
        }
    )
    rows = dataset_composition(manifest, {"faces140k": "official", "synthbuster": "stem"}, PAPER)
    got = written(rows, COLUMNS, tmp_path).set_index(["source", "split"])
    assert list(got.index)[::3] == [("faces140k", "train"), ("synthbuster", "train"), ("combined", "train")]
    assert got.loc[("faces140k", "train"), ["real", "fake", "total"]].tolist() == [1, 2, 3]
    assert got.loc[("combined", "train"), ["real", "fake", "total"]].tolist() == [1, 3, 4]
    assert got.loc[("combined", "train"), "paper_total"] == 112_183
    assert got.loc[("combined", "valid"), "paper_total"] == 21_523
    assert pd.isna(got.loc[("synthbuster", "test"), "paper_total"]), "the study gives no such number"


def test_the_study_s_own_table_adds_up():
    for split in ("train", "valid"):
        parts = [PAPER["composition"][name][split] for name in ("faces140k", "celebdf", "synthbuster")]
        assert [sum(column) for column in zip(*parts, strict=True)] == PAPER["composition"]["combined"][split]
