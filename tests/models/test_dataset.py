"""Drawn training images come with all the frames of their videos, which are sequences; all other images stay."""

import numpy as np
import pandas as pd

from detector.data import splits
from detector.data.records import file_of, of_frame
from detector.models.dataset import Images, sequences


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


def test_sequences_are_the_frames_of_each_video_by_their_numbers():
    """Of files of one name in two sources, numbers of more digits than six, and rows in any order."""
    numbers = (3, 20, 999_999, 1_000_000)
    rows = [(source, of_frame("a.mp4", number)) for source in ("one", "two") for number in numbers]
    rows += [("one", "b.png"), ("two", "c.png"), ("one", of_frame("d.mp4", 7))]
    mixed = pd.DataFrame(rows, columns=["source", "path"]).sample(frac=1, random_state=3)
    found = [list(mixed.iloc[own].itertuples(index=False, name=None)) for own in sequences(mixed)]
    assert sorted(found) == sorted([rows[:4], rows[4:8], rows[8:9], rows[9:10], rows[10:]])
    assert any((np.diff(own) < 0).any() for own in sequences(mixed)), "the rows were mixed"
    firsts = [own.min() for own in sequences(mixed)]
    assert firsts == sorted(firsts)
    assert sequences(mixed.iloc[:0]) == []
