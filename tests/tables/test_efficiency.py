"""Weights are counted in the files themselves, and what is removed against the run's baseline; a system's size is
that of all that it is loaded from, and its parameters are those of the networks in it."""

import pandas as pd
import pytest
import torch

from detector.experiment.variants import Variant
from detector.models import checkpoints, networks
from detector.pruning import masks
from detector.tables.efficiency import COLUMNS, efficiency, of_systems
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


def test_a_system_has_the_size_of_all_that_it_is_loaded_from_and_its_time(tmp_path):
    """Its parameters are those of the networks in it; what is of pruned weights, or the study's, is empty."""
    classifier, network = tmp_path / "classifier.safetensors", tmp_path / "start.pth"
    checkpoints.save_weights(classifier, {"mean": torch.zeros(300_000, dtype=torch.float64)})
    network.write_bytes(bytes(2**20))
    files = {
        "waves": ([classifier], {"network": None, "total_parameters": 300_000}),
        "linear": ([classifier, network], {"network": {"name": "resnet10"}, "total_parameters": 1_300_000}),
        "experts": ([network] * 3, {"members": [], "total_parameters": 500}),
    }
    variants = {Variant(name, 0, "baseline"): given for name, given in files.items()}
    times = {"latency_ms_median": 5, "latency_ms_p90": 7, "batch": 1, "device": "cpu", "threads": 2}
    rows = of_systems(
        {variant: needed for variant, (needed, _) in variants.items()},
        {variant: meta for variant, (_, meta) in variants.items()},
        {variant.run: pd.DataFrame([{"branch": "baseline", **times}]) for variant in variants},
    )
    table = written(rows, COLUMNS, tmp_path).set_index("arch")
    own = classifier.stat().st_size / 2**20
    assert table["file_mib"].to_dict() == pytest.approx({"waves": own, "linear": own + 1, "experts": 3}, abs=1e-3)
    assert table["total_parameters"].dropna().to_dict() == {"linear": 1_000_000, "experts": 500}
    assert (table[list(times)] == pd.Series(times)).all(axis=None)
    said = {"seed", "branch", "total_parameters", "file_mib", *times}
    assert {name for name in table if table[name].notna().any()} == said
