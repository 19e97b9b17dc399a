"""The model card says what the result files say: each number, what is undefined, and for every kind of branch and
source the limits that follow from the facts. Its text fits what was done."""

import importlib.metadata
import re
import subprocess
import sys
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest

from detector.core.errors import DetectorError
from detector.data import kinds
from detector.data.records import of_frame
from detector.experiment.formats import EXPORTED, TRAINED
from detector.export import card, making, markdown
from detector.stats.groups import groups
from detector.stats.intervals import wilson_grouped
from detector.stats.predictions import right
from detector.tables.deployment import COLUMNS
from detector.training.recipe import Recipe
from tests.support import ROOT

TEMPLATE = (ROOT / "src/detector/export/templates/card.md").read_text()
LICENCES = {kind: kinds.module(kind).TERMS for kind in kinds.kinds()}
BAND = {
    **{"wanted": 0.01, "confidence": 0.95},
    "fake": {"cut": -2.5, "bound": 0.0091, "reached": True, "called": 1200, "kept": 1100, "errors": 2},
    "real": {"cut": None, "bound": None, "reached": False, "called": 3, "kept": 0, "errors": 0},
}
SPLIT = {"train": 6, "valid": 3, "test": 8}
PRUNED = {
    "method": "l1",
    "sparsity": 0.4,
    "parameters_removed": 0.0,
    "channels_removed": 0.0,
    "hyperparameters": {"optimizer": "SGD", "learning_rate": 2.5e-5, "trials": 7},
    "recipe": asdict(Recipe("SGD", 2.5e-5, 64, 9, 3, flip=0.25, seed=3)),
}


def meta(branch: str, **more: object) -> dict:
    """meta.json of a branch, as far as a card reads it."""
    own = {"recipe": asdict(Recipe("Adam", 1e-4, 16, 9, 3, flip=0.5, seed=3))}
    return {
        **{"arch": "resnet18", "seed": 3, "branch": branch, "image_size": 32, "epochs": 9, "best_epoch": 4},
        **{"total_parameters": 1100, "prunable_weights": 1000, "nonzero_weights": 1000, "macs": 12_300_000},
        "preprocessing": {"faces": {"size": 32, "face_crop": False}},
        "python": "3.11.0",
        "libraries": {"torch": "2.0"},
        **(own if branch == "baseline" else PRUNED),
        **more,
    }


def export(branch: str, **more: object) -> dict:
    """export.json of a branch, as far as a card and a bundle read it."""
    return {
        **{
            "arch": "resnet18",
            "seed": 3,
            "branch": branch,
            "image_size": 32,
            "threshold": 0.5,
            "temperature": 1.25,
        },
        "preprocessing": {"mine": {"size": 32, "face_crop": False}},
        **{"trained_at": "abc", "trained_dirty": False, "git_commit": "", "dirty": None},
        **{"data_fingerprint": "f00d", "model_sha256": "beef"},
        "band": BAND,
        "int8": {
            **{"method": "entropy", "float_layers": ["fc"], "valid_accuracy": 0.7512, "temperature": 1.5},
            "band": BAND,
        },
        "valid_accuracy": 0.75,
        **more,
    }


def deployment(branch: str) -> pd.DataFrame:
    """deployment.csv of one variant: a row for each file."""
    row = {
        **{"arch": "resnet18", "seed": 3, "branch": branch, "batch": 1, "threads": 1, "n": 16, "accuracy": 0.8125},
        **{"latency_ms_median": 2.0, "latency_ms_p90": 3.0, "speedup_vs_eager_fp32": 4.5},
        **{"speedup_vs_same_runtime_fp32_dense": 1.5, "accuracy_delta": -0.0123},
        **{"accuracy_delta_low": -0.05, "accuracy_delta_high": 0.02, "device": "A CPU", "cpu_flags": "avx2"},
    }
    names = [name.split("-") for name in (TRAINED, *EXPORTED)]
    rows = [row | {"format": kind, "precision": precision, "runtime": "some"} for kind, precision in names]
    return pd.DataFrame(rows, columns=COLUMNS)


def images(source: str, generators: list[str], real: bool, split: str = "test") -> pd.DataFrame:
    """`SPLIT[split]` fakes of each generator, and as many real images if `real`."""
    made = [*((0, name) for name in generators), *([(1, "")] if real else [])]
    rows = [(source, label, name, split) for label, name in made for _ in range(SPLIT[split])]
    table = pd.DataFrame(rows, columns=["source", "label", "generator", "split"]).assign(
        frame=np.float32("nan"), group=""
    )
    return table.assign(path=[f"{split}/{number}" for number in range(len(rows))])


def framed(some: card.Facts, count: int) -> card.Facts:
    """With `count` frames of each video of the source `fakes`."""
    table = some.manifest
    number = np.arange(len(table))
    paths = [of_frame(f"{n // count}.mp4", n % count) for n in number]
    return replace(
        some, manifest=table.assign(path=paths, frame=np.where(table["source"] == "fakes", 0.5, np.nan))
    )


def answers(table: pd.DataFrame, wrong: int) -> pd.DataFrame:
    """Logits that are wrong for the first `wrong` images."""
    sign = np.where(table["label"] == 1, 1.0, -1.0)
    sign[:wrong] *= -1
    return table.assign(logit=sign.astype(np.float32))


def facts(branch: str = "l1-40", **more: object) -> card.Facts:
    """Sources `faces` with both classes, 2 of 16 wrong (int8: 3), and `fakes` of two generators, all right."""
    parts = [("faces", ["gan"], True), ("fakes", ["one", "two"], False)]
    every = pd.concat(images(*part, split=split) for part in parts for split in SPLIT)
    tests = {name: images(name, *rest) for name, *rest in parts}
    values = {
        "export": export(branch),
        "meta": meta(branch),
        "manifest": every,
        "sources": {
            "faces": {"type": "faces140k", "split": "official"},
            "fakes": {"type": "synthbuster", "split": "stem"},
        },
        "deployment": deployment(branch),
        "tests": {
            precision: {"faces": answers(tests["faces"], wrong), "fakes": answers(tests["fakes"], 0)}
            for precision, wrong in (("fp32", 2), ("int8", 3))
        },
        "runtime": "onnxruntime",
        "onnx": (10, 20),
        "sizes": {name: 1_000_000 * number for number, name in enumerate(EXPORTED, 1)},
    }
    return card.Facts(**values | more)


def text(some: card.Facts) -> str:
    return card.text(some, TEMPLATE)


def row(written: str, *cells: str) -> list[str]:
    """The cells of the one row of a table that begins with these."""
    start = "| " + " | ".join(cells) + " |"
    (line,) = [line for line in written.splitlines() if line.startswith(start)]
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def flat(written: str) -> str:
    """Without the ends of lines, so that a sentence is found wherever it is broken."""
    return " ".join(written.split())


@pytest.mark.parametrize(
    ("versions", "least"),
    [((10, 20), "1.18"), ((9, 20), "1.17"), ((9, 19), "1.16"), ((8, 18), "1.14"), ((10, 21), "1.18")],
)
def test_the_least_onnx_runtime_is_that_of_the_files(versions, least):
    written = text(facts(onnx=versions))
    assert f'pip install "onnxruntime>={least}" numpy pillow' in written
    assert f"IR version {versions[0]}, opset {versions[1]}) from {least} on" in flat(written)


def test_of_newer_files_the_onnx_runtime_at_hand_is_the_least_that_is_known():
    assert card.least_runtime(99, 20) == card.least_runtime(10, 99) == importlib.metadata.version("onnxruntime")


BRANCHES = {
    "baseline": ({}, "trained from scratch, nothing pruned"),
    "l1-00": ({"sparsity": 0.0}, "fine-tuned with nothing pruned: the control"),
    "matched-40": (
        {"sparsity": 0.0, "hyperparameters_of": "l1-40"},
        "fine-tuned with nothing pruned and the settings of l1-40, as the control",
    ),
    "l1-40": ({"nonzero_weights": 600}, "40.0 % of its conv and fc weights, those of smallest magnitude"),
    "random-40": (
        {"method": "random", "nonzero_weights": 599},
        "40.1 % of its conv and fc weights, chosen at random",
    ),
    "gradual-60": ({"method": "gradual", "ramp": 5, "nonzero_weights": 400}, "set to zero in steps"),
    "channels-40": (
        {"method": "channels", "parameters_removed": 0.403, "channels_removed": 0.25},
        "25.0 % of its channels, and with them 40.3 % of its parameters, taken out",
    ),
}


@pytest.mark.parametrize("branch", BRANCHES)
def test_each_kind_of_branch_is_called_what_it_is(branch):
    changes, words = BRANCHES[branch]
    written = text(facts(branch, meta=meta(branch, **changes)))
    assert [name for name, (_, others) in BRANCHES.items() if others in flat(written)] == [branch]
    assert written.startswith(f"# Real or AI-generated? resnet18, {branch}, seed 3\n")
    first = branch == "baseline"
    assert ("Adam, learning rate 0.0001; batches of 16" in flat(written)) == first
    tuned = "SGD, learning rate 2.5e-05 (the best of 7 trials on the validation images); batches of 64; flipped"
    assert (tuned in flat(written)) != first
    assert ("- Epoch, temperature and the cuts above were chosen" in flat(written)) == first
    assert words in flat(written)


@pytest.mark.parametrize("kind", kinds.kinds())
def test_each_kind_of_source_has_its_licence_and_its_layout(kind):
    split = kinds.module(kind).SPLITS[0]
    written = flat(text(facts(sources={name: {"type": kind, "split": split} for name in ("faces", "fakes")})))
    assert written.count(flat(LICENCES[kind])) == 1
    lines = {other: f"- `{other}`: {flat(terms)}" for other, terms in LICENCES.items()}  # some have the same terms
    assert [other for other, line in lines.items() if line in written] == [kind]
    assert f"| `faces` | {kind} | {split} | 6 / 6 | 3 / 3 | 8 / 8 |" in written


def test_no_file_is_forgotten():
    assert set(card.HOLDS) == set(EXPORTED)


def test_the_results_are_those_of_the_logits():
    written = text(facts())
    # 14 and 13 of 16 right, the wrong ones fakes, of which there are 8; intervals by Wilson's formula by hand
    assert row(written, "`faces`", "fp32") == [
        *("`faces`", "fp32", "8 / 8", "87.5 % (64.0–96.5)", "75.0 % (40.9–92.9)", "100.0 % (67.6–100.0)"),
        *("0.875", "1.000", "0.857"),
    ]
    assert row(written, "`faces`", "int8")[3:5] == ["81.2 % (57.0–93.4)", "62.5 % (30.6–86.3)"]
    assert row(written, "all", "fp32")[2:4] == ["8 / 24", "93.8 % (79.9–98.3)"]
    assert row(written, "`faces`", "`gan`")[2:] == ["8", "75.0 % (40.9–92.9)", "62.5 %"]
    assert row(written, "`faces`", "nothing: real images")[2:] == ["8", "100.0 % (67.6–100.0)", "100.0 %"]
    assert "| `fakes` | nothing" not in written


def test_what_is_undefined_is_a_dash():
    some = facts()
    empty = {precision: tests | {"faces": tests["faces"][:0]} for precision, tests in some.tests.items()}
    table = some.deployment.assign(latency_ms_p90=np.nan, accuracy_delta=np.nan, cpu_flags=np.nan)
    written = text(replace(some, tests=empty, deployment=table))
    assert row(written, "`fakes`", "fp32")[5:] == ["–", "–", "1.000", "1.000"]
    assert row(written, "`faces`", "fp32")[2:] == ["0 / 0", *["–"] * 6]
    assert row(written, "`model.int8.onnx`", "some")[3:] == ["2 (–)", "4.50", "1.50", "81.2 %", "–"]
    assert "A CPU (–)" in flat(written)
    assert "| exported with commit | – |" in written
    assert "nan" not in written.lower()
    assert "None" not in written


def test_the_costs_are_those_of_the_table():
    written = text(facts())
    assert row(written, "`model.int8.onnx`", "int8")[2] == "5.00"
    assert row(written, "`model.int8.onnx`", "some") == [
        *("`model.int8.onnx`", "some", "1", "2 (3)", "4.50", "1.50", "81.2 %", "−1.23 (−5.00 to +2.00)"),
    ]
    assert "Measured on A CPU (avx2), threads: 1;" in flat(written)
    assert "on all 16 test images" in flat(written)


def test_reading_the_logit_and_int8_are_those_of_the_export():
    written = flat(text(facts()))
    assert "P(real) = 1 / (1 + exp(−logit / 1.25)), where 1.25 is the temperature" in written
    assert "fits the validation images best (1.5 for `model.int8.onnx`)" in written
    assert "ranges of activations by the method entropy, on training images" in written
    assert "left in fp32: `fc`; what all logits move by is taken off them. Accuracy on the validation" in written
    assert "images 75.1 %, in fp32 75.0 %." in written
    assert "| trained with | python 3.11.0, torch 2.0 |" in written
    assert "| trained with commit | abc | | exported with commit | – |" in written
    edited = text(facts(export=export("l1-40", trained_dirty=True, git_commit="def", dirty=True)))
    assert "| trained with commit | abc, with uncommitted edits |" in edited
    assert "| exported with commit | def, with uncommitted edits |" in edited
    assert "| SHA-256 of `model.safetensors` | beef |" in written


NEVER_REAL = BAND | {"real": BAND["real"] | {"called": 0}}
SAID = {
    "a class is never called": (
        lambda some: replace(some, export=export("l1-40", band=NEVER_REAL)),
        "it never calls one of the 12 validation images real: all are fake to it (75.0 % of these are fake)",
        lambda some: some,
    ),
    "no better than always the same": (
        lambda some: replace(some, export=export("l1-40", valid_accuracy=0.75)),
        "it is right about 75.0 % of the 12 validation images, while 75.0 % of these are fake",
        lambda some: replace(some, export=surely("l1-40")),
    ),
    "all test images called alike": (
        lambda some: with_tests(some, faces=all_fake(some, "faces"), fakes=all_fake(some, "fakes")),
        "it never calls one of the 32 test images real: all are fake to it (75.0 % of these are fake)",
        lambda some: some,
    ),
    "one class": (
        lambda some: some,
        "`fakes`: the test images are fakes alone. Without real images there is no AUC",
        lambda some: with_tests(some, fakes=answers(images("fakes", ["one", "two"], True), 0)),
    ),
    "few": (
        lambda some: some,
        "Few test images (less than 1,000): `faces`, `fakes`.",
        lambda some: with_tests(some, **{name: pd.concat([t] * 70) for name, t in some.tests["fp32"].items()}),
    ),
    "unseen generator": (
        lambda some: replace(some, manifest=pd.concat([some.manifest, images("fakes", ["new"], False)])),
        "fakes of `gan`, `one`, `two` alone; `new` came only in the test. How right",
        lambda some: some,
    ),
    "source held out": (
        lambda some: without(some, "fakes", "train"),
        "come from the same sources as training images, but for `fakes`, of which none was trained on.",
        lambda some: some,
    ),
    "people": (
        lambda some: replace(some, sources=some.sources | {"faces": {"type": "celebdf", "split": "paper"}}),
        "`faces`, split paper: people in training videos are in test videos too. Its numbers may flatter.",
        lambda some: replace(some, sources=some.sources | {"faces": {"type": "celebdf", "split": "identity"}}),
    ),
    "videos": (
        lambda some: replace(
            some, manifest=some.manifest.assign(frame=np.where(some.manifest["source"] == "fakes", 0.5, np.nan))
        ),
        "`fakes`: of each video one frame is the image.",
        lambda some: some,
    ),
    "frames of videos": (
        lambda some: framed(some, 4),
        "`fakes`: up to 4 frames of each video are images, and a video is judged by the mean of their logits",
        lambda some: framed(some, 1),
    ),
    "face crop": (
        lambda some: replace(some, meta=meta("l1-40", preprocessing={"faces": {"size": 32, "face_crop": True}})),
        "Images of `faces` were cropped to their largest face before they were resized.",
        lambda some: some,
    ),
    "texture crop": (
        lambda some: made(some, preprocess="texture_crop"),
        "`example.py` does not look for the richest texture: with this model it says so and stops.",
        lambda some: made(some, preprocess="center_crop"),
    ),
    "shorter side": (
        lambda some: made(some, resize_to=40),
        "RGB; the shorter side resized to 40, bilinear with antialiasing; resized to 32 × 32",
        lambda some: some,
    ),
    "error levels": (
        lambda some: made(some, ela={"quality": 90}),
        "RGB; its error levels taken in its place: the absolute difference to the image compressed once more",
        lambda some: some,
    ),
    "window": (
        lambda some: made(some, preprocess="center_crop"),
        "a window of 32 × 32 pixels cut out, from the middle",
        lambda some: made(some, preprocess="random_crop"),
    ),
    "middle": (
        lambda some: made(some, size=40, centre=32),
        "the aspect ratio not kept; of that square the network sees the middle 32 × 32 pixels",
        lambda some: replace(looked(some), meta=made(some, size=40, centre=32).meta),
    ),
    "looks": (
        lambda some: replace(looked(some), meta=made(some, size=40, centre=32).meta),
        "of that square the network sees 5 windows on a grid from edge to edge, of 32 and 40 pixels a side",
        lambda some: made(some, size=40, centre=32),
    ),
    "recompression": (
        lambda some: made(some, recompress={"format": "WEBP", "quality": [60, 90], "subsampling": "4:2:0"}),
        "compressed as WEBP, whatever the class, with a quality from 60 to 90 that the file's SHA-256 decides,",
        lambda some: some,
    ),
}


def surely(branch: str) -> dict:
    """export.json of a network that is right about most validation images."""
    told = export(branch, valid_accuracy=0.95)
    return told | {"int8": told["int8"] | {"valid_accuracy": 0.95}}


def all_fake(some: card.Facts, source: str) -> pd.DataFrame:
    return some.tests["fp32"][source].assign(logit=np.float32(-1))


def test_a_doubt_stands_before_how_to_use_it():
    written = text(facts(export=export("l1-40", band=NEVER_REAL)))
    assert written.index("It has not learned to tell real from fake") < written.index("## Use")
    assert "\n- `model.onnx`: it never calls" in written
    assert "has not learned" not in text(facts(export=surely("l1-40")))


def made(some: card.Facts, **how: object) -> card.Facts:
    """The same, its pixels made in another way."""
    return replace(some, meta=meta("l1-40", preprocessing={"faces": {"size": 32, "face_crop": False, **how}}))


def looked(some: card.Facts) -> card.Facts:
    """The same, seen through several windows of what is packed."""
    how = {"size": 40, "centre": 32, "face_crop": False, "looks": {"crops": 4, "sizes": [32, 40]}}
    return replace(some, export=export("l1-40", preprocessing={"faces": how}))


def with_tests(some: card.Facts, **tables: pd.DataFrame) -> card.Facts:
    return replace(some, tests={precision: tests | tables for precision, tests in some.tests.items()})


def without(some: card.Facts, source: str, split: str) -> card.Facts:
    gone = (some.manifest["source"] == source) & (some.manifest["split"] == split)
    return replace(some, manifest=some.manifest[~gone])


@pytest.mark.parametrize("name", SAID)
def test_a_limit_is_said_where_it_holds_and_nowhere_else(name):
    holding, words, lacking = SAID[name]
    assert words in flat(text(holding(facts())))
    assert words.split(".")[0][-40:] not in flat(text(lacking(facts())))


def test_the_text_is_markdown_that_can_be_read_and_that_no_name_breaks():
    some = facts(sources={"a|b`c": {"type": "folder", "split": "auto"}})
    table = images("a|b`c", ["x|y", "{size}\n# z"], True)
    some = replace(
        some, manifest=table, tests={precision: {"a|b`c": answers(table, 0)} for precision in some.tests}
    )
    for written in (text(some), text(facts())):
        lines = written.splitlines()
        assert [line for line in lines if len(line) > markdown.WIDTH and not line.startswith("|")] == []
        assert sum(line.startswith("#") for line in lines) == len(re.findall("^#", TEMPLATE, re.MULTILINE))
        assert "\n\n\n" not in written
        assert re.findall(r"{\w+}", written.replace("`{size} # z`", "")) == []
    widths = {
        line.replace("\\|", "").count("|") for line in text(some).splitlines() if line.startswith("| `a\\|b'c`")
    }
    assert widths == {7, 10, 6}


def test_a_variant_that_was_not_measured_is_refused_with_what_to_do():
    with pytest.raises(
        DetectorError, match=r"deployment\.csv: found no row of resnet18, seed 3, l1-40.*deploy\.branches"
    ):
        text(facts(deployment=deployment("l1-40")[:0]))


def test_no_torch_is_loaded():
    code = "import sys, detector.export.card; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_it_says_when_a_verdict_is_sure_and_what_that_is_worth():
    written = flat(text(facts()))
    assert (
        "- **fake:** sure up to a logit of -2.5. Of 1,200 validation images called so 1,100 lie there, 2 of them "
        "wrongly: with 95 % confidence at most 0.9 % are wrong. - **real:** never sure, since too few" in written
    )


def test_a_start_its_licence_and_its_pixels_are_said():
    own = {"name": "lite0", "source": "PyPI: some 0.1", "sha256": "cafe", "licence": None}
    pixels = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.25, 0.5], "interpolation": "bicubic"}
    plain = flat(text(facts("baseline", meta=meta("baseline"))))
    assert "normalised with ImageNet's mean and standard deviation. - **Training" in plain
    assert "Start:" not in plain
    written = flat(text(facts("baseline", meta=meta("baseline", start=own, normalisation=pixels))))
    assert "trained from weights, nothing pruned" in written
    assert "normalised with mean 0.5 / 0.5 / 0.5 and standard deviation 0.5 / 0.25 / 0.5. - **Start:**" in written
    assert "began as `lite0`, weights from `PyPI: some 0.1` (SHA-256 cafe). Their licence: not known" in written
    licensed = text(facts("baseline", meta=meta("baseline", start={**own, "licence": "apache-2.0"})))
    assert "Their licence: apache-2.0." in flat(licensed)


def test_knobs_beside_the_study_s_are_named():
    """Momentum says nothing where Adam trains, and what is as in the study is not repeated."""
    recipe = Recipe("Adam", 1e-4, 16, 9, 3, flip=0.5, seed=3, momentum=0.9)
    assert making._knobs(asdict(recipe)) == ""
    recipe = replace(recipe, optimizer="SGD", weight_decay=0.01, ema=0.999, select="auc")
    assert making._knobs(asdict(recipe)) == "; momentum: 0.9; weight_decay: 0.01; ema: 0.999"


def test_a_teacher_is_named_where_there_was_one():
    taught = {"name": "l1-00", "sha256": "0", "weight": 0.5, "temperature": 2.0}
    taught |= {"arch": "resnet18", "seed": 4, "branch": "l1-00"}
    said = (
        "of smallest magnitude, set to zero, and with the logits of a teacher beside the labels (resnet18, "
        "seed 4, l1-00; their share of the loss is 0.5, the temperature 2)."
    )
    assert said in flat(text(facts("l1-40", meta=meta("l1-40", nonzero_weights=600, teacher=taught))))
    for none in ({}, {"teacher": None}):
        assert "teacher" not in text(facts("l1-40", meta=meta("l1-40", nonzero_weights=600, **none)))


def test_images_that_belong_together_are_one_draw():
    """Of four pairs of fakes, one pair is wrong: as wide as the intervals of so many groups."""
    some = facts()
    tests = {
        precision: {
            name: table.assign(group=(np.arange(len(table)) // 2).astype(str)) for name, table in sets.items()
        }
        for precision, sets in some.tests.items()
    }
    written, grouped = text(some), text(replace(some, tests=tests))
    faces = tests["fp32"]["faces"]
    fakes = faces[faces["label"] == 0]
    low, high = wilson_grouped(right(fakes), groups(fakes))
    assert row(grouped, "`faces`", "fp32")[4] == f"75.0 % ({100 * low:.1f}–{100 * high:.1f})"
    assert row(grouped, "`faces`", "`gan`")[3] == f"75.0 % ({100 * low:.1f}–{100 * high:.1f})"
    assert row(grouped, "`faces`", "fp32")[3] != row(written, "`faces`", "fp32")[3]
    one = {
        precision: {name: table.assign(group="a") for name, table in sets.items()}
        for precision, sets in tests.items()
    }
    assert row(text(replace(some, tests=one)), "`faces`", "fp32")[3] == "87.5 % (no interval of one group)"
    costs = some.deployment.assign(groups=8, accuracy_delta_grouped_low=-0.2, accuracy_delta_grouped_high=0.1)
    assert (
        row(text(replace(some, deployment=costs)), "`model.int8.onnx`", "some")[-1] == "−1.23 (−20.00 to +10.00)"
    )
