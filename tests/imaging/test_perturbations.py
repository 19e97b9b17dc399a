"""Perturbations do what their names say, the same each time, and the config knows exactly those that there are."""

import jsonschema
import numpy as np
import pytest
import yaml
from PIL import Image

from detector.core.dependencies import library_files
from detector.core.errors import DetectorError
from detector.experiment import branches, config
from detector.imaging import perturbations
from detector.imaging import steps as steps_package
from detector.imaging.perturbations import apply, kind, seed_of, strength, text, value
from tests.support import ROOT

SCHEMA = ROOT / "src/detector/experiment/config.schema.yaml"


@pytest.fixture
def image():
    """Smooth shapes with some grain, 48 pixels a side."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:48, :48]
    colours = [128 + 90 * np.sin(x / 7 + i) * np.cos(y / (5 + i)) for i in range(3)]
    return np.clip(np.stack(colours, -1) + rng.normal(0, 8, (48, 48, 3)), 0, 255).astype(np.uint8)


def damage(image, **step):
    return float(np.abs(apply(image, [step]).astype(int) - image).mean())


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("jpeg", (95, 75, 50, 30, 5)),
        ("webp", (95, 75, 50, 10)),
        ("scale", (0.9, 0.5, 0.25)),
        ("blur", (0.3, 1.0, 3.0)),
        ("noise", (1, 5, 20)),
        ("crop", (0.95, 0.9, 0.6)),
        ("rotate", (2, 10, 30)),
        ("colour", (0.05, 0.2, 0.6)),
    ],
)
def test_stronger_ones_change_more(image, name, values):
    found = [damage(image, **{name: number}) for number in values]
    assert found == sorted(found)
    assert found[0] > 0
    order = [strength(name, number) for number in values]
    assert order == sorted(order)
    changed = apply(image, [{name: values[0]}])
    assert changed.shape == image.shape
    assert changed.dtype == np.uint8


def test_what_does_nothing_does_nothing(image):
    for step in ({"scale": 1.0}, {"crop": 1.0}, {"noise": 1e-6}):
        assert (apply(image, [step]) == image).all(), step


def test_scale_and_blur_take_the_grain_and_leave_the_mean(image):
    for step in ({"scale": 0.5}, {"blur": 1.5}):
        changed = apply(image, [step]).astype(float)
        grain = [np.diff(pixels.astype(float), axis=1).std() for pixels in (image, changed)]
        assert grain[1] < 0.7 * grain[0], step
        assert changed.mean() == pytest.approx(image.mean(), abs=1)


def test_a_crop_is_the_middle_enlarged():
    image = np.zeros((40, 40, 3), np.uint8)
    image[10:30, 10:30] = 200
    assert (apply(image, [{"crop": 0.5}]) == 200).all()


def test_noise_is_as_strong_as_it_says_and_each_image_s_own():
    grey = np.full((64, 64, 3), 128, np.uint8)
    first, again, other = (apply(grey, [{"noise": 6}], seed) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()
    assert (first.astype(int) - 128).std() == pytest.approx(6, rel=0.05)
    twice = apply(grey, [{"noise": 6}, {"noise": 6}], 1).astype(int) - 128
    assert twice.std() == pytest.approx(6 * 2**0.5, rel=0.05), "two steps draw apart"
    assert seed_of("a", "b") != seed_of("a", "c") != seed_of("b", "c")


def test_steps_are_done_in_turn(image):
    steps = [{"scale": 0.5}, {"jpeg": 50}, {"blur": 1.0}]
    by_hand = image
    for step in steps:
        by_hand = apply(by_hand, [step])
    assert (apply(image, steps) == by_hand).all()
    assert (apply(image, steps[::-1]) != by_hand).any()


def test_the_image_itself_stays(image):
    before = image.copy()
    image.flags.writeable = False  # as rows of a packed store are
    numbers = {"jpeg": 50, "webp": 50, "scale": 0.5, "blur": 1.0, "noise": 5, "crop": 0.9}
    numbers |= {"rotate": 9, "colour": 0.2, "quarter_turns": 2}
    assert set(numbers) == set(perturbations.known())
    for name, number in numbers.items():
        changed = apply(image, [{name: number}])
        assert changed.flags.writeable
        assert not np.shares_memory(changed, image)
    assert (image == before).all()


def test_quarter_turns_move_every_pixel_to_where_it_belongs_and_change_none(image):
    turned = {turns: apply(image, [{"quarter_turns": turns}]) for turns in (1, 2, 3)}
    by_hand = {1: Image.Transpose.ROTATE_90, 2: Image.Transpose.ROTATE_180, 3: Image.Transpose.ROTATE_270}
    for turns, found in turned.items():
        assert (found == np.asarray(Image.fromarray(image).transpose(by_hand[turns]))).all(), turns
    assert (apply(turned[1], [{"quarter_turns": 3}]) == image).all()


def test_a_rotation_turns_about_the_middle_either_way_and_leaves_no_corner_empty():
    y, x = np.mgrid[:64, :64] - 31.5
    ring = np.repeat((128 + 60 * np.cos(np.hypot(x, y) / 4))[..., None], 3, -1).astype(np.uint8)
    for degrees in (5, 20, 45):
        turned = apply(ring, [{"rotate": degrees}])
        assert turned.min() > 60, "no black corner"
        assert np.abs(turned.astype(int) - turned[::-1, ::-1]).max() <= 8, "the middle stays the middle"
    slope = np.repeat((128 + 2 * x)[..., None], 3, -1).astype(np.uint8)
    changes = [apply(slope, [{"rotate": 20}], seed)[60, 32, 0] - 128.0 for seed in range(20)]
    assert min(changes) < -10
    assert max(changes) > 10


def test_a_change_of_colour_is_one_of_brightness_contrast_and_saturation(image):
    grey = np.full((8, 8, 3), 100, np.uint8)
    found = {int(apply(grey, [{"colour": 0.2}], seed)[0, 0, 0]) for seed in range(200)}
    assert 80 <= min(found) < 85
    assert 115 < max(found) <= 120
    assert len({apply(image, [{"colour": 0.2}], seed).tobytes() for seed in range(5)}) == 5


@pytest.mark.parametrize("name", perturbations.known())
def test_pictures_of_any_proportions_stay_whole(name):
    """Rows of pixels that are as bright as the row is low stay so, with nothing cut off, stretched or empty."""
    ramp = np.repeat(np.linspace(40, 200, 30)[:, None, None], 80, 1).repeat(3, 2).astype(np.uint8)
    for picture, axis in ((ramp, 0), (ramp.transpose(1, 0, 2).copy(), 1)):
        number = {"jpeg": 90, "webp": 90, "noise": 1, "quarter_turns": 2, "colour": 0.1}.get(name, 0.9)
        found = apply(picture, [{name: number}])
        assert found.shape == picture.shape
        wanted = picture[::-1, ::-1] if name == "quarter_turns" else picture
        ours, theirs = (pixels.astype(float).mean(axis=(1 - axis, 2)) for pixels in (found, wanted))
        assert np.abs(ours - theirs).max() < 35
        assert np.corrcoef(ours, theirs)[0, 1] > 0.99
    assert apply(ramp, [{"quarter_turns": 1}]).shape == (80, 30, 3)


def test_names_and_words():
    assert kind([{"jpeg": 75}]) == "jpeg"
    assert kind([{"jpeg": 75}, {"jpeg": 75}]) == "chain"
    assert value([{"scale": 0.5}]) == 0.5
    assert np.isnan(value([{"scale": 0.5}, {"jpeg": 75}]))
    assert text([{"scale": 0.5}, {"jpeg": 75}]) == "scale 0.5, jpeg 75"


@pytest.mark.parametrize("name", perturbations.known())
def test_every_kind_of_step_keeps_the_contract(name, image):
    step = perturbations.step(name)
    assert step.LABEL
    jsonschema.Draft202012Validator.check_schema(step.BOUNDS)
    assert step.BOUNDS["type"] in ("integer", "number")
    assert isinstance(step.LARGER_IS_STRONGER, bool)
    highest = apply(image, [{name: step.BOUNDS["maximum"]}])
    assert (highest.shape, highest.dtype) == (image.shape, np.uint8)


def test_a_new_kind_of_step_is_a_new_file_and_nothing_else(tmp_path, monkeypatch, image):
    head = "LABEL, BOUNDS, LARGER_IS_STRONGER = 'grey levels', {'type': 'integer', 'minimum': 2}, False\n"
    (tmp_path / "levels.py").write_text(f"{head}def apply(image, n, seed): return image // n * n\n")
    (tmp_path / "half.py").write_text(head)
    monkeypatch.setattr(steps_package, "__path__", [*steps_package.__path__, str(tmp_path)])
    assert (apply(image, [{"levels": 64}]) == image // 64 * 64).all()
    assert perturbations.axis_label("levels") == "grey levels"
    with pytest.raises(DetectorError, match=r"half\.py: a step of perturbations has to define .*found no apply"):
        complete()
    (tmp_path / "half.py").unlink()
    assert complete(robustness={"perturbations": {"x": [{"levels": 2}]}})["robustness"]["perturbations"]["x"]
    with pytest.raises(DetectorError, match=r"x\.0\.levels: found 1, expected at least 2"):
        complete(robustness={"perturbations": {"x": [{"levels": 1}]}})
    with pytest.raises(DetectorError, match="unknown step of perturbations 'other'; expected one of blur, .*lev"):
        apply(image, [{"other": 1}])


def test_a_stage_depends_on_the_steps_that_it_uses():
    table = {"a": [{"jpeg": 50}], "b": [{"scale": 0.5}, {"jpeg": 80}]}
    assert perturbations.modules(table) == ["detector.imaging.steps.jpeg", "detector.imaging.steps.scale"]
    script = ROOT / "workflow/scripts/inference/probe.py"
    reached = {path.stem for path in library_files(script, *perturbations.modules(table))}
    assert {"jpeg", "scale", "pixels", "perturbations"} <= reached
    assert not {"webp", "blur", "noise", "crop"} & reached


def complete(**sections):
    study = yaml.safe_load((ROOT / "config.yaml").read_text())
    for name, section in sections.items():
        table = {**study[name].get("perturbations", {}), **section.get("perturbations", {})}
        study[name] = {**study[name], **section, **({"perturbations": table} if table else {})}
    return config.complete(study, SCHEMA)


def test_which_perturbations_and_branches_are_tried():
    full = complete()
    in_training_alone = {"rotate", "quarter_turns", "colour"}
    tried = {kind(steps) for steps in branches.perturbations(full).values()}
    assert tried == {*perturbations.known(), "chain"} - in_training_alone
    assert branches.perturbed(full) == ["baseline", "l1-00", "l1-10", "l1-20", "l1-30", "l1-40"]
    assert branches.explained(full) == ["baseline", "l1-40"]
    mine = {"perturbations": {"mine": [{"blur": 0.5}, {"jpeg": 80}]}, "use": ["mine"], "branches": ["l1-20"]}
    full = complete(robustness=mine, gradcam={"branches": ["l1-10"]})
    assert branches.perturbations(full) == {"mine": [{"blur": 0.5}, {"jpeg": 80}]}
    assert branches.perturbed(full) == ["baseline", "l1-00", "l1-20"]
    assert branches.explained(full) == ["l1-10"]
    full = complete(robustness={"use": []}, gradcam={"branches": []})
    assert branches.perturbed(full) == branches.explained(full) == []
    full = complete(prune={"methods": {"random": [0.4]}})
    assert branches.explained(full) == ["baseline"]


@pytest.mark.parametrize(
    ("section", "change", "expected"),
    [
        ("robustness", {"use": ["jpeg-7"]}, "robustness.use: no jpeg-7; there are jpeg-95, "),
        ("robustness", {"branches": ["l1-41"]}, "robustness.branches: no l1-41; there are baseline, l1-00"),
        ("gradcam", {"branches": ["l1-41"]}, "gradcam.branches: no l1-41; there are baseline, l1-00"),
        ("robustness", {"perturbations": {"clean": [{"jpeg": 9}]}}, "clean: names of columns; choose others"),
        ("robustness", {"perturbations": {"x": [{"jpg": 9}]}}, "x.0.jpg: unknown key; did you mean 'jpeg'?"),
        ("robustness", {"perturbations": {"x": [{"jpeg": 101}]}}, "x.0.jpeg: found 101"),
        ("robustness", {"perturbations": {"x": [{"scale": 0}]}}, "x.0.scale: found 0, expected more than 0"),
        ("robustness", {"perturbations": {"x": []}}, "perturbations.x: found [], expected at least 1 item"),
        ("robustness", {"perturbations": {"x": [{"jpeg": 9, "blur": 1}]}}, "perturbations.x.0: "),
    ],
)
def test_what_is_wrong_is_named(section, change, expected):
    with pytest.raises(DetectorError) as error:
        complete(**{section: change})
    assert expected in str(error.value)
