"""Detectors of others are compared by their scores; what crashes, hangs or answers nonsense costs its image a row,
and an evaluation that goes on asks nobody twice."""

import csv
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from detector.cli.evaluate import evaluate
from detector.core.errors import DetectorError
from detector.predict.model import Model
from detector.referee import contenders, scoring
from tests.predict.test_model import brightness

MINE = """
import os, time
import numpy as np
from PIL import Image
print("hello")
def level(path):
    with open({asked!r}, "a") as log: log.write(path + "\\n")
    return np.asarray(Image.open(path)).mean() / 255
def fragile(path):
    if path.endswith("fake/a/03.png"): os.abort()
    if path.endswith("fake/a/04.png"): time.sleep(60)
    if path.endswith("fake/a/05.png"): return float("nan")
    if path.endswith("fake/a/06.png"): raise ValueError("no <b>")
    return level(path)
def many(paths): return [fragile(path) for path in paths]
"""


@pytest.fixture
def data(tmp_path, monkeypatch) -> Path:
    rng = np.random.default_rng(0)
    for number in range(12):
        for folder, more in (("real", 0), ("fake/a", 40), ("fake/b", 20)):
            path = tmp_path / "data" / folder / f"{number:02d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 120 + more, (10, 14, 3)).astype(np.uint8)).save(path)
    (tmp_path / "data/real/bad.png").write_text("no picture")
    (tmp_path / "mine.py").write_text(MINE.format(asked=str(tmp_path / "asked")))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path / "data"


def rows(out: Path, name: str) -> list[dict]:
    with open(out / f"tables/{name}.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_a_fragile_function_costs_its_images_alone(data, tmp_path):
    models = [
        "python:mine:fragile,threshold=0.25",
        "python:mine:many:batch,name=many",
        "python:mine:level,name=<i>",
    ]
    code = evaluate(str(data), models, out=tmp_path / "out", calibrate=0.25, time_limit=2, perturb=["jpeg=50"])
    assert code == 1
    bad = {(row["model"], row["path"]): row["reason"] for row in rows(tmp_path / "out", "errors")}
    assert set(bad) == {("", "real/bad.png")} | {
        (model, f"fake/a/0{number}.png") for model in ("mine:fragile", "many") for number in (3, 4, 5, 6)
    }
    for model in ("mine:fragile", "many"):
        found = [bad[model, f"fake/a/0{number}.png"] for number in (3, 4, 5, 6)]
        for reason, words in zip(
            found, ("SIGABRT", "no answer within 2 s", "nan", "ValueError: no <b>"), strict=True
        ):
            assert words in reason
    page = (tmp_path / "out/report.html").read_text()
    assert "<i>" not in page
    assert "<b>" not in page
    for heading in ("mine:fragile, own threshold", "many, chosen threshold"):
        assert page.count(f">{heading}<") == 1, "who is judged at which threshold"
    pair = "many against mine:fragile"
    lines = [line.split("</tr>")[0] for line in page.split(f"<th scope=row>{pair}</th>")[1:]]
    assert [line.startswith("<td></td><td></td>") for line in lines] == [False, True], "an area needs no threshold"
    scores = [row for row in rows(tmp_path / "out", "scores") if row["part"] == "test"]
    known = [row for row in scores if row["score: mine:fragile"]]
    area = roc_auc_score(
        [row["label"] == "fake" for row in known], [float(row["score: mine:fragile"]) for row in known]
    )
    for row in rows(tmp_path / "out", "metrics"):
        if row["model"] == "mine:fragile":
            assert float(row["auc"]) == pytest.approx(area, abs=1e-5)
    assert {row["perturbation"] for row in rows(tmp_path / "out", "robustness")} == {"clean", "jpeg=50"}


def test_nobody_is_asked_twice(data, tmp_path):
    asked, out = tmp_path / "asked", tmp_path / "out"
    evaluate(str(data), ["python:mine:level"], out=out)
    first = (out / "tables/metrics.csv").read_bytes()
    (journal,) = (out / "state/scores").glob("*/clean.jsonl")
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-2]) + lines[-2][:20])  # as a kill leaves it
    asked.unlink()
    evaluate(str(data), ["python:mine:level"], out=out)
    assert len(asked.read_text().splitlines()) == 2
    assert (out / "tables/metrics.csv").read_bytes() == first
    asked.unlink()
    shutil.copy(data / "real/00.png", data / "real/01.png")
    evaluate(str(data), ["python:mine:level"], out=out)
    assert [line[-11:] for line in asked.read_text().splitlines()] == ["real/01.png"]
    assert "2 of 36 images have exactly the pixels" in rows(out, "audit_verdict")[0]["sentence"]


def test_a_bundle_gives_what_it_says_of_each_image_and_two_forms_of_one_model_do_not_differ(data, tmp_path):
    bundle = brightness(tmp_path / "bundle")
    evaluate(str(data), [f"{bundle},name=bundle"], out=tmp_path / "one")
    found = {row["path"]: float(row["score: bundle"]) for row in rows(tmp_path / "one", "scores")}
    model = Model.open(bundle)
    assert found == {path: model.judge(data / path, fast=True).probability_fake for path in found}
    (tmp_path / "told.csv").write_text("path,score\n" + "".join(f"{p},{s!r}\n" for p, s in found.items()))
    models = [f"{bundle},name=bundle", f"scores:{tmp_path / 'told.csv'},threshold=0.5"]
    evaluate(str(data), models, out=tmp_path / "two")
    for row in rows(tmp_path / "two", "comparisons"):
        assert (float(row["auc_difference"]), float(row["p_delong_holm"])) == (0, 1)
        assert row["threshold"] != "own" or (row["only_first_right"], row["p_mcnemar_holm"]) == ("0", "1")


def test_a_program_that_writes_more_lines_than_it_was_given_is_not_believed(data, tmp_path):
    models = [
        "command:while read p; do echo 1; done; echo 2,name=more",
        "command:while read p; do echo 1; done,name=one",
    ]
    assert evaluate(str(data), models, out=tmp_path / "out") == 1
    assert {row["model"] for row in rows(tmp_path / "out", "metrics")} == {"one"}
    assert "more lines than there were paths" in (tmp_path / "out/report.html").read_text()


def test_who_fails_ten_times_in_a_row_is_asked_no_more(data, tmp_path):
    models = ["command:exit 3,name=gone", "python:mine:level"]
    evaluate(str(data), models, out=tmp_path / "out")
    reasons = [row["reason"] for row in rows(tmp_path / "out", "errors") if row["model"] == "gone"]
    assert sum("exit code 3" in reason for reason in reasons) == scoring.GIVE_UP
    assert reasons.count(scoring.NOT_ASKED) == len(reasons) - scoring.GIVE_UP


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("nothing", "found no such bundle"),
        ("python:mine", "expected python:"),
        ("command:", "found no program"),
        ("scores:none.csv", "found no file none.csv"),
        ("command:x,threshold=high", "threshold 'high', expected a number"),
    ],
)
def test_what_is_no_model_is_one_error(model, words):
    with pytest.raises(DetectorError, match=words):
        contenders.parse(model)


def test_a_name_may_have_any_threshold_after_it():
    found = contenders.parse("command:score --a=1,2 -,threshold=-3,name=mine")
    assert (found.target, found.threshold, found.name) == ("score --a=1,2 -", -3.0, "mine")


def test_no_torch_is_imported():
    code = "import sys, detector.cli.evaluate; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
