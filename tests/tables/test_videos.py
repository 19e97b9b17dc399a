"""Frames of a video are one draw, a video is judged by the mean of its frames, and what that gains is compared on
the same videos."""

import numpy as np
import pandas as pd
import pytest

from detector.data.records import of_frame
from detector.experiment.variants import Variant
from detector.stats.intervals import paired_interval, wilson
from detector.stats.ranking import auc_interval
from detector.tables.videos import COLUMNS, videos
from tests.support.tables import written

FRAMES = 5


def frames(logit: np.ndarray, group: str = "") -> pd.DataFrame:
    """Frames of as many videos as `logit` has rows, float (n, frames); every second video is real."""
    number, count = np.arange(len(logit)), logit.shape[1]
    paths = [of_frame(f"{n:03d}.mp4", 10 * frame) for n in number for frame in range(count)]
    table = pd.DataFrame({"path": paths, "source": "s", "generator": "", "group": group})
    return table.assign(label=np.repeat(number % 2, count), logit=logit.astype(np.float32).ravel())


def rows_of(table: pd.DataFrame, folder) -> pd.DataFrame:
    found = videos({Variant("resnet18", 0, "baseline"): {"valid": table, "s": table}})
    return written(found, COLUMNS, folder).set_index("judged_by")


def noisy(count: int = 200, seed: int = 0) -> np.ndarray:
    rng, sign = np.random.default_rng(seed), np.where(np.arange(count) % 2, 1.0, -1.0)
    return rng.normal(0.5 * sign[:, None], 1.5, (count, FRAMES))


def test_each_way_of_judging_is_counted_by_itself(tmp_path):
    logit = noisy()
    sign = np.where(np.arange(200) % 2, 1, -1)
    got = rows_of(frames(logit), tmp_path)
    assert got.index.tolist() == ["each frame", "one frame", "all frames"]
    assert got["n"].tolist() == [1000, 200, 200]
    assert set(got["videos"]) == {200}
    right = {"each frame": logit * sign[:, None] > 0, "one frame": logit[:, 2] * sign > 0}
    right["all frames"] = logit.mean(axis=1) * sign > 0
    for by, of in right.items():
        assert got.loc[by, "accuracy"] == pytest.approx(of.mean(), rel=1e-5)
        halves = np.mean([of[kind::2].mean() for kind in (0, 1)])
        assert got.loc[by, "balanced_accuracy"] == pytest.approx(halves, rel=1e-5)
    whole = got.loc["all frames"]
    assert whole["accuracy"] > got.loc["one frame", "accuracy"] + 0.05, "more frames tell more here"
    assert whole["auc"] > got.loc["one frame", "auc"]
    gain = right["all frames"].mean() - right["one frame"].mean()
    low, high = paired_interval(right["one frame"], right["all frames"])
    assert whole[["gain", "gain_low", "gain_high"]].tolist() == pytest.approx([gain, low, high], rel=1e-5)
    assert got.loc[["each frame", "one frame"], ["gain", "gain_low", "gain_high"]].isna().all(axis=None)
    assert got[["groups", "grouped_low", "auc_grouped_low", "gain_grouped_low"]].isna().all(axis=None), (
        "nobody is known"
    )


def test_frames_that_all_say_the_same_are_worth_one(tmp_path):
    """Intervals of calls of frames are as wide as those of videos, not narrower for being of more calls."""
    logit = np.repeat(noisy()[:, :1], FRAMES, axis=1)
    got = rows_of(frames(logit), tmp_path)
    for name in ("accuracy", "auc"):
        width = got[f"{name}_high"] - got[f"{name}_low"]
        assert width["each frame"] == pytest.approx(width["all frames"], rel=0.05)
        assert got.loc["each frame", name] == pytest.approx(got.loc["all frames", name], rel=1e-5)
    accuracy = got.loc["all frames", "accuracy"]
    assert got.loc["all frames", "accuracy_low"] == pytest.approx(wilson(accuracy, 200)[0], rel=1e-5)
    expected = auc_interval(np.arange(200) % 2, logit[:, 0])
    assert got.loc["all frames", ["auc_low", "auc_high"]].tolist() == pytest.approx(expected, abs=0.01)
    assert got.loc["all frames", "gain"] == 0


def test_people_in_several_videos_make_intervals_wider(tmp_path):
    """Ten people, in twenty videos each of one class, all right or all wrong."""
    person, sign = np.arange(200) // 20, np.where(np.arange(200) % 2, 1, -1)
    logit = np.where(person % 5 == 0, -sign, sign)[:, None] * np.linspace(1, 2, FRAMES)
    table = frames(logit).assign(group=np.repeat([f"id{who}" for who in person], FRAMES))
    got = rows_of(table, tmp_path)
    assert set(got["groups"]) == {10}
    assert (got["grouped_high"] - got["grouped_low"] > 2 * (got["accuracy_high"] - got["accuracy_low"])).all()
    assert (got["auc_grouped_high"] - got["auc_grouped_low"] > got["auc_high"] - got["auc_low"]).all()


def test_one_class_has_no_area_and_images_are_no_videos(tmp_path):
    table = frames(noisy())
    fakes = table[table["label"] == 0].reset_index(drop=True)
    photo = fakes.iloc[:1].assign(path="@pairs/a.jpg", label=1)
    got = rows_of(pd.concat([fakes, photo], ignore_index=True), tmp_path)
    assert set(got["videos"]) == {100}
    assert got[["auc", "auc_low", "balanced_accuracy"]].isna().all(axis=None)
    assert videos({Variant("resnet18", 0, "baseline"): {"valid": photo, "s": photo}}) == []


def test_videos_of_one_person_are_one_draw_to_the_gain_too(tmp_path):
    person = [f"id{n // 10}" for n in range(200) for _ in range(FRAMES)]
    logit = np.repeat(noisy(20), 10, axis=0) * np.tile([1, -1], 100)[:, None]
    got = rows_of(frames(logit).assign(group=person), tmp_path).loc["all frames"]
    assert got["groups"] == 20
    assert got["gain_grouped_high"] - got["gain_grouped_low"] > 1.5 * (got["gain_high"] - got["gain_low"])
    alone = rows_of(frames(noisy()).assign(group=[f"id{n}" for n in range(200) for _ in range(FRAMES)]), tmp_path)
    for end in ("low", "high"):
        assert alone.loc["all frames", f"gain_grouped_{end}"] == pytest.approx(
            alone.loc["all frames", f"gain_{end}"], rel=1e-5
        )
