"""What came after a network's training shows in the matrix where it is something else, and else it does not."""

import numpy as np
import pandas as pd
import pytest

from detector.experiment.variants import Variant
from detector.tables.window_matrix import COLUMNS, window_matrix
from tests.support.tables import written

EDGES = ["2024-01-01", "2025-01-01"]
DAYS = ["2023-06-01", "2024-06-01", "2025-06-01"]
BASELINE = Variant("resnet18", 0, "baseline")


def predicted(until: int = 3, shift: float = 0.0, seed: int = 0, each: int = 200) -> dict:
    """Predictions of a network trained with the first `until` windows; later fakes look real by `shift`."""
    rng = np.random.default_rng([seed, until])
    window = np.tile([0, 1, 2, -1], each)
    label = np.repeat([0, 1], 2 * each)
    mean = np.where(label == 1, 1.5, np.where(window >= until, -1.5 + shift, -1.5))
    table = pd.DataFrame({"path": [f"{i}.png" for i in range(4 * each)], "source": "mine", "group": ""})
    table = table.assign(generator=np.where(label == 0, "gan", ""), label=label)
    table["logit"] = (mean + rng.normal(0, 1, len(table))).astype(np.float32)
    return {"mine": table}


def scans() -> dict[str, pd.DataFrame]:
    """Dates of the images: a fourth of each class has none."""
    table = predicted()["mine"]
    return {"mine": table[["path"]].assign(date=np.tile([*DAYS, ""], len(table) // 4))}


def matrix(folder, shift: float) -> pd.DataFrame:
    ends = {"": 3, EDGES[0]: 1, EDGES[1]: 2}
    networks = {name: {BASELINE: predicted(until, shift)} for name, until in ends.items()}
    table = written(window_matrix(networks, scans(), EDGES), COLUMNS, folder)
    return table.fillna({"trained_until": "", "window": ""})


def test_a_planted_shift_shows_after_the_training_of_each_network_alone(tmp_path):
    table = matrix(tmp_path, shift=2.0)
    cells = table[(table["window"] != "") & (table["trained_until"] != "")]
    for name in ("drop", "auc_drop"):
        assert ((cells[f"{name}_low"] > 0.1) == (cells["seen"] == "no")).all(), name
    unseen = set(cells.loc[cells["seen"] == "no", ["trained_until", "window"]].itertuples(index=False, name=None))
    assert unseen == {
        (EDGES[0], "2024-01-01 to 2025-01-01"),
        (EDGES[0], "from 2025-01-01"),
        (EDGES[1], "from 2025-01-01"),
    }
    means = table[table["window"] == ""].set_index("seen")
    assert means["windows"].tolist() == [2, 2], "the next window of each network, and the two before the last"
    assert means.loc["no", "drop_low"] > 0.1 > means.loc["yes", "drop_high"]


def test_a_time_like_the_one_before_shows_nothing(tmp_path):
    means = matrix(tmp_path, shift=0.0).query("window == ''").set_index("seen")
    for name in ("drop", "auc_drop"):
        assert means.loc["no", f"{name}_low"] < 0 < means.loc["no", f"{name}_high"], name


def test_a_window_has_its_own_real_images_and_those_without_a_date(tmp_path):
    table = matrix(tmp_path, shift=0.0)
    cells = table[table["window"] != ""]
    assert set(cells["n"]) == {100}
    assert set(cells["reals"]) == {200}


def test_sets_without_images_have_no_row(nothing):
    none = {"faces": pd.DataFrame({"path": [], "date": []})}
    assert window_matrix({"": nothing, EDGES[0]: nothing}, none, EDGES) == []


@pytest.mark.parametrize("edges", [EDGES[:1], EDGES])
def test_one_day_is_enough(edges, tmp_path):
    networks = {name: {BASELINE: predicted()} for name in ("", *edges)}
    table = written(window_matrix(networks, scans(), edges), COLUMNS, tmp_path)
    assert table["window"].nunique() == len(edges) + 1
