"""A bundle's answer equals the pipeline's for the same file: same pixels, same logit, same verdict, for every kind
of file and preprocessing. Where it is not sure it says so, and a bad file stops nothing."""

import dataclasses
import math
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from detector.core import parquet
from detector.core.errors import DetectorError
from detector.core.files import sha256
from detector.data import manifest, packing, scanning
from detector.experiment.formats import FILES
from detector.export import onnx_model, quantization, runtimes
from detector.export.onnx_model import FromBytes
from detector.imaging import decoding, looks, preprocessing, windows
from detector.imaging.looks import Looks
from detector.imaging.preprocessing import Preprocessing
from detector.models import devices, inference
from detector.models.dataset import Images
from detector.predict import bundles, explanation, verdicts
from detector.predict import model as model_module
from detector.predict.model import AHEAD, Model
from detector.predict.verdicts import Answer, Band
from tests.export.test_card import BAND
from tests.export.test_onnx_model import trained
from tests.imaging.test_decoding import ODD_EXIF
from tests.support import samples
from tests.workflow.test_bundle import write_pictures

SIZE, LIMIT = 64, 1_000_000
WAYS = {
    "plain": Preprocessing(SIZE, max_pixels=LIMIT),
    "drawn": Preprocessing(
        SIZE,
        "random_crop",
        resize_to=80,
        recompress=preprocessing.Recompression(quality=(40, 90)),
        max_pixels=LIMIT,
    ),
    "middle of error levels": Preprocessing(
        75, "random_crop", max_pixels=LIMIT, centre=SIZE, ela=preprocessing.ErrorLevels()
    ),
    "looks": Preprocessing(
        80, "random_crop", resize_to=90, max_pixels=LIMIT, centre=SIZE, looks=Looks(4, (SIZE, 80))
    ),
}
NEVER = Band(-math.inf, math.inf, math.nan, 0.01)
ALWAYS = Band(0.0, 0.0, 0.001, 0.01)


def facts(how: Preprocessing, **more: object) -> dict:
    return {
        **{"arch": "resnet18", "branch": "l1-40", "seed": 3, "precision": "fp32", "image_size": how.seen},
        **{"temperature": 1.25, "preprocessing": {"mine": how.record()}, "band": BAND, "frame": 0.25},
        **more,
    }


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """One with random weights, and its ONNX file, which says nothing of pixels yet."""
    path = tmp_path_factory.mktemp("network") / "model.onnx"
    onnx_model.save_onnx(path, trained(), SIZE, {})
    return trained(), path


@pytest.fixture(scope="module", params=WAYS)
def made(request, network, tmp_path_factory) -> Path:
    """A folder with pictures/, what the pipeline makes of them, in fp32 and int8, and a bundle."""
    folder, how = tmp_path_factory.mktemp("made"), WAYS[request.param]
    write_pictures(folder / "pictures")
    options = {"type": "folder", "split": "auto"}
    scan = scanning.scan_source("mine", "folder", folder / "pictures", options, max_pixels=LIMIT)
    packed = [folder / "pack" / name for name in ("images.npy", "images.json", "bad.csv")]
    of_packing = dataclasses.replace(how, looks=None)  # as the pipeline packs, whatever is seen of it later
    packing.pack(scan, folder / "pictures", of_packing, *packed, folder / "state", workers=1, max_bad=0, meta={})
    table = manifest.build({"mine": scan}, {"mine": set()}, {"mine": options}, (0.4, 0.3, 0.3), seed=0)
    parquet.write(table, folder / "manifest.parquet")
    opened = Images.open(folder / "manifest.parquet", [folder / "pack"])
    batches = opened.batches(opened.table, torch.device("cpu")).looking(how.looks)
    pixels = batches.gather(np.arange(len(batches)))
    paths = {name: folder / "bundle" / FILES[f"onnx-{name}"] for name in ("fp32", "int8")}
    exported = onnx_model.onnx.load(network[1])
    onnx_model.set_facts(exported, facts(how))
    onnx_model.write(paths["fp32"], exported)
    quantization.save_int8(paths["int8"], paths["fp32"], pixels, lambda path: 1.0, wanted=0.0)
    logits = {
        "fp32": inference.logits(network[0], batches, devices.plan("cpu", "fp32", 1, SIZE)),
        "int8": looks.mean(runtimes.load(paths["int8"], "onnxruntime", 1)(pixels), batches.looks),
    }
    for name, found in logits.items():
        parquet.write(inference.predictions(opened.table, found), folder / f"{name}.parquet")
    return folder


@pytest.mark.parametrize(("precision", "most"), [("fp32", 1e-4), ("int8", 1e-3)])
@pytest.mark.parametrize("fast", [True, False])
def test_the_answers_are_those_of_the_pipeline(precision, most, fast, made):
    expected = parquet.read(made / f"{precision}.parquet")
    assert len(expected) == 13
    paths = [made / "pictures" / path for path in expected["path"]]
    model = dataclasses.replace(Model.open(made / "bundle" / FILES[f"onnx-{precision}"]), band=None)
    answers = list(model.judge_many(paths, batch=4, fast=fast))
    assert [answer.name for answer in answers] == [str(path) for path in paths]
    logits = np.array([answer.logit for answer in answers])
    assert np.abs(logits - expected["logit"]).max() <= most
    assert len(np.unique(logits.round(3))) > 8, "pictures that are all the same prove nothing"
    for answer, logit in zip(answers, expected["logit"], strict=True):
        assert answer.verdict in ("real" if logit >= 0 else "fake", "unsure" if not fast else "")
        assert answer.probability_fake == pytest.approx(1 / (1 + math.exp(logit / 1.25)), abs=1e-3)
        assert answer.error == ""


def test_an_image_that_is_enlarged_as_none_was_in_training_is_unsure(made, tmp_path):
    model = dataclasses.replace(Model.open(made / "bundle"), band=None, shortest=40)
    for side, unsure in ((1, True), (39, True), (40, False), (200, False)):
        samples.write_picture(tmp_path / f"{side}.png", 1, (2 * side, side))
        answer = model.judge(tmp_path / f"{side}.png", fast=True)
        assert (answer.verdict == "unsure") == unsure, side
        said = f"its {2 * side} × {side} pixels are enlarged to {model.preprocessing.size}"
        assert (said in answer.why) == unsure
    large = dataclasses.replace(model, shortest=1000)
    edge = large.preprocessing.size
    for side, unsure in ((edge - 1, True), (edge, False)):
        samples.write_picture(tmp_path / f"{side}.png", 1, (2 * side, side))
        assert (large.judge(tmp_path / f"{side}.png", fast=True).verdict == "unsure") == unsure, "enlarged or not"
    unknown = dataclasses.replace(model, shortest=0)
    assert unknown.judge(tmp_path / "1.png", fast=True).verdict != "unsure"


def test_the_bytes_of_a_file_are_judged_like_the_file(made):
    model = Model.open(made / "bundle")
    for path in sorted((made / "pictures").rglob("*.png")):
        by_bytes = model.judge(path.read_bytes(), name="upload")
        assert by_bytes.name == "upload"
        assert dataclasses.replace(by_bytes, name=str(path)) == model.judge(path)


def test_a_video_is_judged_by_the_frame_that_training_saw(made):
    samples.write_video(made / "video.mp4", frames=9)
    model = Model.open(made / "bundle")
    how = model.preprocessing
    packed = preprocessing.load(made / "video.mp4", how, frame=0.25, sha256=sha256(made / "video.mp4"))
    expected = windows.middle(packed, SIZE)
    np.testing.assert_array_equal(model.pixels(made / "video.mp4"), expected)
    assert model.judge(made / "video.mp4").verdict is not None
    views = expected[None] if how.looks is None else how.looks.cut(packed, SIZE)
    assert model.judge(made / "video.mp4").logit == pytest.approx(float(model.logits(views).mean()), abs=1e-5)


def test_a_video_of_which_training_saw_several_frames_is_judged_by_the_mean_of_those(made):
    """Those that the pipeline packs: the same pixels, in the same way, and a map of the one in the middle."""
    path = made / "longer.mp4"
    samples.write_video(path, frames=24)
    model = Model.open(made / "bundle", frames=3)
    how = dataclasses.replace(model.preprocessing, looks=None)
    packed = [preprocessing.load(path, how, frame=n / 23, sha256=sha256(path)) for n in (4, 12, 20)]
    middles = np.stack([windows.middle(pixels, SIZE) for pixels in packed])
    some = model.preprocessing.looks
    seen = middles if some is None else np.concatenate([some.cut(pixels, SIZE) for pixels in packed])
    answer = model.judge(path)
    assert answer.frames == 3
    assert answer.logit == pytest.approx(float(model.logits(seen).mean()), abs=1e-5)
    np.testing.assert_array_equal(model.pixels(path), middles[1])
    expected = explanation.overlay(model, middles[1], answer.logit)
    np.testing.assert_array_equal(model.judge(path, explain=True).map, expected)


def test_what_is_odd_about_a_file_is_so_to_training_and_to_a_bundle(made):
    """One way from a file to pixels: the same ones, or the same error."""
    folder, model = made / "odd", Model.open(made / "bundle")
    folder.mkdir(exist_ok=True)
    picture = Image.linear_gradient("L").resize((90, 70)).convert("RGB")
    for odd, (exif, _) in ODD_EXIF.items():
        for suffix in ("jpg", "png"):
            picture.save(folder / f"{odd}.{suffix}", exif=b"Exif\0\0" + exif)
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.convert("LA").save(folder / "turned.png", exif=exif)
    picture.save(folder / "turned.tif", exif=exif)
    picture.save(folder / "profile.png", icc_profile=bytes(3_000_000))
    picture.convert("F").save(folder / "floats.tif")
    (folder / "text.png").write_text("no picture")
    for path in sorted(folder.iterdir()):
        if path.name in ("floats.tif", "text.png"):
            with pytest.raises(Exception, match=r"mode 'F'|no image that can be read") as caught:
                preprocessing.load(path, model.preprocessing, sha256=sha256(path))
            assert model.judge(path).error == decoding.reason(caught.value, path)
        else:
            packed = preprocessing.load(path, model.preprocessing, sha256=sha256(path))
            expected = windows.middle(packed, SIZE)
            np.testing.assert_array_equal(model.pixels(path), expected, err_msg=str(path))
            np.testing.assert_array_equal(model.pixels(("upload", path.read_bytes())), expected)


def test_the_map_is_grad_cam_by_automatic_differentiation(made, network):
    model = Model.open(made / "bundle")
    path = made / "pictures/real/plain.png"
    whole, kept = FromBytes(network[0], SIZE).eval(), []

    def keep(module, inputs, output):
        output.retain_grad()
        kept.append(output)

    hook = network[0].layer4.register_forward_hook(keep)
    logit = whole(torch.from_numpy(model.pixels(path)[None]))
    (logit if logit >= 0 else -logit).sum().backward()
    hook.remove()
    weights = kept[0].grad.mean((2, 3), keepdim=True)
    expected = torch.relu((weights * kept[0]).sum(1))[0].detach().numpy()
    assert expected.max() > 0
    np.testing.assert_allclose(
        explanation.heat_map(model, model.pixels(path)), expected / expected.max(), atol=1e-4
    )
    rounded = Model.open(made / "bundle", file=FILES["onnx-int8"])
    assert np.abs(explanation.heat_map(rounded, model.pixels(path)) - expected / expected.max()).max() < 0.5
    shown = model.judge(path, explain=True).map
    assert shown.dtype == np.uint8
    assert shown.shape == (256, 256, 3)


def brightness(folder: Path, size: int = 8, **more: object) -> Path:
    """A bundle whose logit is an image's mean brightness, from -10 (black) to 10 (white)."""
    helper, kind = onnx_model.helper, onnx_model.onnx.TensorProto
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=kind.FLOAT),
        helper.make_node("ReduceMean", ["float", "axes"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "scale"], ["scaled"]),
        helper.make_node("Sub", ["scaled", "ten"], ["logit"]),
    ]
    constants = [
        helper.make_tensor("axes", kind.INT64, [3], [1, 2, 3]),
        helper.make_tensor("scale", kind.FLOAT, [], [20 / 255]),
        helper.make_tensor("ten", kind.FLOAT, [], [10]),
    ]
    shapes = [("image", kind.UINT8, ["n", size, size, 3]), ("logit", kind.FLOAT, ["n"])]
    ends = [[helper.make_tensor_value_info(*shape)] for shape in shapes]
    model = helper.make_model(
        helper.make_graph(nodes, "brightness", *ends, constants),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )
    onnx_model.set_facts(model, facts(Preprocessing(size, max_pixels=LIMIT), **more))
    onnx_model.write(folder / FILES["onnx-fp32"], model)
    (folder / "card.md").write_text("# A card\n")
    lines = [f"{sha256(folder / name)}  {name}\n" for name in ("card.md", FILES["onnx-fp32"])]
    (folder / bundles.SUMS).write_text("".join(lines))
    return folder


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    found = {**BAND, "real": {**BAND["fake"], "cut": 4.0, "bound": 0.02}}
    return brightness(tmp_path_factory.mktemp("brightness") / "bundle", band=found)


@pytest.fixture(scope="module")
def model(bundle) -> Model:
    return Model.open(bundle)


def grey(folder: Path, level: int, side: int = 20) -> Path:
    """A picture whose logit is level · 20 / 255 - 10."""
    path = folder / f"{level:03d}.png"
    folder.mkdir(exist_ok=True)
    Image.new("L", (side, side), level).save(path)
    return path


def test_between_the_cuts_it_is_unsure_and_says_which_way_it_leans(model, tmp_path):
    """Cuts at -2.5 and 4."""
    for level, verdict, why in (
        *((0, "fake", ""), (95, "fake", ""), (97, "unsure", "too close a call; rather fake")),
        *((128, "unsure", "too close a call; rather real"), (178, "unsure", "too close a call; rather real")),
        *((179, "real", ""), (255, "real", "")),
    ):
        found = model.judge(grey(tmp_path, level))
        assert (found.verdict, found.why) == (verdict, why), level
        assert found.logit == pytest.approx(level * 20 / 255 - 10, abs=1e-5)
    assert model.band == Band(-2.5, 4.0, 0.02, 0.01)
    assert not model.band.reached, "the worse of both verdicts counts"
    assert "up to 2.0% can be called wrongly; 1.0% was asked for" in model.caveats[0]


@pytest.mark.parametrize(("band", "verdict"), [(NEVER, "unsure"), (ALWAYS, "fake"), (None, "fake")])
def test_it_is_as_sure_as_its_band(band, verdict, model, tmp_path):
    asked = dataclasses.replace(model, band=band)
    assert asked.judge(grey(tmp_path, 120)).verdict == verdict
    assert len(asked.caveats) == (band is not ALWAYS)


def test_a_side_that_is_never_sure_has_no_cut():
    assert Band.of(BAND) == Band(-2.5, math.inf, 0.0091, 0.01)
    nothing = {"cut": None, "bound": None}
    assert Band.of({"wanted": 0.01, "fake": nothing, "real": nothing}).fake == -math.inf


def test_a_verdict_that_a_mild_change_turns_is_unsure_and_fast_does_not_look(model, tmp_path, monkeypatch):
    monkeypatch.setattr(verdicts, "CHANGES", {"left alone": lambda image: image, "inverted": ImageOps.invert})
    path = grey(tmp_path, 250)
    found = model.judge(path)
    assert (found.verdict, found.why) == ("unsure", "real, but not once it is inverted")
    assert found.logit == pytest.approx(250 * 20 / 255 - 10, abs=1e-5), "the logit is that of the image itself"
    assert model.judge(path, fast=True).verdict == "real"


def test_the_changes_are_mild():
    pixels = np.random.default_rng(0).integers(100, 140, (50, 80, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    smaller, again = (change(image) for change in verdicts.CHANGES.values())
    assert smaller.size == (72, 45)
    assert again.size == image.size
    for changed in (smaller, again):
        assert changed.mode == "RGB"
        assert np.asarray(changed).tobytes() != pixels.tobytes()
        assert abs(np.asarray(changed, float).mean() - pixels.mean()) < 1
    assert [change(Image.new("RGB", (1, 1))).size for change in verdicts.CHANGES.values()] == [(1, 1)] * 2


def test_a_comment_too_long_for_jpeg_is_no_fault_of_the_image(model, tmp_path):
    notes = PngInfo()
    notes.add_text("comment", "x" * 70_000)
    Image.new("L", (20, 20), 0).save(tmp_path / "a.png", pnginfo=notes)
    found = model.judge(tmp_path / "a.png")
    assert (found.verdict, found.error) == ("fake", "")


def test_a_bad_file_has_its_reason_and_the_others_their_answers(model, tmp_path):
    good = grey(tmp_path, 255)
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:40])
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "no.mp4").write_text("no video")
    Image.new("1", (1500, 1000)).save(tmp_path / "huge.png")
    (tmp_path / "folder.png").mkdir()
    names = ["text.png", "cut.png", "empty.jpg", "no.mp4", "huge.png", "folder.png", "gone.png"]
    paths = [path for name in names for path in (tmp_path / name, good)]
    answers = list(model.judge_many(paths, batch=3))
    assert [answer.verdict for answer in answers] == [None, "real"] * len(names)
    errors = [answer.error for answer in answers[::2]]
    for error, words in zip(
        errors,
        (
            "no image that",
            "",
            "no image that",
            "no video that",
            "1500 x 1000",
            "a folder, not a file",
            "no such file",
        ),
        strict=True,
    ):
        assert error
        assert words in error
        assert str(tmp_path) not in error
    assert answers[0] == Answer(str(tmp_path / "text.png"), None, None, None, error=errors[0])


def test_the_order_is_kept_and_no_more_than_a_few_are_taken_ahead(model, tmp_path, monkeypatch):
    """The first image decodes last; 2,000 more wait outside until they are needed."""
    path, taken, ahead = grey(tmp_path, 255), [], []
    late, release = tmp_path / "late.png", threading.Event()
    shutil.copy(path, late)
    real = Model._images

    def slow(self, item):
        if item == late:
            release.wait(10)
        yield from real(self, item)

    monkeypatch.setattr(Model, "_images", slow)

    def items():
        for number in range(2000):
            taken.append(number)
            if len(taken) > 5:
                release.set()
            yield late if number == 0 else path

    asked = dataclasses.replace(model, threads=2)
    for number, answer in enumerate(asked.judge_many(items(), batch=8, fast=True)):
        ahead.append(len(taken) - number)
        assert answer.name == str(late if number == 0 else path)
    assert len(ahead) == 2000
    assert max(ahead) <= 2 * (8 + AHEAD * 2)


def test_memory_does_not_grow_with_the_number_of_images(bundle, tmp_path):
    """150 images of 4 MB each, decoded: a process that kept them would need 600 MB more than for 15."""
    Image.new("RGB", (1200, 1150)).save(tmp_path / "large.png", compress_level=1)
    program = (
        "import resource, sys\nfrom detector.predict.model import Model\n"
        "model = Model.open(sys.argv[1], threads=2)\n"
        "import dataclasses\n"
        "how = dataclasses.replace(model.preprocessing, max_pixels=10_000_000)\n"
        "model = dataclasses.replace(model, preprocessing=how)\n"
        "answers = list(model.judge_many([sys.argv[2]] * int(sys.argv[3]), fast=True))\n"
        "assert {answer.verdict for answer in answers} == {'fake'}, answers[0]\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)\n"
    )
    few, many = (
        int(subprocess.check_output([sys.executable, "-c", program, bundle, tmp_path / "large.png", str(count)]))
        for count in (15, 150)
    )
    assert many < few + 100, (few, many)


def test_a_bundle_that_was_changed_is_refused(bundle, tmp_path):
    shutil.copytree(bundle, tmp_path / "b")
    content = bytearray((tmp_path / "b/model.onnx").read_bytes())
    content[-3] ^= 1
    (tmp_path / "b/model.onnx").write_bytes(content)
    with pytest.raises(DetectorError, match=r"model\.onnx: found SHA-256 .* expected .* damaged or was changed"):
        Model.open(tmp_path / "b")


@pytest.mark.parametrize("sums", [b"", b"\x87\xff", b"0" * 64 + b"  card.md\n"])
def test_a_file_of_which_the_bundle_has_no_checksum_is_refused(bundle, tmp_path, sums):
    shutil.copytree(bundle, tmp_path / "b")
    (tmp_path / "b" / bundles.SUMS).write_bytes(sums)
    with pytest.raises(
        DetectorError, match=r"SHA256SUMS: found no checksum of model\.onnx in it; copy the bundle"
    ):
        Model.open(tmp_path / "b")


def test_a_folder_without_checksums_is_judged_by_with_a_warning_and_a_file_without_one(bundle, tmp_path, caplog):
    shutil.copytree(bundle, tmp_path / "b")
    (tmp_path / "b" / bundles.SUMS).unlink()
    Model.open(tmp_path / "b/model.onnx")
    assert not caplog.records
    Model.open(tmp_path / "b")
    assert "found no SHA256SUMS in it" in caplog.text


def test_a_bundle_in_a_folder_whose_name_is_no_text_is_refused_for_that(bundle, tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    shutil.copytree(bundle, folder)
    with pytest.raises(DetectorError, match="model.onnx: its path is not UTF-8, .*rename the folder"):
        Model.open(folder)


def test_what_is_no_bundle_is_refused_with_what_to_do(bundle, tmp_path):
    with pytest.raises(DetectorError, match=r"model\.onnx: found no such file, expected a bundle"):
        Model.open(tmp_path)
    (tmp_path / "bundle").mkdir()
    with pytest.raises(DetectorError, match=f"did you mean {tmp_path}/bundle"):
        Model.open(tmp_path)
    (tmp_path / "model.onnx").write_text("no model")
    with pytest.raises(DetectorError, match="not a model that ONNX Runtime can load"):
        Model.open(tmp_path)
    model = onnx_model.onnx.load(bundle / "model.onnx")
    del model.metadata_props[:]
    onnx_model.write(tmp_path / "model.onnx", model)
    with pytest.raises(DetectorError, match=r"no usable 'arch' in its metadata"):
        Model.open(tmp_path)


def test_a_bundle_from_before_there_was_a_band_says_so(bundle, tmp_path):
    model = onnx_model.onnx.load(bundle / "model.onnx")
    kept = [entry for entry in model.metadata_props if entry.key not in ("band", "frame")]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    onnx_model.write(tmp_path / "model.onnx", model)
    found = Model.open(tmp_path)
    assert (found.band, found.frame, found.card) == (None, 0.5, "")
    assert "says nothing about when it is sure" in found.caveats[0]
    assert Model.open(bundle).card == "# A card\n"


def test_where_sources_were_made_into_pixels_differently_one_has_to_be_named(tmp_path):
    ways = {
        "whole": Preprocessing(8, max_pixels=LIMIT).record(),
        "cut": Preprocessing(8, "center_crop", max_pixels=LIMIT).record(),
    }
    brightness(tmp_path, preprocessing=ways)
    with pytest.raises(DetectorError, match="--source cut or whole"):
        Model.open(tmp_path)
    with pytest.raises(DetectorError, match="found odd, expected one of cut, whole"):
        Model.open(tmp_path, source="odd")
    Image.fromarray(np.pad(np.full((8, 8, 3), 255, np.uint8), ((8, 8), (8, 8), (0, 0)))).save(tmp_path / "a.png")
    assert Model.open(tmp_path, source="cut").judge(tmp_path / "a.png", fast=True).logit == pytest.approx(10)
    assert Model.open(tmp_path, source="whole").judge(tmp_path / "a.png", fast=True).logit < 0


@pytest.mark.parametrize("some", [None, Looks(4, (8,))], ids=["one look", "four looks"])
def test_frames_of_a_video_have_one_verdict_which_says_how_many_they_were(tmp_path, some):
    """Frame number i has the grey value 8 i. Images beside it are what they were."""
    how = Preprocessing(24, max_pixels=LIMIT, centre=8, looks=some)
    folder = brightness(tmp_path / "bundle", preprocessing={"mine": how.record()}, frames=4)
    samples.write_video(tmp_path / "long.mp4", frames=24)
    samples.write_video(tmp_path / "short.mp4", frames=2)
    model = Model.open(folder)
    several = [tmp_path / "long.mp4", grey(tmp_path, 200), tmp_path / "none.png", tmp_path / "short.mp4"]
    levels = [8 * np.mean([3, 9, 15, 21]), 200, None, 4]
    for batch in (1, 3, 16):
        answers = list(model.judge_many(several, batch=batch, fast=batch == 3))
        assert [answer.frames for answer in answers] == [4, None, None, 2]
        assert [answer.error for answer in answers] == ["", "", "no such file", ""]
        for answer, level in zip(answers, levels, strict=True):
            assert level is None or answer.logit == pytest.approx(level / 255 * 20 - 10, abs=0.2)
    assert not any("frames" in caveat for caveat in model.caveats)
    one = Model.open(folder, frames=1)
    assert re.search("videos are judged by 1 frame, .* fitted to 4", one.caveats[0])
    assert one.caveats[1:] == model.caveats
    answer = one.judge(tmp_path / "long.mp4")
    assert (answer.frames, answer.logit) == (None, pytest.approx(8 * 6 / 255 * 20 - 10, abs=0.2)), "frame: 0.25"
    cut = (tmp_path / "long.mp4").read_bytes()
    (tmp_path / "broken.mp4").write_bytes(cut[:40])
    assert model.judge(tmp_path / "broken.mp4").error


def test_several_looks_have_one_verdict_and_its_reasons(tmp_path):
    """Black but for the left edge: the middle alone would be called fake, and sure. What turns is a mean, too."""
    how = Preprocessing(24, max_pixels=LIMIT, centre=8, looks=Looks(4, (8,)))
    pixels = np.zeros((24, 24, 3), np.uint8)
    pixels[:, :8] = 255
    Image.fromarray(pixels).save(tmp_path / "half.png")
    model = Model.open(brightness(tmp_path, preprocessing={"mine": how.record()}))
    assert model.looks == 4
    assert model.judge(tmp_path / "half.png", fast=True).logit == pytest.approx(0, abs=1e-5)
    several = [tmp_path / "half.png", tmp_path / "none.png", grey(tmp_path, 255), grey(tmp_path, 0)]
    for batch in (1, 3, 16):
        answers = list(model.judge_many(several, batch=batch, fast=batch == 3))
        assert [answer.error for answer in answers] == ["", "no such file", "", ""]
        assert [round(answer.logit) for answer in answers if not answer.error] == [0, 10, -10]
    middle = dataclasses.replace(model, preprocessing=dataclasses.replace(how, looks=None))
    assert middle.looks == 1
    assert middle.judge(tmp_path / "half.png", fast=True).logit == pytest.approx(-10, abs=1e-5)


def test_an_explanation_is_of_the_verdict_of_all_looks(made, monkeypatch):
    model, asked = Model.open(made / "bundle"), []
    monkeypatch.setattr(explanation, "heat_map", lambda *found: asked.append(found) or np.ones((2, 2)))
    path = made / "pictures/real/plain.png"
    (answer,) = model.judge_many([path], explain=True)
    ((_, pixels, logit),) = asked
    np.testing.assert_array_equal(pixels, model.pixels(path))
    assert logit == answer.logit == pytest.approx(model.judge(path, fast=True).logit, abs=1e-5)
    assert model.judge(path).map is None


def test_a_video_is_decoded_once_for_its_verdict_and_what_explains_it(made, monkeypatch):
    path, asked, decode = made / "once.mp4", [], model_module.video_frames
    samples.write_video(path, frames=24)
    monkeypatch.setattr(
        model_module, "video_frames", lambda *how, **more: asked.append(how) or decode(*how, **more)
    )
    (answer,) = Model.open(made / "bundle", frames=3).judge_many([path], explain=True)
    assert answer.frames == 3
    assert answer.map is not None
    assert len(asked) == 1


def test_a_map_of_one_place_is_refused(model, monkeypatch):
    monkeypatch.setattr(explanation, "heat_map", lambda *_: np.ones((1, 1)))
    with pytest.raises(DetectorError, match="at 8 pixels its last block has one position"):
        explanation.check(model)


def test_a_network_without_a_last_average_has_no_map(bundle):
    with pytest.raises(DetectorError, match="found 1 averages and 0 linear layers"):
        explanation.check(Model.open(bundle))
