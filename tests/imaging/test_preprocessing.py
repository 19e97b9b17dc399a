"""What happens between a decoded file and its pixels is recorded, repeats for the same file wherever it lies, and
does what it is named for: crops keep native pixels, equal resizing and recompression treat all alike."""

import io
import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from detector.core.errors import DetectorError
from detector.core.files import sha256
from detector.imaging import crops, preprocessing
from detector.imaging.decoding import BadImageError
from detector.imaging.preprocessing import ErrorLevels, Preprocessing, Recompression
from tests.support import samples

LIMIT = 1_000_000
CROPS = ("center_crop", "random_crop", "texture_crop")
SETTINGS = [
    {},
    {"face_crop": True, "max_pixels": 77},
    *({"preprocess": way} for way in CROPS),
    {"resize_to": 300, "recompress": {"format": "JPEG", "quality": [30, 40], "subsampling": "4:4:4"}},
    {"recompress": {"format": "WEBP"}},
    {"recompress": {}},
    {"centre": 16},
    {"ela": {}},
    {"ela": {"quality": 75}},
]


def noise(width, height, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def hashed(number):
    return f"{number:064x}"


# --- the record -----------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_the_record_says_all_that_is_needed_to_do_it_again(settings):
    how = Preprocessing.of({"size": 24, **settings})
    assert Preprocessing.of(json.loads(json.dumps(how.record()))) == how
    assert how == Preprocessing.of({"size": 24, "preprocess": "resize", "resize_to": None, **settings})


@pytest.mark.parametrize("way", ["resize", *CROPS])
def test_a_network_sees_the_middle_of_what_is_packed(way, tmp_path):
    noise(90, 70).save(tmp_path / "image.png")
    plain, how = (Preprocessing(40, way, recompress=Recompression(), centre=centre) for centre in (None, 25))
    assert (plain.seen, how.size, how.seen) == (40, 40, 25)
    packed = preprocessing.load(tmp_path / "image.png", how, sha256=hashed(1))
    assert np.array_equal(packed, preprocessing.load(tmp_path / "image.png", plain, sha256=hashed(1)))
    assert np.array_equal(how.apply(noise(90, 70), hashed(1)), packed[7:32, 7:32])


def test_each_setting_is_in_the_record():
    records = {str(Preprocessing.of({"size": 24, **settings}).record()) for settings in SETTINGS}
    assert len(records) == len(SETTINGS)


def test_the_default_is_recorded_as_it_always_was():
    """Old indices, bundles and fingerprints of data stay valid."""
    assert Preprocessing(24).record() == {
        "size": 24,
        "resize": "bilinear-antialias",
        "rgb": "exif-orientation, alpha over white, 16-bit / 257",
        "face_crop": False,
        "max_pixels": 100_000_000,
    }


@pytest.mark.parametrize(
    "settings",
    [
        {"size": 8, "sharpen": 2},
        {"size": 8, "resize": "nearest"},
        {"size": 8, "preprocess": "zoom"},
        {"resize_to": 9},
        {"size": 8, "centre": 8},
        {"size": 8, "recompress": {"format": "GIF"}},
        {"size": 8, "recompress": {"speed": 1}},
    ],
)
def test_what_this_version_does_not_know_is_refused(settings):
    with pytest.raises(DetectorError, match=r"preprocessing: found .*use the\s+version of the project"):
        Preprocessing.of(settings)


# --- draws ----------------------------------------------------------------------------------------


def test_a_draw_depends_on_the_file_alone_and_is_even():
    drawn = [crops.draw(hashed(number), "left", 5) for number in range(5000)]
    assert drawn == [crops.draw(hashed(number), "left", 5) for number in range(5000)]
    assert all(abs(count - 1000) < 130 for count in Counter(drawn).values())  # 4.6 standard deviations
    assert drawn != [crops.draw(hashed(number), "top", 5) for number in range(5000)]


@pytest.mark.parametrize("settings", [{"preprocess": "random_crop"}, {"recompress": {"quality": [10, 90]}}])
def test_the_same_file_gives_the_same_pixels_wherever_it_lies(settings, tmp_path):
    how = Preprocessing.of({"size": 16, **settings})
    samples.write_picture(tmp_path / "real/a.png", 1, (64, 48))
    (tmp_path / "b.png").write_bytes((tmp_path / "real/a.png").read_bytes())
    once = preprocessing.load(tmp_path / "real/a.png", how)
    assert np.array_equal(once, preprocessing.load(tmp_path / "b.png", how))
    assert np.array_equal(once, preprocessing.load(tmp_path / "b.png", how, sha256=sha256(tmp_path / "b.png")))
    with Image.open(tmp_path / "b.png") as image:
        others = {how.apply(image, hashed(number)).tobytes() for number in range(30)}
    assert len(others) > 15
    with pytest.raises(ValueError, match="sha256"):
        how.apply(noise(64, 48))


# --- crops ----------------------------------------------------------------------------------------


def place(window, image):
    """(left, top) where the window's pixels stand in the image, or None."""
    pixels = np.asarray(image)
    side = len(window)
    for top in range(image.height - side + 1):
        for left in range(image.width - side + 1):
            if np.array_equal(pixels[top : top + side, left : left + side], window):
                return left, top
    return None


@pytest.mark.parametrize("way", CROPS)
@pytest.mark.parametrize("shape", [(40, 23), (16, 50), (16, 16)])
def test_crops_keep_native_pixels(way, shape):
    image = noise(*shape)
    window = Preprocessing(16, way).apply(image, hashed(3))
    assert place(window, image) is not None


def test_the_centre_is_the_centre():
    image = noise(41, 20)
    assert place(Preprocessing(16, "center_crop").apply(image), image) == (12, 2)


def test_random_crops_come_from_everywhere():
    image = noise(18, 18)
    boxes = {crops.random(image, 16, hashed(number)) for number in range(200)}
    assert boxes == {(left, top, left + 16, top + 16) for left in range(3) for top in range(3)}


@pytest.mark.parametrize(("left", "top"), [(0, 0), (84, 32), (37, 20), (84, 0)])
def test_the_richest_texture_is_found(left, top):
    pixels = np.full((48, 100, 3), 128, np.uint8)
    pixels[top : top + 16, left : left + 16] = np.asarray(noise(16, 16))
    box = crops.texture(Image.fromarray(pixels), 16)
    assert abs(box[0] - left) <= 4  # a step of the grid is 8 at most
    assert abs(box[1] - top) <= 4
    assert (box[2] - box[0], box[3] - box[1]) == (16, 16)


def test_texture_is_counted_in_four_directions():
    """By hand: right |5-1| + |2-4|, down |4-1| + |2-5|, diagonals |2-1| and |5-4|."""
    assert crops._diversity(np.array([[1, 5], [4, 2]], np.int16)) == 4 + 2 + 3 + 3 + 1 + 1


def test_of_equal_textures_the_first_is_taken():
    assert crops.texture(Image.new("RGB", (50, 50)), 16) == (0, 0, 16, 16)


@pytest.mark.parametrize("way", CROPS)
def test_a_small_image_is_enlarged_so_that_its_shorter_side_fits(way):
    image = noise(10, 8)
    window = Preprocessing(16, way).apply(image, hashed(1))
    squares = [image.crop((left, 0, left + 8, 8)) for left in range(3)]
    assert any(np.array_equal(window, preprocessing.resize(square, 16)) for square in squares)


# --- equal resizing -------------------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "expected"), [((60, 40), (30, 20)), ((10, 25), (20, 50)), ((33, 33), (20, 20))])
def test_the_shorter_side_gets_the_same_length(shape, expected):
    image = noise(*shape)
    window = Preprocessing(20, "center_crop", resize_to=20).apply(image)
    scaled = image.resize(expected, Image.Resampling.BILINEAR)
    assert place(window, scaled) is not None


def test_a_line_of_pixels_does_not_become_a_huge_picture():
    with pytest.raises(BadImageError, match=r"20 x 20000 pixels are more than data\.max_pixels"):
        Preprocessing(20, "center_crop", resize_to=20, max_pixels=100_000).apply(Image.new("RGB", (1, 1000)))


# --- equal recompression --------------------------------------------------------------------------


@pytest.mark.parametrize(("form", "options"), [("JPEG", {"subsampling": "4:2:2"}), ("WEBP", {})])
def test_recompression_is_what_a_file_of_that_quality_would_hold(form, options):
    image = noise(16, 16).resize((32, 32))
    how = Preprocessing(32, recompress=Recompression(form, (40, 40), options.get("subsampling", "4:2:0")))
    file = io.BytesIO()
    image.save(file, form, quality=40, **options)
    with Image.open(file) as expected:
        assert np.array_equal(how.apply(image, hashed(1)), np.asarray(expected.convert("RGB")))


def test_every_quality_of_the_range_is_drawn_and_no_other(monkeypatch):
    qualities = Counter()
    save = Image.Image.save

    def counting(self, file, form, quality, **more):
        qualities[quality] += 1
        save(self, file, form, quality=quality, **more)

    monkeypatch.setattr(Image.Image, "save", counting)
    how = Preprocessing(8, recompress=Recompression(quality=(60, 63)))
    for number in range(400):
        how.apply(noise(8, 8), hashed(number))
    assert set(qualities) == {60, 61, 62, 63}
    assert min(qualities.values()) > 60


# --- error levels ---------------------------------------------------------------------------------


def test_error_levels_are_what_jpeg_changes_scaled_to_the_largest():
    """On the file's own pixels: an image that was compressed alike before has blocks that stay as they are."""
    image = noise(64, 48)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90, subsampling="4:2:0")
    with Image.open(file) as opened:
        again = np.asarray(opened.convert("RGB")).astype(int)
    difference = np.abs(np.asarray(image).astype(int) - again)
    found = np.asarray(ErrorLevels(90).apply(image))
    assert found.max() == 255
    np.testing.assert_array_equal(found, np.round(255 * difference / difference.max()))
    grey = Image.new("RGB", (20, 30), (128, 128, 128))
    assert not np.asarray(ErrorLevels(90).apply(grey)).any()


@pytest.mark.parametrize("way", ["resize", *CROPS])
def test_error_levels_are_of_the_whole_file_cut_where_the_image_is(way):
    image = noise(90, 70)
    settings = {"size": 40, "preprocess": way, "resize_to": 60}
    plain, how = (Preprocessing.of({**settings, **more}) for more in ({}, {"ela": {"quality": 90}}))
    found = how.apply(image, hashed(1))
    at = plain._window(plain._scaled(image, 60), hashed(1))
    levels = how._scaled(ErrorLevels(90).apply(image), 60)
    assert np.array_equal(found, preprocessing.resize(levels.crop(at) if at else levels, 40))
    assert not np.array_equal(found, plain.apply(image, hashed(1)))
    after = np.asarray(ErrorLevels(90).apply(Image.fromarray(plain.apply(image, hashed(1)))))
    assert not np.array_equal(found, after), "not of what is left after the resize"


def test_an_image_that_no_jpeg_can_hold_is_bad():
    with pytest.raises(BadImageError, match="70000 x 1 pixels: a side is longer than the 65500"):
        Preprocessing.of({"size": 8, "ela": {}}).apply(Image.new("RGB", (70_000, 1)))


def test_an_unknown_setting_of_error_levels_is_refused():
    with pytest.raises(DetectorError, match="'ela': {'scale': 3}"):
        Preprocessing.of({"size": 8, "ela": {"scale": 3}})
