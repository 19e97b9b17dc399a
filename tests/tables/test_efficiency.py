"""Weights are counted in the files themselves, and what is removed against the run's baseline."""

import pandas as pd
import pytest

from detector.experiment.variants import Variant
from detector.models import checkpoints, networks
from detector.pruning import masks
from detector.tables.efficiency import COLUMNS, efficiency
from tests.support.tables import PAPER, written


def test_efficiency_counts_what_is_in_the_file(tmp_path):
    model = networks.build("resnet18")
    weights = networks.prunable(model)
    kept = masks.global_l1(weights, 0.3)
    masks.apply(weights, masks.like(weights, kept))
    path = tmp_path / "model.safetensors"
    checkpoints.save_weights(path, model.state_dict())
    times = {"latency_ms_median": 5, "latency_ms_p90": 7, "batch": 1, "device": "cpu", "threads": 2}
    latency = pd.DataFrame([{"branch": branch, **times} for branch in ("baseline", "l1-30")])
    variants = [Variant("resnet18", 0, "baseline"), Variant("resnet18", 0, "l1-30")]
    metas = [
        {"total_parameters": 100, "channels": 50, "macs": 1000},
        {"total_parameters": 60, "channels": 40, "macs": 500},
    ]
    rows = efficiency(
        *(dict.fromkeys(variants, path), dict(zip(variants, metas, strict=True))),
        *({("resnet18", 0): latency}, PAPER),
    )
    table = written(rows, COLUMNS, tmp_path).set_index("branch")
    removed = ["parameters_removed", "channels_removed", "macs_removed"]
    assert table.loc["baseline", removed].tolist() == [0, 0, 0]
    assert table.loc["l1-30", removed].tolist() == pytest.approx([0.4, 0.2, 0.5])
    row = table.loc["l1-30"]
    assert row["nonzero_weights"] == sum(int(mask.sum()) for mask in kept)
    assert row["total_parameters"] == networks.parameter_count(model)
    assert row["file_mib"] == pytest.approx(path.stat().st_size / 2**20, abs=1e-3)
    assert (row["sparsity_percent"], row["latency_ms_median"]) == (30, 5)
    assert row["paper_nonzero_weights"] == 16_419_872
