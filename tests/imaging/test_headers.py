"""A header tells how an image was made, without decoding it: quantisation, subsampling, EXIF, mode."""

import math

import pytest
from PIL import Image, JpegImagePlugin

from detector.imaging import headers
from tests.support import samples

LIMIT = 10_000


@pytest.mark.parametrize("subsampling", list(headers.SUBSAMPLING))
def test_the_quality_and_subsampling_of_a_jpeg_are_those_it_was_saved_with(tmp_path, subsampling):
    path = tmp_path / "x.jpg"
    for quality in (1, 10, 49, 50, 51, 75, 85, 95, 99, 100):
        samples.write_picture(path, quality=quality, subsampling=subsampling)
        header = headers.read(path, LIMIT, video=False)
        assert (header.error, header.quality) == ("", quality)
        assert header.subsampling == headers.SUBSAMPLING[subsampling]
        with Image.open(path) as image:
            assert header.quantisation == sum(image.quantization[0]) / 64
            assert JpegImagePlugin.get_sampling(image) == subsampling


def test_each_quality_has_a_table_of_its_own():
    assert len(headers.LUMA) == 64
    assert sorted(set(headers._means()), reverse=True) == list(headers._means())


@pytest.mark.parametrize(
    ("suffix", "mode", "subsampling", "quality"),
    [(".jpg", "L", "", 75), (".jpg", "CMYK", "other", 75), (".png", "RGBA", "", 0), (".webp", "RGB", "", 0)],
)
def test_what_a_file_does_not_have_is_empty(tmp_path, suffix, mode, subsampling, quality):
    path = tmp_path / f"x{suffix}"
    samples.write_picture(path, mode=mode)
    header = headers.read(path, LIMIT, video=False)
    assert (header.error, header.mode, header.subsampling, header.quality) == ("", mode, subsampling, quality)
    assert math.isnan(header.quantisation) == (quality == 0)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_exif_is_seen(tmp_path, suffix):
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    for name, more in (("with", {"exif": exif}), ("without", {})):
        samples.write_picture(tmp_path / f"{name}{suffix}", **more)
        assert headers.read(tmp_path / f"{name}{suffix}", LIMIT, video=False).exif == (name == "with")


def test_a_damaged_table_is_no_crash(tmp_path):
    """A JPEG that ends after its size, before any table."""
    path = tmp_path / "x.jpg"
    samples.write_picture(path)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"\xff\xdb", b"\xff\xe5"))
    header = headers.read(path, LIMIT, video=False)
    assert (header.width, header.quality, header.error) == (16, 0, "")
    assert math.isnan(header.quantisation)
