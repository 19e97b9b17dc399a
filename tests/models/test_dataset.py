"""Drawn training images come with all the frames of their videos; all other images stay."""

import pandas as pd

from detector.data import splits
from detector.data.records import file_of, of_frame
from detector.models.dataset import Images


def table() -> pd.DataFrame:
    """Twenty videos of three frames and twenty images, half of them to train on."""
    videos = [of_frame(f"{number:02d}.mp4", frame) for number in range(20) for frame in (1, 5, 9)]
    paths = videos + [f"{number:02d}.png" for number in range(20)]
    rows = pd.DataFrame({"path": paths, "source": "s", "label": [int(path < "10") for path in paths]})
    rows["split"] = ["train" if int(path[:2]) % 2 else "test" for path in paths]
    return rows.assign(generator=[str(label) for label in rows["label"]])


def test_a_draw_takes_videos_whole():
    images = Images(table(), {}, {})
    drawn = images.trained_on(lambda strata, keys: splits.subset(strata, keys, 10, seed=0))
    train, all_frames = drawn.part("train"), images.part("train")
    files = set(train["path"].map(file_of))
    assert len(files) == 10
    assert train["path"].tolist() == all_frames[all_frames["path"].map(file_of).isin(files)]["path"].tolist()
    assert 10 < len(train) < len(all_frames)
    pd.testing.assert_frame_equal(drawn.part("test"), images.part("test"))


def test_parts_share_no_video():
    images = Images(table(), {}, {})
    parts = [images.trained_on(lambda strata, keys, n=n: splits.part(strata, keys, n, 2, seed=0)) for n in (1, 2)]
    files = [set(part.part("train")["path"].map(file_of)) for part in parts]
    assert not files[0] & files[1]
    assert len(files[0] | files[1]) == 20
