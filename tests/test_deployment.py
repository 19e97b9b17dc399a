"""The table of deployments compares each file with the right reference."""

import numpy as np
import pandas as pd
import pytest

from detector import tables
from detector.deployment import DEPLOYMENT_COLUMNS, deployment
from detector.formats import EXPORTED, FILES, LATENCY_COLUMNS, TRAINED, exported
from detector.tables import Variant

RUNTIMES = ["onnxruntime", "openvino"]
BASELINE, CONTROL, SMALL = (Variant("resnet18", 0, name) for name in ("baseline", "l1-00", "channels-40"))
LABEL = np.array([1] * 50 + [0] * 50)
# how many of the 100 images each is wrong on
WRONG = {BASELINE: 10, CONTROL: 6, SMALL: 8}
MS = {"torch": 20.0, "onnxruntime": 10.0, "openvino": 8.0}
FACTS = {"total_parameters": 100, "nonzero_weights": 90, "macs": 1000}


def predictions(wrong):
    logit = np.where(LABEL == 1, 1.0, -1.0)
    logit[:wrong] *= -1
    return pd.DataFrame({"label": LABEL, "logit": logit})


@pytest.fixture
def rows(tmp_path):
    files, latencies = {}, []
    for number, variant in enumerate(WRONG):
        files[variant] = tmp_path / variant.branch
        (files[variant] / "bundle").mkdir(parents=True)
        for name, file in FILES.items():
            where = files[variant] if name == TRAINED else files[variant] / "bundle"
            (where / file).write_bytes(bytes(1000 // (1 + number) // (4 if "int8" in name else 1)))
            kind, precision = name.split("-")
            for runtime in RUNTIMES if kind == "onnx" else ["torch"]:
                ms = MS[runtime] / (1 + number) / (2 if precision == "int8" and kind == "onnx" else 1)
                key = {"branch": variant.branch, "format": kind, "runtime": runtime, "precision": precision}
                times = {"latency_ms_median": ms, "latency_ms_p90": ms + 1, "device": "a CPU", "cpu_flags": "avx2"}
                latencies.append({**key, "batch": 1, "threads": 1, **times})
    found = deployment(
        {variant: {**FACTS, "macs": 1000 - 10 * number} for number, variant in enumerate(WRONG)},
        files,
        {
            variant: {place: predictions(wrong) for place in [f"torch/{TRAINED}", *exported(RUNTIMES)]}
            for variant, wrong in WRONG.items()
        },
        {BASELINE.run: pd.DataFrame(latencies, columns=LATENCY_COLUMNS)},
    )
    tables.write(found, DEPLOYMENT_COLUMNS, tmp_path / "deployment.csv")
    return pd.read_csv(tmp_path / "deployment.csv").set_index(["branch", "format", "runtime", "precision"])


def test_every_file_of_every_variant_is_there_once(rows):
    assert rows.index.is_unique
    assert len(rows) == 3 * (1 + len(exported(RUNTIMES)))
    assert len(exported(RUNTIMES)) == 2 + 3 * 2
    assert {name.split("/")[1] for name in exported(RUNTIMES)} == set(EXPORTED)


def test_the_references_are_the_baseline_s(rows):
    row = rows.loc["channels-40", "onnx", "openvino", "int8"]
    assert row["speedup_vs_eager_fp32"] == pytest.approx(20 / (8 / 3 / 2))
    assert row["speedup_vs_same_runtime_fp32_dense"] == pytest.approx(8 / (8 / 3 / 2))
    assert row["times_smaller"] == pytest.approx(1000 / 83)
    assert row["file_mb"] == pytest.approx(83e-6)
    assert row["macs"] == 980
    eager = rows.loc["channels-40", "safetensors", "torch", "fp32"]
    assert eager["speedup_vs_same_runtime_fp32_dense"] == eager["speedup_vs_eager_fp32"] == pytest.approx(3)
    dense = rows.loc["baseline", "safetensors", "torch", "fp32"]
    assert dense["times_smaller"] == dense["speedup_vs_eager_fp32"] == 1
    assert rows.loc["baseline", "onnx", "onnxruntime", "fp32"]["speedup_vs_same_runtime_fp32_dense"] == 1


def test_accuracy_is_compared_on_the_same_images(rows):
    row = rows.loc["channels-40", "onnx", "onnxruntime", "int8"]
    assert row["n"] == 100
    assert row["accuracy"] == pytest.approx(0.92)
    assert row["accuracy_delta"] == pytest.approx(0.02)
    assert row["accuracy_delta_low"] < 0.02 < row["accuracy_delta_high"]
    assert row["accuracy_delta_vs_dense_control"] == pytest.approx(-0.02)
