"""efficiency.csv, Table 6: weights, file size and latency of each variant and system."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.numpy import load_file

from detector.experiment.variants import BASELINE, Variant, names

TIMES = ("latency_ms_median", "latency_ms_p90", "batch", "device", "threads")
COLUMNS = (
    *("arch", "seed", "branch", "sparsity_percent", "percent_of", "nonzero_weights", "total_parameters"),
    *("file_mib", "parameters_removed", "channels_removed", "macs_removed"),
    *TIMES,
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
                "file_mib": _mib([path]),
                **{f"{name}_removed": share for name, share in removed.items()},
                **timed[[*TIMES]].to_dict(),
                "paper_nonzero_weights": theirs.get("nonzero_weights"),
                "paper_file_mib": theirs.get("file_mib"),
                "paper_latency_ms": theirs.get("latency_ms"),
            }
        )
    return rows


def of_systems(
    files: Mapping[Variant, Sequence[Path]],
    metas: Mapping[Variant, Mapping],
    latencies: Mapping[tuple[str, int], pd.DataFrame],
) -> list[dict]:
    """Rows of systems: file size, latency, and the parameters of the networks in them.

    `files`: all that a system is loaded from to judge an image, the file of its classifier first; `metas` and
    `latencies` as for `efficiency`. What hangs on weights that are pruned, or is the study's, stays empty.
    """
    rows = []
    for variant, needed in files.items():
        timed = latencies[variant.run].set_index("branch").loc[variant.branch]
        parameters = _of_networks(metas[variant], needed[0])
        row = {**names(variant), "total_parameters": parameters, "file_mib": _mib(needed)}
        rows.append(row | timed[[*TIMES]].to_dict())
    return rows


def _of_networks(meta: Mapping, classifier: Path) -> int | None:
    """Parameters of the networks in a system, without the head of one that gives features; None of spectra."""
    if "members" in meta:
        return int(meta["total_parameters"])
    if meta["network"] is None:
        return None
    return int(meta["total_parameters"]) - sum(array.size for array in load_file(classifier).values())


def _mib(files: Sequence[Path]) -> float:
    return round(sum(file.stat().st_size for file in files) / 2**20, 3)


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
