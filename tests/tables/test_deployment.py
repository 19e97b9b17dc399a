"""The table of deployments compares each file with the right reference; images of one group are one draw."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from detector.core import parquet, tabular
from detector.experiment.formats import EXPORTED, FILES, INT8, KEY, LATENCY_COLUMNS, TRAINED, exported
from detector.experiment.variants import Variant
from detector.tables.deployment import COLUMNS, deployment
from tests.support import samples

RUNTIMES = ["onnxruntime", "openvino"]
BASELINE, CONTROL, SMALL = (Variant("resnet18", 0, name) for name in ("baseline", "l1-00", "channels-40"))
LABEL = np.array([1] * 50 + [0] * 50)
# how many of the 100 images each is wrong on
WRONG = {BASELINE: 10, CONTROL: 6, SMALL: 8}
MS = {"torch": 20.0, "onnxruntime": 10.0, "openvino": 8.0}
FACTS = {"total_parameters": 100, "nonzero_weights": 90, "macs": 1000}


def predictions(wrong, group=""):
    logit = np.where(LABEL == 1, 1.0, -1.0)
    logit[:wrong] *= -1
    return pd.DataFrame(
        {
            **{"source": "some", "path": [f"{i}.png" for i in range(100)]},
            **{"group": group, "label": LABEL, "logit": logit},
        }
    )


def wrong(variant, place):
    """On how many of the 100 images a file of a variant is wrong: int8 on one more, in OpenVINO on two more."""
    return WRONG[variant] + ("int8" in place) * (2 if place.startswith("openvino") else 1)


@pytest.fixture
def rows(tmp_path):
    return table(tmp_path)


def table(tmp_path, group=""):
    files, latencies = {}, []
    deployed = [BASELINE, SMALL]  # the dense control is compared with, not exported
    for number, variant in enumerate(deployed):
        files[variant] = tmp_path / variant.branch
        (files[variant] / "bundle").mkdir(parents=True)
        for name, file in FILES.items():
            where = files[variant] if name == TRAINED else files[variant] / "bundle"
            (where / file).write_bytes(bytes(1000 // (1 + number) // (4 if "int8" in name else 1)))
            kind, precision = name.split("-")
            for runtime, batch in product(RUNTIMES if kind == "onnx" else ["torch"], (1, 8)):
                # eight images take torch four times as long, the others eight times
                ms = MS[runtime] / (1 + number) / (2 if precision == "int8" and kind == "onnx" else 1)
                ms *= {1: 1, 8: 4 if runtime == "torch" else 8}[batch]
                key = {"branch": variant.branch, "format": kind, "runtime": runtime, "precision": precision}
                times = {"latency_ms_median": ms, "latency_ms_p90": ms + 1, "device": "a CPU", "cpu_flags": "avx2"}
                latencies.append({**key, "batch": batch, "threads": 1, **times})
    places = [f"torch/{TRAINED}", *exported(RUNTIMES, EXPORTED)]
    found = deployment(
        {variant: {key: value // (1 + n) for key, value in FACTS.items()} for n, variant in enumerate(deployed)},
        files,
        {
            CONTROL: {f"torch/{TRAINED}": predictions(WRONG[CONTROL], group)},
            **{v: {place: predictions(wrong(v, place), group) for place in places} for v in deployed},
        },
        {BASELINE.run: pd.DataFrame(latencies, columns=LATENCY_COLUMNS)},
    )
    tabular.write_csv(found, COLUMNS, tmp_path / "deployment.csv")
    return pd.read_csv(tmp_path / "deployment.csv").set_index([*KEY])


def test_every_file_of_every_variant_is_there_once_a_batch_size(rows):
    assert rows.index.is_unique
    assert len(rows) == 2 * 2 * (1 + len(exported(RUNTIMES, EXPORTED)))
    assert len(exported(RUNTIMES, EXPORTED)) == 2 + 3 * 2
    assert {name.split("/")[1] for name in exported(RUNTIMES, EXPORTED)} == set(EXPORTED)


def test_logits_are_read_of_the_files_that_were_timed_and_no_others(tmp_path):
    script = samples.load_script("tables/deployment")
    of_int8 = f"exported/onnxruntime/{INT8}"
    timed = [name for name in (TRAINED, *EXPORTED) if name != INT8]
    for name in ("predictions", *exported(["onnxruntime"], EXPORTED)):
        folder = tmp_path / (name if name == "predictions" else f"exported/{name}")
        parquet.write(predictions(1), folder / "some.parquet")
    (tmp_path / of_int8 / "some.parquet").write_bytes(b"of another run")
    rows = [(*name.split("-"), "onnxruntime" if name.startswith("onnx") else "torch") for name in timed]
    table = pd.DataFrame(rows, columns=["format", "precision", "runtime"])
    read = script.predictions(tmp_path, ["some"], table)
    assert set(read) == {f"torch/{TRAINED}", *exported(["onnxruntime"], timed[1:])}
    assert set(script.predictions(tmp_path, ["some"])) == {f"torch/{TRAINED}"}


def test_the_references_are_the_baseline_s(rows):
    row = rows.loc["channels-40", "onnx", "openvino", "int8", 1]
    assert row["speedup_vs_eager_fp32"] == pytest.approx(20 / (8 / 2 / 2))
    assert row["speedup_vs_same_runtime_fp32_dense"] == pytest.approx(8 / (8 / 2 / 2))
    assert row["times_smaller"] == pytest.approx(1000 / 125)
    assert row["file_mb"] == pytest.approx(125e-6)
    assert row[["parameters", "nonzero_weights", "macs"]].tolist() == [50, 45, 500]
    eager = rows.loc["channels-40", "safetensors", "torch", "fp32", 1]
    assert eager["speedup_vs_same_runtime_fp32_dense"] == eager["speedup_vs_eager_fp32"] == pytest.approx(2)
    dense = rows.loc["baseline", "safetensors", "torch", "fp32", 1]
    assert dense["times_smaller"] == dense["speedup_vs_eager_fp32"] == 1
    assert rows.loc["baseline", "onnx", "onnxruntime", "fp32", 1]["speedup_vs_same_runtime_fp32_dense"] == 1


def test_a_batch_is_compared_with_one_of_its_size(rows):
    row = rows.loc["channels-40", "onnx", "openvino", "int8", 8]
    assert row["speedup_vs_eager_fp32"] == pytest.approx(4 * 20 / (8 * 8 / 2 / 2))
    assert row["speedup_vs_same_runtime_fp32_dense"] == pytest.approx(8 / (8 / 2 / 2))


def test_accuracy_is_that_of_the_very_file_on_the_same_images(rows):
    small = rows.loc["channels-40"].xs(1, level="batch")["accuracy"]
    assert small["safetensors", "torch", "fp32"] == pytest.approx(0.92)
    assert small["sparse", "torch", "int8"] == small["onnx", "onnxruntime", "int8"] == pytest.approx(0.91)
    assert small["onnx", "openvino", "int8"] == pytest.approx(0.90)
    row = rows.loc["channels-40", "onnx", "onnxruntime", "int8", 1]
    assert row["n"] == 100
    assert row["accuracy_delta"] == pytest.approx(0.01)
    assert row["accuracy_delta_low"] < 0.01 < row["accuracy_delta_high"]
    assert row["accuracy_delta_vs_dense_control"] == pytest.approx(-0.03)


def test_images_that_belong_together_are_one_draw(tmp_path, rows):
    """Files that turn one image of ten that belong together turn a tenth of one draw among ten."""
    (tmp_path / "grouped").mkdir()
    grouped = table(tmp_path / "grouped", [f"{at // 10}" for at in range(100)])
    assert rows["groups"].isna().all(), "none are known"
    assert (grouped["groups"] == 10).all()
    compared = grouped["accuracy_delta"] != 0
    width = grouped["accuracy_delta_grouped_high"] - grouped["accuracy_delta_grouped_low"]
    alone = grouped["accuracy_delta_high"] - grouped["accuracy_delta_low"]
    assert compared.any()
    assert (width[compared] > 2 * alone[compared]).all()
    same = [name for name in rows if "group" not in name]
    pd.testing.assert_frame_equal(grouped[same], rows[same])
