"""A video's logit is the mean of those of its frames, whatever is around it; without videos a table is itself."""

import numpy as np
import pandas as pd
import pytest

from detector.core import parquet
from detector.core.errors import DetectorError
from detector.data.records import of_frame
from detector.stats.predictions import by_video, load, read, require_numbers


def table() -> pd.DataFrame:
    """An image, a video of three frames and one of two, in each of two sources."""
    paths = ["a.png", *(of_frame("b.mp4", n) for n in (3, 9, 15)), *(of_frame("c.mp4", n) for n in (0, 1))]
    rows = pd.DataFrame({"path": paths * 2, "source": ["s"] * 6 + ["t"] * 6, "generator": "", "group": ""})
    rows["label"] = ([1] + [0] * 3 + [1] * 2) * 2
    return rows.assign(logit=np.arange(12, dtype=np.float32) ** 2)


def test_a_video_is_one_row_with_the_mean_of_its_frames():
    got = by_video(table())
    assert got["path"].tolist() == ["a.png", "b.mp4", "c.mp4"] * 2
    assert got["source"].tolist() == ["s"] * 3 + ["t"] * 3
    assert got["label"].tolist() == [1, 0, 1] * 2
    squares = np.arange(12.0) ** 2
    expected = [part.mean() for half in (squares[:6], squares[6:]) for part in np.split(half, [1, 4])]
    assert got["logit"].tolist() == pytest.approx(expected, rel=1e-6)
    assert got["logit"].dtype == np.float32
    assert list(got.index) == [*range(6)]


def test_each_branch_and_perturbation_has_means_of_its_own():
    rows = pd.concat([table().assign(branch=name, blurred=float(at)) for at, name in enumerate("xy")])
    got = by_video(rows.reset_index(drop=True))
    assert got["branch"].tolist() == ["x"] * 6 + ["y"] * 6
    assert got["blurred"].tolist() == [0] * 6 + [1] * 6


def test_without_frames_a_table_is_itself():
    images = table().iloc[[0, 6]]
    assert by_video(images) is images
    assert by_video(images.iloc[:0]).empty


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_frame_whose_logit_is_no_number_is_not_averaged_away(value):
    rows = table()
    rows.loc[2, "logit"] = value
    with pytest.raises(DetectorError, match=r"found (nan|inf) as the logit of s: b\.mp4"):
        require_numbers(by_video(rows), "who")


def test_files_are_read_by_video_or_by_frame(tmp_path):
    folder = tmp_path / "runs/resnet18/seed0/baseline"
    (folder / "predictions").mkdir(parents=True)
    parquet.write(table(), folder / "predictions/s.parquet")
    (whole,), (frames,) = (read([folder], ["s"], frames=by).values() for by in (False, True))
    pd.testing.assert_frame_equal(whole["s"], by_video(table()))
    pd.testing.assert_frame_equal(frames["s"], table())
    pd.testing.assert_frame_equal(load(folder / "predictions/s.parquet"), by_video(table()))
