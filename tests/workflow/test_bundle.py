"""A bundle is all that one needs: its checksums hold, and its example gives the pipeline's logits for the same
files, also where neither the project nor torch is installed."""

import argparse
import ast
import json
import math
import os
import re
import shutil
import struct
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from PIL import Image

from detector.core import parquet
from detector.core.files import sha256, write_json
from detector.data import manifest, packing, scanning
from detector.data.records import of_frame
from detector.experiment.formats import EXPORTED, FILES, INT8
from detector.export import card, onnx_model, quantization, runtimes
from detector.imaging import decoding, preprocessing, windows
from detector.imaging.preprocessing import Preprocessing
from detector.models import checkpoints, devices, inference, networks, sparse
from detector.models.dataset import Images
from detector.predict.model import Model
from detector.stats.calibration import temperature
from tests.export.test_card import deployment, export, meta
from tests.support import ROOT, samples

EXAMPLE = ROOT / "src/detector/export/templates/example.py"
SIZE, LIMIT, BRANCH = 32, 1_000_000, "baseline"
NEEDED = {"numpy", "onnxruntime", "PIL"}
PARITY = 1e-4


def write_pictures(root: Path) -> None:
    """A picture of each kind that the pipeline takes: turned, grey, transparent, CMYK, 16 bits, and so on."""
    path = root / "real"
    samples.write_picture(path / "plain.png", 0, (90, 50))
    samples.write_picture(path / "grey.png", 1, (40, 41), "L")
    samples.write_picture(path / "bits.png", 2, (50, 20), "1")
    samples.write_picture(path / "cmyk.jpg", 3, (64, 64), "CMYK")
    samples.write_picture(path / "small.bmp", 4, (9, 7))
    colours = np.random.default_rng(5).integers(0, 256, (30, 44, 3), dtype=np.uint8)
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(colours).save(path / "turned.jpg", exif=turned)
    path = root / "fake" / "gan"
    samples.write_picture(path / "plain.webp", 6, (33, 60))
    samples.write_picture(path / "palette.gif", 7, (48, 48), "P")
    alpha = np.random.default_rng(8).integers(0, 256, (40, 30, 4), dtype=np.uint8)
    Image.fromarray(alpha).save(path / "clear.png")
    Image.fromarray(alpha).convert("LA").save(path / "multiplied.tiff")
    extra = [struct.pack("<HHIH", 338, 3, 1, kind) for kind in (2, 1)]  # 1: multiplied by alpha
    content = (path / "multiplied.tiff").read_bytes()
    assert extra[0] in content
    (path / "multiplied.tiff").write_bytes(content.replace(*extra))
    Image.fromarray(alpha).convert("LA").save(path / "clear-grey.png")
    Image.fromarray(alpha[..., :3]).save(path / "one-colour.png", transparency=tuple(map(int, alpha[0, 0, :3])))
    deep = np.random.default_rng(9).integers(0, 1 << 16, (30, 30)).astype(np.uint16)
    Image.fromarray(deep).save(path / "deep.png")


ALL_BUT_INT8 = [name for name in EXPORTED if name != INT8]


def save_models(bundle: Path, network: torch.nn.Module, pictures: np.ndarray, facts: dict) -> None:
    """What the rule `export` leaves."""
    paths = {name: bundle / FILES[name] for name in EXPORTED}
    onnx_model.save_onnx(paths["onnx-fp32"], network, SIZE, facts)
    onnx_model.save_half(paths["onnx-fp16"], paths["onnx-fp32"])
    quantization.save_int8(paths["onnx-int8"], paths["onnx-fp32"], pictures, lambda path: 1.0, wanted=0.0)
    for precision in ("fp16", "int8"):
        sparse.save(paths[f"sparse-{precision}"], network.state_dict(), precision, facts)


def complete(folder: Path, branch: str = BRANCH, formats: Sequence[str] = EXPORTED) -> subprocess.CompletedProcess:
    """Run the rule's script on a folder that `made` filled."""
    without = {} if INT8 in formats else {"int8": None}
    write_json(folder / "export.json", export(branch, **without))
    write_json(folder / "meta.json", meta(branch))
    options = {
        **{"facts": folder / "export.json", "meta": folder / "meta.json", "manifest": folder / "manifest.parquet"},
        **{"table": folder / "deployment.csv", "predictions": folder / "fp32"},
        **({"int8": folder / "int8"} if INT8 in formats else {}),
        **{"runtime": "onnxruntime", "sets": "mine"},
        "sources": json.dumps({"mine": {"type": "folder", "split": "auto"}}),
        "template": ROOT / "src/detector/export/templates/card.md",
        **{"example": EXAMPLE, "folder": folder / "bundle"},
    }
    arguments = [str(part) for name, value in options.items() for part in (f"--{name}", value)]
    arguments += ["--formats", *formats]
    command = [sys.executable, ROOT / "workflow/scripts/export/bundle.py", *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with pictures/, what the pipeline makes of them with random weights, and the complete bundle/."""
    folder = tmp_path_factory.mktemp("made")
    write_pictures(folder / "pictures")
    options = {"type": "folder", "split": "auto"}
    scan = scanning.scan_source("mine", "folder", folder / "pictures", options, max_pixels=LIMIT)
    packed = [folder / "pack" / name for name in ("images.npy", "images.json", "bad.csv")]
    packed[0].parent.mkdir()
    packing.pack(
        *(scan, folder / "pictures", Preprocessing(SIZE, max_pixels=LIMIT), *packed, folder / "state"),
        workers=1,
        max_bad=0,
        meta={},
    )
    table = manifest.build({"mine": scan}, {"mine": set()}, {"mine": options}, (0.4, 0.3, 0.3), seed=0)
    parquet.write(table, folder / "manifest.parquet")

    network = networks.build("resnet18", seed=1).eval()
    checkpoints.save_weights(folder / "model.safetensors", network.state_dict())
    packs = Images.open(folder / "manifest.parquet", [folder / "pack"])
    batches = packs.batches(packs.table, torch.device("cpu"))
    pixels = batches.gather(np.arange(len(batches)))
    save_models(folder / "bundle", network, pixels, export(BRANCH))
    int8 = runtimes.load(folder / "bundle" / FILES["onnx-int8"], "onnxruntime", 1)
    where = devices.plan("cpu", "fp32", 1, SIZE)
    for name, logits in (("fp32", inference.logits(network, batches, where)), ("int8", int8(pixels))):
        parquet.write(inference.predictions(packs.table, logits), folder / name / "mine.parquet")
    deployment(BRANCH).to_csv(folder / "deployment.csv", index=False)
    done = complete(folder)
    assert done.returncode == 0, done.stdout
    return folder


@pytest.fixture
def shipped(made, tmp_path) -> Path:
    """A copy of the bundle, alone in its folder."""
    return shutil.copytree(made / "bundle", tmp_path / "shipped")


def run_example(python: Path | str, bundle: Path, *arguments: Path | str) -> dict[str, tuple[str, float, float]]:
    """Verdict, P(real) and logit of each picture; the project is not on Python's path, and no folder is it."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [python, bundle / "example.py", *arguments]
    done = subprocess.run(command, cwd=bundle, env=clean, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = re.findall(r"^(.*): (real|fake), P\(real\) ([\d.]+), logit (-?[\d.]+)$", done.stdout, re.MULTILINE)
    return {path: (verdict, float(chance), float(logit)) for path, verdict, chance, logit in found}


def checksums(bundle: Path) -> subprocess.CompletedProcess:
    command = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    return subprocess.run(command, cwd=bundle, capture_output=True, text=True)


def test_the_checksums_are_of_every_file_and_hold(shipped):
    listed = [line.split("  ")[1] for line in (shipped / "SHA256SUMS").read_text().splitlines()]
    assert sorted([*listed, "SHA256SUMS"]) == sorted(path.name for path in shipped.iterdir())
    assert checksums(shipped).returncode == 0


@pytest.mark.parametrize("name", ["card.md", "example.py", *(FILES[name] for name in EXPORTED)])
def test_a_changed_file_is_found(name, shipped):
    content = bytearray((shipped / name).read_bytes())
    content[len(content) // 2] ^= 1
    (shipped / name).write_bytes(content)
    done = checksums(shipped)
    assert done.returncode != 0
    assert [line for line in done.stdout.splitlines() if not line.endswith(": OK")] == [f"{name}: FAILED"]


@pytest.mark.parametrize(("precision", "model"), [("fp32", []), ("int8", ["model.int8.onnx"])])
def test_the_example_gives_the_logits_of_the_pipeline(precision, model, made, shipped):
    expected = parquet.read(made / precision / "mine.parquet")
    assert len(expected) == 13
    paths = [str(made / "pictures" / path) for path in expected["path"]]
    found = run_example(sys.executable, shipped, *model, *paths)
    assert list(found) == paths
    logits = np.array([logit for _, _, logit in found.values()])
    assert np.abs(logits - expected["logit"]).max() <= PARITY
    # Rounded to int8, logits of some pictures may fall together; how many depends on the processor's kernels.
    assert len(np.unique(logits.round(4))) > len(logits) / 2, "pictures that are all the same prove nothing"


LOOKS = {"crops": 4, "sizes": [SIZE - 8]}


def told(
    made: Path,
    tmp_path: Path,
    table: pd.DataFrame,
    own: np.ndarray,
    monkeypatch,
    formats: Sequence[str] = EXPORTED,
) -> dict:
    """export.json of the rule's script, with an int8 whose logits are a third of those of fp32, `own`."""
    script = samples.load_script("export/export")
    parquet.write(table, tmp_path / "manifest.parquet")
    packs = Images.open(tmp_path / "manifest.parquet", [made / "pack"])
    parquet.write(inference.predictions(packs.part("valid"), own), tmp_path / "valid.parquet")
    tried = {"method": "minmax", "float_layers": [], "correction": 0.0, "valid_accuracy": 0.5}

    def save_int8(path, source, pictures, accuracy, wanted):
        path.write_bytes(source.read_bytes())
        tried["valid_accuracy"] = accuracy(path)
        return {**tried, "tried": [tried]}

    monkeypatch.setattr(script.quantization, "save_int8", save_int8)
    found = ((own / 3)[:, None] + np.array([-3, 1, 0, 2])).astype(np.float32).ravel()
    monkeypatch.setattr(script.runtimes, "logits", lambda model, count, *_, **__: found[:count])
    facts = {"image_size": SIZE, "labels": {}, "git_commit": "", "data_fingerprint": ""}
    facts["preprocessing"] = dict(packs.preprocessing)
    write_json(tmp_path / "meta.json", meta(BRANCH) | facts)
    paths = {"model": made / "model.safetensors", "manifest": tmp_path / "manifest.parquet"}
    paths |= {"packs": [made / "pack"]}
    paths |= {"meta": tmp_path / "meta.json", "predictions": tmp_path / "valid.parquet"}
    settings = {"calibration_images": 2, "max_drop": 1.0, "sure_error": 0.1, "looks": LOOKS}
    settings = json.dumps(settings | {"evaluation_batch": "auto", "memory": 8000})
    given = {"arch": "resnet18", "branch": BRANCH, "config": settings, "threads": 1, "formats": formats}
    script.main(argparse.Namespace(**paths, **given, folder=tmp_path, facts=tmp_path / "export.json"))
    return json.loads((tmp_path / "export.json").read_text())


def test_int8_has_the_temperature_of_its_own_logits_and_says_what_they_are_of(made, tmp_path, monkeypatch):
    """A third of the logits has a third of the temperature. They are means of four looks, which the file names."""
    table = parquet.read(made / "manifest.parquet")
    label = table.loc[table["split"] == "valid", "label"]
    own = np.where(label == 1, 1.5, -1.5)
    own[0] *= -0.4  # one is wrong: else the sharpest temperature would be best for both
    facts = told(made, tmp_path, table, own, monkeypatch)
    files = {name: tmp_path / FILES[f"onnx-{name}"] for name in ("fp32", "int8")}
    heat = {name: float(runtimes.facts(path)["temperature"]) for name, path in files.items()}
    assert heat["fp32"] == facts["temperature"] == pytest.approx(temperature(label, own), rel=1e-4)
    assert heat["int8"] == pytest.approx(heat["fp32"] / 3, rel=1e-3)
    assert heat["int8"] == facts["int8"]["temperature"]
    opened = Model.open(tmp_path / FILES["onnx-int8"])
    assert opened.temperature == heat["int8"]
    ways = Images.open(made / "manifest.parquet", [made / "pack"]).preprocessing
    expected = {name: {**how, "looks": LOOKS} for name, how in ways.items()}
    assert json.loads(opened.facts["preprocessing"]) == facts["preprocessing"] == expected
    assert opened.looks == 4


def test_without_int8_a_variant_is_exported_and_its_bundle_is_whole(made, tmp_path, monkeypatch):
    """All else is there, checked, described, and judges as it does beside an int8 file."""
    table = parquet.read(made / "manifest.parquet")
    own = np.where(table.loc[table["split"] == "valid", "label"] == 1, 1.5, -1.5)
    facts = told(made, tmp_path, table, own, monkeypatch, ALL_BUT_INT8)
    assert {path.name for path in tmp_path.glob("model*")} == {FILES[name] for name in ALL_BUT_INT8}
    assert facts["int8"] is None
    assert facts["temperature"] == pytest.approx(temperature(table.loc[table["split"] == "valid", "label"], own))

    folder = shutil.copytree(made, tmp_path / "made")
    for path in (f"bundle/{FILES[INT8]}", "bundle/SHA256SUMS", "int8/mine.parquet"):
        (folder / path).unlink()
    costs = pd.read_csv(folder / "deployment.csv")
    of_int8 = (costs["format"] + "-" + costs["precision"]) == INT8
    costs[~of_int8].to_csv(folder / "deployment.csv", index=False)
    done = complete(folder, formats=ALL_BUT_INT8)
    assert done.returncode == 0, done.stdout
    bundle = folder / "bundle"
    kept = {"card.md", "example.py", "SHA256SUMS", *(FILES[name] for name in ALL_BUT_INT8)}
    assert {path.name for path in bundle.iterdir()} == kept
    assert checksums(bundle).returncode == 0
    card = (bundle / "card.md").read_text()
    assert FILES[INT8] not in card
    assert "- **int8:** no such file can be made of this network; tables/left_out.csv of the run says why." in card
    picture = folder / "pictures/real/plain.png"
    assert run_example(sys.executable, bundle, picture) == run_example(sys.executable, made / "bundle", picture)
    assert Model.open(tmp_path).judge(picture).verdict is not None


def test_temperature_and_band_are_of_videos_where_several_frames_of_each_are_images(made, tmp_path, monkeypatch):
    """Of the mean logits, as verdicts will be; frames taken for images would claim to know more than they do."""
    table = parquet.read(made / "manifest.parquet")
    valid = (table["split"] == "valid").to_numpy()
    assert sorted(label := table.loc[valid, "label"].tolist()) == [0, 0, 1, 1]
    table.loc[valid, "path"] = [of_frame(f"{of}.mp4", at) for at, of in enumerate(label)]
    own = np.zeros(4)
    own[np.argsort(label, kind="stable")] = (-3, 1, 3, -1)  # one frame of each is wrong
    facts = told(made, tmp_path, table, own, monkeypatch)
    assert facts["temperature"] == pytest.approx(temperature([0, 1], [-1.0, 1.0]), rel=1e-3)
    assert facts["temperature"] < temperature(label, own) / 2
    assert facts["band"]["fake"]["called"] == facts["band"]["real"]["called"] == 1
    assert facts["valid_accuracy"] == facts["int8"]["valid_accuracy"] == 1
    assert Model.open(tmp_path).frames == 1, "training saw one frame of each video"
    sides = table.loc[table["split"] == "train", ["width", "height"]]
    assert Model.open(tmp_path).shortest == sides.min(axis=None) > 0


@pytest.mark.parametrize(("count", "expected"), [(1, {"frame": 0.25}), (3, {"frame": 0.5, "frames": 3})])
def test_a_bundle_says_how_many_frames_of_a_video_training_saw(count, expected):
    paths = [
        "a.png",
        *(of_frame(f"{n}.mp4", at) for n in range(4) for at in range(count)),
        of_frame("short.mp4", 0),
    ]
    train = pd.DataFrame({"source": "a", "path": paths, "frame": [np.nan, *[0.25] * (len(paths) - 1)]})
    frames = samples.load_script("export/export").frames
    assert frames(train) == expected
    assert frames(train.iloc[:1]) == {"frame": 0.5}
    assert frames(pd.concat([train, train.assign(source="b")])) == expected, "other files of the same names"


def test_verdict_and_probability_follow_from_the_logit_and_the_file_s_temperature(made, shipped):
    paths = [made / "pictures" / path for path in parquet.read(made / "fp32" / "mine.parquet")["path"]]
    found = run_example(sys.executable, shipped, *paths)
    temperature = float(runtimes.facts(shipped / "model.onnx")["temperature"])
    assert temperature == export(BRANCH)["temperature"] != 1
    for verdict, chance, logit in found.values():
        assert verdict == ("real" if logit >= 0 else "fake")
        assert chance == pytest.approx(1 / (1 + math.exp(-logit / temperature)), abs=1e-4)


def test_the_example_is_short_and_needs_three_packages():
    tree = ast.parse(EXAMPLE.read_text())
    lines = {node.lineno for node in ast.walk(tree) if isinstance(node, ast.stmt)}
    documented = [node for node in (tree, *tree.body) if isinstance(node, ast.Module | ast.FunctionDef)]
    assert len(lines) - sum(ast.get_docstring(node) is not None for node in documented) <= 65
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert names - sys.stdlib_module_names == NEEDED
    (formats,) = [
        ast.literal_eval(k.value) for k in ast.walk(tree) if isinstance(k, ast.keyword) and k.arg == "formats"
    ]
    assert formats == decoding.FORMATS


WAYS = [
    {},
    {"preprocess": "center_crop"},
    {"preprocess": "random_crop", "resize_to": 47},
    {"resize_to": 40, "recompress": {"format": "JPEG", "quality": [30, 90], "subsampling": "4:4:4"}},
    {"preprocess": "center_crop", "recompress": {"format": "WEBP", "quality": [30, 90]}},
    {"preprocess": "random_crop", "size": SIZE + 11, "centre": SIZE, "recompress": {"format": "WEBP"}},
    {"preprocess": "center_crop", "resize_to": 40, "ela": {"quality": 80}},
    {"size": SIZE + 11, "centre": SIZE, "looks": {"crops": 4, "sizes": [SIZE, SIZE + 11]}},
    {"preprocess": "random_crop", "size": SIZE + 11, "centre": SIZE, "looks": {"crops": 1, "sizes": [SIZE + 4]}},
    {"size": SIZE + 11, "centre": SIZE, "looks": {"crops": 16, "sizes": [SIZE + 9, SIZE + 2]}},
]


def example_pixels():
    """The example's function `pixels`, without what the script does with its arguments."""
    tree = ast.parse(EXAMPLE.read_text())
    kept = [part for part in tree.body if isinstance(part, ast.Import | ast.ImportFrom | ast.FunctionDef)]
    names = {}
    exec(compile(ast.Module(kept, []), EXAMPLE, "exec"), names)
    return names["pixels"]


@pytest.mark.parametrize("settings", WAYS, ids=str)
def test_the_example_makes_the_pixels_of_the_pipeline_whatever_was_set(settings, made):
    how = Preprocessing.of({"size": SIZE, "max_pixels": LIMIT, **settings})
    recorded = json.loads(json.dumps(how.record()))
    for path in sorted((made / "pictures").rglob("*.*")):
        packed = preprocessing.load(path, how)
        expected = windows.middle(packed, SIZE)[None] if how.looks is None else how.looks.cut(packed, SIZE)
        assert np.array_equal(example_pixels()(path, SIZE, recorded), expected), path.name


def test_the_example_stops_at_what_it_does_not_do(made):
    with pytest.raises(SystemExit, match="richest texture, which is beyond this example"):
        example_pixels()(made / "pictures/real/plain.png", SIZE, {"size": SIZE, "preprocess": "texture_crop"})


def test_in_a_clean_environment_a_copy_of_the_bundle_says_the_same(made, shipped, tmp_path):
    """Needs the package index: where that cannot be reached, this fails."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv/bin/python"
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    install += ["--constraint", ROOT / "constraints.txt", "onnxruntime", "numpy", "pillow"]
    subprocess.run(install, check=True)
    for module in ("detector", "torch"):
        assert subprocess.run([python, "-I", "-c", f"import {module}"], capture_output=True).returncode == 1
    picture = shutil.copy(made / "pictures/real/turned.jpg", shipped / "picture.jpg")
    expected = parquet.read(made / "fp32" / "mine.parquet").set_index("path")["logit"]["real/turned.jpg"]
    found = run_example(python, shipped, picture)
    assert found[str(picture)][2] == pytest.approx(expected, abs=PARITY)
    assert found == run_example(sys.executable, shipped, picture)


def test_equal_inputs_make_equal_bytes_and_the_card_is_of_this_variant(made):
    before = sha256(made / "bundle/SHA256SUMS")
    done = complete(made)
    assert done.returncode == 0, done.stdout
    assert sha256(made / "bundle/SHA256SUMS") == before
    written = (made / "bundle/card.md").read_text()
    assert written.startswith(f"# Real or AI-generated? resnet18, {BRANCH}, seed 3\n")
    size = (made / "bundle/model.int8.onnx").stat().st_size
    assert f"| `model.int8.onnx` | int8 | {size / 1e6:.2f} |" in written
    shipped = [onnx.load(made / "bundle" / FILES[name]) for name in EXPORTED if name.startswith("onnx")]
    least = card.least_runtime(max(m.ir_version for m in shipped), max(m.opset_import[0].version for m in shipped))
    assert f'pip install "onnxruntime>={least}"' in written


def test_of_a_variant_that_was_not_measured_nothing_is_left(made, tmp_path):
    folder = shutil.copytree(made, tmp_path / "other")
    for name in ("card.md", "example.py", "SHA256SUMS"):
        (folder / "bundle" / name).unlink()
    pd.read_csv(folder / "deployment.csv").assign(seed=4).to_csv(folder / "deployment.csv", index=False)
    done = complete(folder)
    assert done.returncode == 2
    assert "deployment.csv: found no row of resnet18, seed 3, baseline" in done.stdout
    assert {path.name for path in (folder / "bundle").iterdir()} == {FILES[name] for name in EXPORTED}
