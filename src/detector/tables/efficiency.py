"""efficiency.csv, Table 6: weights, file size and latency of each variant."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.numpy import load_file

from detector.experiment.variants import BASELINE, Variant

COLUMNS = (
    *("arch", "seed", "branch", "sparsity_percent", "percent_of", "nonzero_weights", "total_parameters"),
    *("file_mib", "parameters_removed", "channels_removed", "macs_removed"),
    *("latency_ms_median", "latency_ms_p90", "batch", "device", "threads"),
    *("paper_nonzero_weights", "paper_file_mib", "paper_latency_ms"),
)


def efficiency(
    models: Mapping[Variant, Path],
    metas: Mapping[Variant, Mapping],
    latencies: Mapping[tuple[str, int], pd.DataFrame],
    paper: Mapping,
) -> list[dict]:
    """Rows of Table 6: weights, file size and latency of each variant.

    Counted in the files themselves: `nonzero_weights` of the conv and fc weights (what the study counts),
    `total_parameters` of all that trains. `latencies`: latency.csv by (arch, seed). The removed shares are of the
    run's baseline, from `metas`, the content of meta.json: a weight that is merely zero is still there.
    """
    rows = []
    for variant, path in models.items():
        weights, parameters = _counts(load_file(path))
        timed = latencies[variant.run].set_index("branch").loc[variant.branch]
        theirs = paper["efficiency"].get(variant.branch, {})
        own, dense = metas[variant], metas[Variant(*variant.run, BASELINE)]
        removed = {
            name: 1 - own[key] / dense[key]
            for name, key in (("parameters", "total_parameters"), ("channels", "channels"), ("macs", "macs"))
        }
        rows.append(
            {
                "arch": variant.arch,
                "seed": variant.seed,
                "branch": variant.branch,
                "sparsity_percent": variant.sparsity_percent,
                "percent_of": variant.percent_of,
                "nonzero_weights": weights,
                "total_parameters": parameters,
                "file_mib": round(path.stat().st_size / 2**20, 3),
                **{f"{name}_removed": share for name, share in removed.items()},
                **timed[["latency_ms_median", "latency_ms_p90", "batch", "device", "threads"]].to_dict(),
                "paper_nonzero_weights": theirs.get("nonzero_weights"),
                "paper_file_mib": theirs.get("file_mib"),
                "paper_latency_ms": theirs.get("latency_ms"),
            }
        )
    return rows


def _counts(tensors: Mapping[str, np.ndarray]) -> tuple[int, int]:
    """Non-zero conv and fc weights, and all parameters, of a state dict.

    Conv and fc weights are the tensors of two and more dimensions; batch normalisation's running statistics
    are no parameters.
    """
    parameters = {
        name: tensor
        for name, tensor in tensors.items()
        if not name.endswith(("running_mean", "running_var", "num_batches_tracked"))
    }
    weights = sum(int(np.count_nonzero(t)) for t in parameters.values() if t.ndim >= 2)
    return weights, sum(t.size for t in parameters.values())
