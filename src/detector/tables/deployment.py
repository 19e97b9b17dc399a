"""deployment.csv: size, latency and accuracy of each exported file of each variant. No torch."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from detector.experiment.formats import KEY, TRAINED, file
from detector.experiment.variants import BASELINE, DENSE_CONTROL, Variant
from detector.stats.groups import known_groups, share_of_groups
from detector.stats.intervals import paired_interval, paired_interval_grouped
from detector.stats.predictions import check, right

COLUMNS = (
    *("arch", "seed", "branch", "format", "runtime", "precision", "parameters", "nonzero_weights", "macs"),
    *("file_mb", "times_smaller", "batch", "threads", "latency_ms_median", "latency_ms_p90"),
    *("speedup_vs_eager_fp32", "speedup_vs_same_runtime_fp32_dense", "n", "accuracy"),
    *("accuracy_delta", "accuracy_delta_low", "accuracy_delta_high", "accuracy_delta_vs_dense_control"),
    *("device", "cpu_flags"),
    *("groups", "grouped_low", "grouped_high", "accuracy_delta_grouped_low", "accuracy_delta_grouped_high"),
)


def deployment(
    facts: Mapping[Variant, Mapping],
    files: Mapping[Variant, Path],
    predictions: Mapping[Variant, Mapping[str, pd.DataFrame]],
    latencies: Mapping[tuple[str, int], pd.DataFrame],
) -> list[dict]:
    """Rows of deployment.csv: each variant in each format and runtime.

    `facts`: export.json; `files`: the folder that holds model.safetensors and bundle/; `predictions`: by
    RUNTIME/FORMAT, the test images of all sources, columns source, path, group, label and logit, in the same order
    for all; `latencies`: deployment_latency.csv by (arch, seed). Raises `DetectorError` where two files were shown
    other images, or a logit is no number.

    The reference is the run's baseline, dense, in fp32: its file for sizes, its eager pass for
    `speedup_vs_eager_fp32`, its ONNX file in the row's own runtime for `speedup_vs_same_runtime_fp32_dense` (so
    that what a runtime gains is not taken for what pruning gains), its accuracy for `accuracy_delta`, with a
    paired 95 % interval. Where it is known which images belong together, `groups` and `…grouped_…` are not empty.
    """
    check(
        {
            f"{variant}, {place}": {"all test images": table}
            for variant, files_of in predictions.items()
            for place, table in files_of.items()
        }
    )
    rows = []
    for variant, told in facts.items():
        baseline, control = (Variant(*variant.run, branch) for branch in (BASELINE, DENSE_CONTROL))
        timed = latencies[variant.run].set_index(list(KEY))["latency_ms_median"]
        first = predictions[baseline][f"torch/{TRAINED}"]
        reference, group = right(first), known_groups(first)
        dense = right(predictions[control][f"torch/{TRAINED}"]) if control in predictions else None
        for timing in latencies[variant.run].to_dict("records"):
            if timing["branch"] != variant.branch:
                continue
            name = f"{timing['format']}-{timing['precision']}"
            size = file(files[variant], name).stat().st_size
            found = right(predictions[variant][f"{timing['runtime']}/{name}"])
            low, high = paired_interval(reference, found)
            of_groups = share_of_groups(found, group)
            if group is not None:
                bounds = paired_interval_grouped(reference, found, group)
                of_groups["accuracy_delta_grouped_low"], of_groups["accuracy_delta_grouped_high"] = bounds
            eager = timed[BASELINE, "safetensors", "torch", "fp32", timing["batch"]]
            kind = "safetensors" if timing["runtime"] == "torch" else "onnx"
            same = timed[BASELINE, kind, timing["runtime"], "fp32", timing["batch"]]
            accuracy = found.mean() if len(found) else np.nan
            rows.append(
                {
                    "arch": variant.arch,
                    "seed": variant.seed,
                    **timing,
                    "parameters": told["total_parameters"],
                    "nonzero_weights": told["nonzero_weights"],
                    "macs": told["macs"],
                    "file_mb": size / 1e6,
                    "times_smaller": file(files[baseline], TRAINED).stat().st_size / size,
                    "speedup_vs_eager_fp32": eager / timing["latency_ms_median"],
                    "speedup_vs_same_runtime_fp32_dense": same / timing["latency_ms_median"],
                    "n": len(found),
                    "accuracy": accuracy,
                    "accuracy_delta": accuracy - reference.mean() if len(found) else np.nan,
                    "accuracy_delta_low": low,
                    "accuracy_delta_high": high,
                    "accuracy_delta_vs_dense_control": None if dense is None else accuracy - dense.mean(),
                    **of_groups,
                }
            )
    return rows
