"""Detectors of others are compared by their scores; what crashes, hangs or answers nonsense costs its image a row,
and an evaluation that goes on asks nobody twice."""

import csv
import re
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
from detector.data import manifest, scanning
from detector.experiment.config import config_of
from detector.predict.model import Model
from detector.referee import contenders, scoring
from tests.data import test_shards
from tests.predict.test_model import brightness
from tests.support import ROOT
from tests.support.figures import texts

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
def clever(path):  # fails wherever it would be wrong
    fake = "fake" in path
    if fake != (level(path) > 0.27): raise ValueError("too hard")
    return fake
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
    code = evaluate(str(data), models, out=tmp_path / "out", calibrate=0.25, time_limit=4, perturb=["jpeg=50"])
    assert code == 1
    bad = {(row["model"], row["path"]): row["reason"] for row in rows(tmp_path / "out", "errors")}
    assert bad["", "real/bad.png"].startswith("no image that can be read, expected JPEG, PNG, ")
    assert set(bad) == {("", "real/bad.png")} | {
        (model, f"fake/a/0{number}.png") for model in ("mine:fragile", "many") for number in (3, 4, 5, 6)
    }
    for model in ("mine:fragile", "many"):
        found = [bad[model, f"fake/a/0{number}.png"] for number in (3, 4, 5, 6)]
        for reason, words in zip(
            found, ("SIGABRT", "no answer within 4 s", "nan", "ValueError: no <b>"), strict=True
        ):
            assert words in reason
    page = (tmp_path / "out/report.html").read_text()
    assert "<i>" not in page
    assert "<b>" not in page
    for heading in ("mine:fragile, own threshold", "many, chosen threshold"):
        assert page.count(f">{heading}<") == 1, "who is judged at which threshold"
    pair = "many against mine:fragile"
    assert {"as given", "divided by the temperature"} <= set(texts(tmp_path / "out/figures/reliability.svg"))
    assert page.count(f"<th scope=row>{pair}</th>") == 2, "without failures, and with them as wrong"
    scores = [row for row in rows(tmp_path / "out", "scores") if row["part"] == "test"]
    known = [row for row in scores if row["score: mine:fragile"]]
    area = roc_auc_score(
        [row["label"] == "fake" for row in known], [float(row["score: mine:fragile"]) for row in known]
    )
    for row in rows(tmp_path / "out", "metrics"):
        if row["model"] == "mine:fragile" and row["images"] == "scored":
            assert float(row["auc"]) == pytest.approx(area, abs=1e-5)
    assert {row["perturbation"] for row in rows(tmp_path / "out", "robustness")} == {"clean", "jpeg=50"}


def test_who_fails_where_it_would_be_wrong_gains_nothing_by_it(data, tmp_path):
    models = ["python:mine:clever,threshold=0.5", "python:mine:level,threshold=0.27"]
    lines = [
        f"{folder}/{number:02d}.png,{folder.split('/')[0]},{folder.split('/')[-1]},g{number % 3}"
        for folder in ("real", "fake/a", "fake/b")
        for number in range(12)
    ]
    (data / "list.csv").write_text("\n".join(["path,label,generator,group", *lines]))
    evaluate(str(data / "list.csv"), models, out=tmp_path / "out")
    scores = {row["path"]: row for row in rows(tmp_path / "out", "scores")}
    failed = {path for path, row in scores.items() if not row["score: mine:clever"]}
    assert 0 < len(failed) < len(scores)
    own = [row for row in rows(tmp_path / "out", "metrics") if row["threshold"] == "own"]
    found = {(row["model"], row["images"]): row for row in own}
    perfect, honest = (found["mine:clever", way] for way in ("scored", "all"))
    assert (float(perfect["auc"]), float(perfect["accuracy"])) == (1, 1)
    assert (int(perfect["n"]), int(perfect["failed"])) == (len(scores) - len(failed), len(failed))
    assert int(honest["n"]) == len(scores)
    level = found["mine:level", "all"]
    assert float(honest["accuracy"]) == pytest.approx(1 - len(failed) / len(scores), abs=1e-6)
    assert honest["accuracy"] == level["accuracy"], "both are right about the same images"
    label = [row["label"] == "fake" for row in scores.values()]
    worst = [1 - fake if path in failed else fake for path, fake in zip(scores, label, strict=True)]
    worst = [2 * score - 0.5 if path in failed else score for path, score in zip(scores, worst, strict=True)]
    assert float(honest["auc"]) == pytest.approx(roc_auc_score(label, worst), abs=1e-6)
    pairs = {r["images"]: r for r in rows(tmp_path / "out", "comparisons") if r["threshold"] == "own"}
    assert pairs["scored"]["left_out"] == str(len(failed))
    assert float(pairs["all"]["accuracy_difference"]) == 0
    for name, word in (("per_generator", "generator"), ("per_group", "group")):
        found = rows(tmp_path / "out", name)
        assert {row["images"] for row in found} == {"scored", "all"}
        for row in found:
            kinds = {line.split(",")[0]: line.split(",")[2 + (word == "group")] for line in lines}
            of = [path for path in scores if row[word] in ("all", kinds[path])]
            gone = len(failed.intersection(of)) if row["model"] == "mine:clever" else 0
            assert (int(row["n"]), int(row["failed"])) == (len(of) - gone * (row["images"] == "scored"), gone)
    page = (tmp_path / "out/report.html").read_text()
    assert page.index(">mine:level</th>") < page.index(">mine:clever</th>"), "in order of what all are measured on"
    assert "accuracy, failed as wrong" in page
    evaluate(str(data / "list.csv"), models[1:], out=tmp_path / "out")
    assert {row["images"] for row in rows(tmp_path / "out", "metrics")} == {"scored"}
    assert "failed as wrong" not in (tmp_path / "out/report.html").read_text()


@pytest.mark.parametrize(
    ("dates", "periods"),
    [
        (["2024-01-31", "2024-11-02", "2025-02-01"], {"2024": 24, "2025": 12}),
        (["2024-01-31", "2024-11-02", "2024-11-30"], {"2024-01": 12, "2024-11": 24}),
        (["2024-01-31", "", ""], {"2024-01": 12}),
    ],
)
def test_dates_of_a_list_are_years_or_months_of_one_year(data, tmp_path, dates, periods):
    (data / "real/bad.png").unlink()
    lines = [
        f"{folder}/{number:02d}.png,{folder.split('/')[0]},{dates[(number + turn) % 3]}"
        for turn, folder in enumerate(("real", "fake/a", "fake/b"))
        for number in range(12)
    ]
    (data / "list.csv").write_text("\n".join(["path,label,date", *lines]))
    out = tmp_path / "out"
    evaluate(str(data / "list.csv"), ["python:mine:level,threshold=0.27"], out=out)
    found = {row["date"]: row for row in rows(out, "per_date") if row["threshold"] == "own"}
    assert {date: int(row["n"]) for date, row in found.items()} == periods
    scores = {row["path"]: row for row in rows(out, "scores")}
    for date, row in found.items():
        of = [scores[line.split(",")[0]] for line in lines if line.split(",")[2].startswith(date)]
        fake, level = ([r["label"] == "fake" for r in of], [float(r["score: mine:level"]) for r in of])
        assert float(row["auc"]) == pytest.approx(roc_auc_score(fake, level), abs=1e-5)
        right = np.mean([f == (s > 0.27) for f, s in zip(fake, level, strict=True)])
        assert float(row["accuracy"]) == pytest.approx(right, abs=1e-6)
    assert "<h2>By date</h2>" in (out / "report.html").read_text()
    evaluate(str(data), ["python:mine:level,threshold=0.27"], out=out)
    assert not (out / "tables/per_date.csv").exists(), "not that of the run before"


def test_images_of_a_group_count_as_one_draw(data, tmp_path):
    """Images that a list has three times over, and says so, are no more evidence than once."""
    models = [
        "python:mine:level,threshold=0.27",
        "python:mine:fine,threshold=0.27",
        "python:mine:dim,threshold=0.2",
    ]
    with open(tmp_path / "mine.py", "a") as file:
        file.write("def dim(path): return level(path) * (0.7 if path[-5] in '135' else 1)\n")
        file.write("def fine(path): return level(path) + (0.1 if path[-5] in '024' else 0)\n")
    lines = ["path,label,generator,group"]
    for copy in range(3):
        for folder in ("real", "fake/a", "fake/b"):
            for number in range(12):
                new = data / folder / f"{copy}-{number:02d}.png"
                Image.open(data / folder / f"{number:02d}.png").save(new)
                lines.append(f"{folder}/{new.name},{folder[:4]},{folder[5:]},{folder}-{number}")
    out = {}
    for name, kept in (("copies", 36 * 3), ("once", 36)):
        chosen = [line if name == "copies" else line.rpartition(",")[0] for line in lines[: kept + 1]]
        (data / f"{name}.csv").write_text("\n".join(chosen))
        out[name] = tmp_path / name
        assert evaluate(str(data / f"{name}.csv"), models, out=out[name], perturb=["noise=90"]) == 0
    for table, columns in {
        "metrics": {"grouped": "accuracy", "auc_grouped": "auc"},
        "per_generator": {"grouped": "accuracy", "auc_grouped": "auc"},
        "comparisons": {"grouped": "accuracy", "auc_grouped": "auc"},
        "robustness": {"grouped": "accuracy", "auc_grouped": "auc", "auc_change_grouped": "auc_change"},
    }.items():
        found, single = ([row for row in rows(out[name], table) if row["threshold"] == "own"] for name in out)
        for row, alone in zip(found, single, strict=True):
            for grouped, plain in columns.items():
                assert not alone[f"{grouped}_low"], "no groups, no interval by them"
                if row[f"{grouped}_low"]:
                    by_groups, by_images, once = (
                        float(of[f"{key}_high"]) - float(of[f"{key}_low"])
                        for of, key in ((row, grouped), (row, plain), (alone, plain))
                    )
                    assert by_groups > by_images, (table, grouped)
                    if table != "robustness":  # each copy has noise of its own
                        assert 0.75 * once < by_groups < 1.6 * once, (table, grouped, by_groups, once)
    copied, once = ([r for r in rows(out[name], "comparisons") if r["threshold"] == "own"] for name in out)
    for row, alone in zip(copied, once, strict=True):
        assert float(row["p_accuracy_grouped"]) == pytest.approx(float(alone["p_mcnemar"]), abs=1e-5)
        assert float(row["p_mcnemar"]) < float(row["p_accuracy_grouped"]), "copies are taken for evidence"
        assert float(row["p_delong"]) < float(row["p_auc_grouped"])
    page = (out["copies"] / "report.html").read_text()
    assert "of 36 groups, each one draw to the tables" in page
    worst = min(rows(out["copies"], "metrics"), key=lambda row: float(row["auc"]))
    assert f"{float(worst['auc_grouped_low']):.3f} to {float(worst['auc_grouped_high']):.3f}" in page
    assert "groups, each one draw to the tables" not in (out["once"] / "report.html").read_text()


def test_of_one_group_the_page_shows_no_p_of_single_images(data, tmp_path):
    with open(tmp_path / "mine.py", "a") as file:
        file.write("def dim(path): return level(path) * (0.7 if path[-5] in '135' else 1)\n")
    names = [f"{folder}/{number:02d}.png" for folder in ("real", "fake/a") for number in range(12)]
    lines = [f"{name},{name[:4]},one" for name in names]
    (data / "one.csv").write_text("\n".join(["path,label,group", *lines]))
    evaluate(str(data / "one.csv"), ["python:mine:level", "python:mine:dim"], out=tmp_path / "out")
    assert float(rows(tmp_path / "out", "comparisons")[0]["p_delong_holm"]) < 0.05
    page = (tmp_path / "out/report.html").read_text()
    pairs = page.partition("<h2>Pairs</h2>")[2].partition("<h2>")[0]
    cells = re.findall("<td>(.*?)</td>", pairs)
    assert cells[0].startswith("−")
    assert "to" not in cells[0], "no interval"
    assert cells[1] == "–", "and no p"


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


BREAKS = """
import os, sys, time
if "detector.referee.bundle_caller" in sys.orig_argv:
    from detector.imaging import preprocessing
    whole = preprocessing.decoded
    def decoded(file, *rest):
        if str(file).endswith("fake/a/03.png"): os.abort()
        if str(file).endswith("fake/a/04.png"): time.sleep(60)
        return whole(file, *rest)
    preprocessing.decoded = decoded
"""


def test_a_bundle_that_crashes_or_hangs_costs_its_images_alone(data, tmp_path):
    bundle = brightness(tmp_path / "bundle")
    (tmp_path / "sitecustomize.py").write_text(BREAKS)
    evaluate(str(data), [f"{bundle},name=bundle"], out=tmp_path / "out", time_limit=4)
    bad = {row["path"]: row["reason"] for row in rows(tmp_path / "out", "errors") if row["model"]}
    assert set(bad) == {"fake/a/03.png", "fake/a/04.png"}
    assert "SIGABRT" in bad["fake/a/03.png"]
    assert "no answer within 4 s" in bad["fake/a/04.png"]


def test_a_bundle_that_cannot_be_opened_does_not_stop_the_others(data, tmp_path):
    bundle = brightness(tmp_path / "bundle")
    (bundle / "model.onnx").write_bytes(b"no model")
    models = [f"{bundle},name=bundle", "python:mine:level"]
    assert evaluate(str(data), models, out=tmp_path / "out") == 1
    assert {row["model"] for row in rows(tmp_path / "out", "metrics")} == {"mine:level"}
    assert "bundle: it cannot be loaded: DetectorError" in (tmp_path / "out/report.html").read_text()


CONFIG = """
data:
  use: [mine]
  sources: {mine: {type: folder, root: data}}
  fractions: [0.5, 0.2, 0.3]
robustness: {perturbations: {worn: [{scale: 0.5}, {jpeg: 60}]}}
"""


def test_a_source_of_a_config_has_the_splits_of_a_run_and_perturbations_their_names(data, tmp_path, monkeypatch):
    (tmp_path / "config.yaml").write_text((ROOT / "config.yaml").read_text())
    (tmp_path / "mine.yaml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    models, out = ["python:mine:level"], tmp_path / "out"
    options = {"config": [Path("mine.yaml")], "out": out}
    evaluate("mine", models, split="test", perturb=["jpeg-75", "worn", "jpeg=60"], **options)
    sources = config_of(tmp_path, [Path("mine.yaml")])["data"]["sources"]
    scan = scanning.scan_source("mine", "folder", "data", sources["mine"], max_pixels=10**6, max_bad=1)
    table = manifest.build({"mine": scan}, {}, sources, (0.5, 0.2, 0.3), seed=0)
    assert {row["path"] for row in rows(out, "scores")} == set(table.loc[table["split"] == "test", "path"])
    assert {row["perturbation"] for row in rows(out, "robustness")} == {"clean", "jpeg-75", "worn", "jpeg=60"}
    words = texts(out / "figures/robustness.svg")
    for word in ("JPEG quality", "chains of steps", "worn", "60", "75", "mine:level"):
        assert word in words
    evaluate("mine", models, split="test", **options)
    assert not (out / "figures/robustness.svg").exists(), "not that of the run before"
    with pytest.raises(DetectorError, match="the config has the sources .*mine"):
        evaluate("other", models, **options)
    (tmp_path / "away.yaml").write_text("data: {use: [mine], sources: {mine: {type: folder, root: s3://away}}}")
    with pytest.raises(DetectorError, match="lies in object storage, expected a folder.*results/data/mine/files"):
        evaluate("mine", models, config=[Path("away.yaml")], out=out)
    with pytest.raises(DetectorError, match="found 'ghost', expected STEP=NUMBER.*worn"):
        evaluate("mine", models, perturb=["ghost"], **options)


@pytest.mark.parametrize("form", ["parquet", "tar"])
def test_images_in_shards_are_judged_as_files_are(form, data, tmp_path, monkeypatch):
    (tmp_path / "config.yaml").write_text((ROOT / "config.yaml").read_text())
    (tmp_path / "mine.yaml").write_text(
        f"data: {{use: [mine], sources: {{mine: {{type: {form}, root: shards}}}}}}"
    )
    pictures = sorted(data.rglob("*.png"))
    found = []
    for path in pictures[::-1]:
        name = path.relative_to(data)
        label, *generator, _ = name.parts
        row = {"path": str(name), "label": label, "generator": "".join(generator), "content": path.read_bytes()}
        found.append(row | {"group": ""})
    write = {"parquet": test_shards.write_parquet, "tar": test_shards.write_tar}[form]
    for number in range(2):
        write(tmp_path / f"shards/{number}.{form}", found[number::2])
    monkeypatch.chdir(tmp_path)
    for where, config in (("data", ()), ("mine", (Path("mine.yaml"),))):
        models = ["python:mine:level,threshold=0.2", f"scores:{where}.csv,name=lengths"]
        base = data if where == "data" else tmp_path / "shards"
        lines = [f"{base / row['path']},{len(row['content'])}" for row in found]
        (tmp_path / f"{where}.csv").write_text("\n".join(["path,score", *lines]))
        evaluate(where, models, out=tmp_path / "out" / where, config=config, perturb=["jpeg=50"])
    for name in ("metrics", "per_generator", "comparisons", "scores", "robustness", "errors"):
        assert rows(tmp_path / "out/mine", name) == rows(tmp_path / "out/data", name), name
    assert {row["path"] for row in rows(tmp_path / "out/mine", "errors")} == {"real/bad.png"}
    asked = (tmp_path / "asked").read_text().split()
    copies = [Path(path) for path in asked if not Path(path).is_relative_to(data)]
    assert copies
    assert not any(path.exists() for path in copies), "nothing is unpacked for good"


def test_nothing_is_written_among_the_images(data, tmp_path, monkeypatch):
    (tmp_path / "config.yaml").write_text((ROOT / "config.yaml").read_text())
    (tmp_path / "mine.yaml").write_text(CONFIG.replace("root: data", "root: data, pairs: photographs"))
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    for name, out, words in (
        ("data", "data/result", "which lies in DATA, data"),
        ("data", "gone/../data", "which lies in DATA, data"),
        ("mine", "data/real/result", "which lies in root of mine, data"),
        ("mine", "photographs/result", "which lies in pairs of mine, photographs"),
        ("data", "mine.py", "found the file mine.py, expected a folder"),
    ):
        config = [Path("mine.yaml")] if name == "mine" else []
        with pytest.raises(DetectorError, match=f"--out: .*{words}"):
            evaluate(name, ["python:mine:level"], out=Path(out), config=config)
    assert sorted(tmp_path.rglob("*")) == before
    (data / "list.csv").write_text("path,label\nreal/00.png,real\nfake/a/00.png,fake\n")
    assert evaluate("data/list.csv", ["python:mine:level"], out=Path("data/result")) == 0, "it names its images"


def warned(caplog) -> str:
    return "\n".join(record.message for record in caplog.records if record.levelname == "WARNING")


def test_a_file_that_is_not_there_is_one_row_and_counted(data, tmp_path, caplog):
    (data / "list.csv").write_text(
        "path,label\nreal/00.png,real\nreal/gone.png,real\nfake/a/00.png,fake\nfake/b/gone.png,fake\n"
    )
    assert evaluate(str(data / "list.csv"), ["python:mine:level,threshold=0.2"], out=tmp_path / "out") == 1
    bad = {row["path"]: (row["model"], row["reason"]) for row in rows(tmp_path / "out", "errors")}
    assert bad == dict.fromkeys(("real/gone.png", "fake/b/gone.png"), ("", "no such file"))
    for row in rows(tmp_path / "out", "metrics"):
        assert [int(row[name]) for name in ("n", "failed", "unreadable")] == [2, 0, 2]
    said = "2 of the images cannot be read here"
    assert said in warned(caplog)
    assert said in (tmp_path / "out/report.html").read_text()


@pytest.mark.parametrize(
    ("kept", "gone", "means"), [("real", "fake", "rate of false alarms"), ("fake", "real", "fakes that are found")]
)
def test_of_one_class_alone_it_is_said_what_is_empty(data, tmp_path, caplog, kept, gone, means):
    shutil.rmtree(data / gone)
    (data / "real/bad.png").unlink(missing_ok=True)
    models = ["python:mine:level,threshold=0.2", "python:mine:level,threshold=0.3,name=other"]
    assert evaluate(str(data), models, out=tmp_path / "out", calibrate=0.25) == 0
    for row in rows(tmp_path / "out", "metrics"):
        assert {row[name] for name in ("auc", "average_precision", "eer", "balanced_accuracy")} == {""}
        assert (row["accuracy"] != "") == (row["threshold"] == "own")
    page = (tmp_path / "out/report.html").read_text()
    for words in (f"{kept} images to measure on and no {gone} one", means, "no threshold was chosen, which needs"):
        assert words in warned(caplog)
        assert words in page


@pytest.mark.parametrize(
    ("function", "share", "words"),
    [
        ("fair", 0.25, ""),
        (
            "fair",
            0.02,
            "mine:fair: 0 real and 0 fake images to calibrate on have a score, so no threshold",
        ),
        ("sure", 0.25, "give no temperature: they are told apart without an error"),
        ("level", 0.25, "a temperature at its bound, 20"),
    ],
)
def test_what_the_calibration_part_cannot_tell_is_said(data, tmp_path, caplog, function, share, words):
    with open(tmp_path / "mine.py", "a") as file:
        file.write("def sure(path): return 0.9 if 'fake' in path else 0.2\n")
        file.write("def fair(path): return 0.6 if ('fake' in path) == (path[-5] > '1') else 0.3\n")
    (data / "real/bad.png").unlink()
    evaluate(str(data), [f"python:mine:{function}"], out=tmp_path / "out", calibrate=share)
    assert words in warned(caplog)
    assert bool(warned(caplog)) == bool(words)
    row = rows(tmp_path / "out", "metrics")[0]
    scaled = [row[name] for name in ("temperature", "log_loss_scaled", "brier_scaled", "ece_scaled")]
    drawn = "divided by the temperature" in texts(tmp_path / "out/figures/reliability.svg")
    scales = function == "level" or not words
    assert [value != "" for value in scaled] + [drawn] == [scales] * 5
    assert row["log_loss"], "as given it is known"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("path,points\nreal/00.png,1\n", "found the columns path, points, expected path and score"),
        ("path;score\nreal/00.png;1\n", "separated by semicolons, expected commas"),
        ("path,score\nelsewhere/00.png,1\n", "found a score of none of the 37 images"),
        ("path,score\nreal/00.png,1\nreal/00.png,2\n", "has two scores"),
    ],
)
def test_a_file_of_scores_is_looked_at_before_any_image_is(data, tmp_path, text, words):
    (tmp_path / "told.csv").write_text(text)
    with pytest.raises(DetectorError, match=words) as caught:
        evaluate(str(data), ["python:mine:level", f"scores:{tmp_path / 'told.csv'}"], out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert "logs" not in str(caught.value)


def test_a_split_that_there_is_not_is_told_with_what_to_do(data, tmp_path):
    with pytest.raises(
        DetectorError, match="no image has a split: give a list a column split .*leave --split out"
    ):
        evaluate(str(data), ["python:mine:level"], out=tmp_path / "out", split="test")
    (data / "list.csv").write_text("path,label,split\nreal/00.png,real,valid\nfake/a/00.png,fake,train\n")
    with pytest.raises(
        DetectorError, match="its images are of train and valid: name one of these, or leave --split"
    ):
        evaluate(str(data / "list.csv"), ["python:mine:level"], out=tmp_path / "out", split="test")


def test_a_program_that_writes_more_lines_than_it_was_given_is_not_believed(data, tmp_path):
    models = [
        "command:while read p; do echo 1; done; echo 2,name=more",
        f"command:while read p; do echo 1; done # {tmp_path / 'mine.py'},name=one",
    ]
    assert evaluate(str(data), models, out=tmp_path / "out") == 1
    assert {row["model"] for row in rows(tmp_path / "out", "metrics")} == {"one"}
    (row,) = rows(tmp_path / "out", "cost")
    assert (row["images"], row["megabytes"]) == ("36", ""), "who knows what a program loads"
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
        ("nothing,treshold=0.3", "found the option treshold, expected threshold or name"),
        ("scores:none.csv,treshold=0.3,name=mine", "found the option treshold, expected threshold or name"),
        ("python:mine:level,label=mine", "found the option label, expected threshold or name"),
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
