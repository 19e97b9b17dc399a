"""The audit finds exactly the images that comparing all with all would call leaked; after `drop` none is left, and
training images never depend on the test images."""

import numpy as np
import pandas as pd
import pytest

from detector.audit import leaks, policy
from detector.audit.hashes import THUMBNAIL, Hashes
from detector.core.errors import DetectorError
from detector.core.labels import FAKE, REAL
from detector.data.records import file_of, of_frame

ORDER = {"train": 0, "valid": 1, "test": 2}
THUMB = np.arange(THUMBNAIL**2).astype(np.uint8)


def world(seed: int, count: int = 60, pictures: int = 60) -> tuple[pd.DataFrame, Hashes]:
    """Images of two sources in random splits; many are copies, or for an even seed also near copies, of others."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, pictures, count, dtype=np.uint64)
    phash = pixels * np.uint64(0x9E3779B97F4A7C15) if seed % 2 else pixels << np.uint64(20)
    splits = pd.DataFrame(
        {
            "path": [f"{i:03d}.png" for i in range(count)],
            "source": np.sort(rng.choice(["a", "b"], count)),
            "split": rng.choice([*ORDER], count, p=[0.6, 0.1, 0.3]),
            "label": rng.choice([REAL, FAKE], count).astype(np.int8),
            "group": "",
        }
    )
    thumbnail = rng.integers(0, 256, THUMBNAIL**2, dtype=np.uint8)
    return splits, Hashes(pixels, phash, np.tile(thumbnail, (count, 1)))


def leaked(splits: pd.DataFrame, hashes: Hashes, distance: int) -> set[str]:
    """By comparing all with all, from the definition."""
    found = set()
    for i, one in enumerate(splits.itertuples()):
        for j, other in enumerate(splits.itertuples()):
            same = hashes.pixels[i] == hashes.pixels[j]
            near = same or int(hashes.phash[i] ^ hashes.phash[j]).bit_count() <= distance
            if i != j and (
                (near and ORDER[one.split] > ORDER[other.split])
                or (same and one.split == other.split and one.label != other.label)
            ):
                found.add(one.path)
    return found


@pytest.mark.parametrize("seed", range(6))
def test_leaks_are_those_of_comparing_all_with_all(seed):
    splits, hashes = world(seed)
    _, found, whole = leaks.duplicates(splits, hashes, 1)
    assert whole
    assert 3 < len(found) < len(splits)
    assert found["path"].is_unique
    assert set(found["path"]) == leaked(splits, hashes, 1)
    rows = splits.set_index("path")
    for leak in found.itertuples():
        assert rows.loc[leak.path, ["source", "split"]].tolist() == [leak.source, leak.split]
        assert rows.loc[leak.of_path, ["source", "split"]].tolist() == [leak.of_source, leak.of_split]
        assert ORDER[leak.of_split] < ORDER[leak.split] or leak.of_label != leak.label


@pytest.mark.parametrize("seed", range(6))
def test_the_table_counts_images_and_pairs(seed):
    """Summed over its rows, equal pairs are those of all images, and each cell's images are those with a twin."""
    splits, hashes = world(seed)
    table = leaks.duplicates(splits, hashes, 0)[0].query("kind == 'exact'")
    same = np.triu(hashes.pixels[:, None] == hashes.pixels, 1)
    assert table["pairs"].sum() == same.sum() > 0
    across = table[table["leak"] == leaks.ACROSS].query("split == 'test' and with_split == 'train'")
    train, test = (splits["split"].to_numpy() == split for split in ("train", "test"))
    words = splits["label"].map(leaks.CLASSES)
    for row in across.itertuples():
        here = test & (splits["source"] == row.source).to_numpy() & (words == row.label).to_numpy()
        there = train & (splits["source"] == row.with_source).to_numpy() & (words == row.with_label).to_numpy()
        assert row.images == np.isin(hashes.pixels[here], hashes.pixels[there]).sum()


def test_groups_of_pictures_are_joined_by_any_pair():
    """a is near b and b near c: one group of three in train, two pairs; an equal copy of a in test joins it."""
    splits = pd.DataFrame({"path": list("abcdx"), "source": "s", "label": FAKE, "group": ""})
    splits["split"] = ["train", "train", "train", "train", "test"]
    phash = np.array([0b0, 0b1, 0b11, 0b11111 << 40, 0b0], np.uint64)
    hashes = Hashes(np.array([1, 2, 3, 4, 1], np.uint64), phash, np.tile(THUMB, (5, 1)))
    table, found, _ = leaks.duplicates(splits, hashes, 1)
    rows = table.set_index(["kind", "split", "with_split"])[["images", "pairs", "groups", "leak"]].to_dict("index")
    assert rows == {
        ("exact", "test", "train"): {"images": 1, "pairs": 1, "groups": 1, "leak": leaks.ACROSS},
        ("near", "test", "train"): {"images": 1, "pairs": 1, "groups": 1, "leak": leaks.ACROSS},
        ("near", "train", "train"): {"images": 3, "pairs": 2, "groups": 1, "leak": ""},
    }
    assert found[["path", "of_path", "kind"]].to_numpy().tolist() == [["x", "a", "exact"]]


def test_frames_of_a_video_are_no_copies_of_one_another_but_of_other_videos_they_are():
    """Two frames of one video and one of another in train, a frame of a third in test: all look alike."""
    names = [of_frame(video, number) for video, number in (("a", 0), ("a", 9), ("b", 0), ("c", 0))]
    splits = pd.DataFrame({"path": names, "source": "s", "label": FAKE, "split": ["train"] * 3 + ["test"]})
    hashes = Hashes(np.arange(4, dtype=np.uint64), np.zeros(4, np.uint64), np.tile(THUMB, (4, 1)))
    table, found, _ = leaks.duplicates(splits.assign(group=splits["path"].map(file_of)), hashes, 1)
    pairs = table.set_index(["split", "with_split"])["pairs"].to_dict()
    assert pairs == {("test", "train"): 3, ("train", "train"): 2}
    assert found["path"].tolist() == [names[3]]


@pytest.mark.parametrize("seed", range(6))
def test_after_drop_nothing_leaks_and_training_is_what_it_was(seed):
    splits, hashes = world(seed, count=120, pictures=400 if seed % 2 else 3000)
    kept, hashes_kept = dropped(splits, hashes)
    assert leaks.duplicates(kept, hashes_kept, 1)[1].empty
    train = splits.loc[splits["split"] == "train"]
    both = train.assign(pixels=hashes.pixels[train.index]).groupby("pixels")["label"].transform("nunique") == 2
    assert kept.loc[kept["split"] == "train", "path"].tolist() == train.loc[~both, "path"].tolist()


@pytest.mark.parametrize("seed", range(6))
def test_training_and_validation_images_do_not_depend_on_test_images(seed):
    splits, hashes = world(seed, count=120, pictures=400 if seed % 2 else 3000)
    before = splits.index[splits["split"] != "test"]
    part = Hashes(*(getattr(hashes, name)[before] for name in ("pixels", "phash", "thumbnails")))
    whole, without = dropped(splits, hashes)[0], dropped(splits.loc[before].reset_index(drop=True), part)[0]
    assert whole.loc[whole["split"] != "test", "path"].tolist() == without["path"].tolist()


def dropped(splits: pd.DataFrame, hashes: Hashes) -> tuple[pd.DataFrame, Hashes]:
    found = leaks.duplicates(splits, hashes, 1)[1]
    kept = policy.settle(splits, found, [{"check": "duplicates", "verdict": "leak", "sentence": "x"}], "drop")
    rows = splits.index[splits["path"].isin(kept["path"])]
    return kept, Hashes(*(getattr(hashes, name)[rows] for name in ("pixels", "phash", "thumbnails")))


def test_nothing_found_is_empty_tables_and_clean_verdicts():
    splits, hashes = world(0)
    hashes = Hashes(np.arange(60, dtype=np.uint64), hashes.phash, np.zeros_like(hashes.thumbnails))
    table, found, whole = leaks.duplicates(splits, hashes, 4)
    assert (len(table), len(found)) == (0, 0)
    assert list(table.columns) == list(leaks.DUPLICATE_COLUMNS)
    rows = leaks.verdicts(splits, found, leaks.groups(splits), whole)
    assert [(row["check"], row["source"], row["verdict"]) for row in rows] == [
        *(("duplicates", "a", "clean"), ("duplicates", "b", "clean")),
        *(("groups", "a", "unknown"), ("groups", "b", "unknown")),
    ]
    assert policy.settle(splits, found, rows, "fail") is splits


PEOPLE = pd.DataFrame(
    [
        *(("train", "id1"), ("train", "id1|id2"), ("valid", "id3"), ("valid", "id4|id2")),
        *(("test", "id2|id5"), ("test", "id4"), ("test", "id6"), ("test", "id1")),
    ],
    columns=["split", "group"],
).assign(source="celeb", path=list("abcdefgh"), label=REAL)


def test_people_of_a_swap_are_looked_for_one_by_one():
    table = leaks.groups(PEOPLE).set_index(["split", "with_split"])[["groups", "images", "of_images"]]
    assert table.to_dict("index") == {
        ("valid", "train"): {"groups": 1, "images": 1, "of_images": 2},  # id2
        ("test", "train"): {"groups": 2, "images": 2, "of_images": 4},  # id1, id2
        ("test", "valid"): {"groups": 2, "images": 2, "of_images": 4},  # id2, id4
    }
    sentence = leaks.verdicts(PEOPLE, leaks.duplicates(PEOPLE, different(8), 0)[1], leaks.groups(PEOPLE), True)[1]
    assert sentence["verdict"] == "leak"
    assert "2 of 4 test images share a group (a person, a prompt) with train" in sentence["sentence"]


def different(count: int) -> Hashes:
    numbers = np.arange(count, dtype=np.uint64)
    return Hashes(numbers, numbers, np.zeros((count, THUMBNAIL**2), np.uint8))


def test_fail_says_what_leaks_where_to_look_and_what_to_do():
    splits, hashes = world(0)
    _, found, whole = leaks.duplicates(splits, hashes, 1)
    rows = leaks.verdicts(splits, found, leaks.groups(splits), whole)
    with pytest.raises(DetectorError) as caught:
        policy.settle(splits, found, rows, "fail")
    count = ((found["source"] == "a") & (found["split"] == "test") & (found["of_split"] == "train")).sum()
    assert f"{count} test images of a are also in train" in str(caught.value)
    for word in (found["path"][0], "tables/audit_duplicates.csv", "audit.on_leak: drop", "warn", "split"):
        assert word in str(caught.value)
    assert policy.settle(splits, found, rows, "warn") is splits


def test_fail_stops_for_a_shared_group_and_drop_leaves_it():
    shared, found = leaks.groups(PEOPLE), leaks.duplicates(PEOPLE, different(8), 0)[1]
    rows = leaks.verdicts(PEOPLE, found, shared, True)
    with pytest.raises(DetectorError, match="share a group"):
        policy.settle(PEOPLE, found, rows, "fail")
    assert policy.settle(PEOPLE, found, rows, "drop") is PEOPLE


def test_a_search_that_stopped_early_is_not_called_clean():
    splits, hashes = world(0)
    none = leaks.duplicates(splits, hashes, 1)[1].iloc[:0]
    rows = leaks.verdicts(splits, none, leaks.groups(splits), False)
    assert {row["verdict"] for row in rows if row["check"] == "duplicates"} == {"unknown"}
    with pytest.raises(DetectorError, match=r"(?s)is not known:.*stopped early.*\nLower audit.near_duplicates"):
        policy.settle(splits, none, rows, "fail")
    assert policy.settle(splits, none, rows, "drop") is splits


def test_a_class_that_is_all_copies_is_not_dropped_silently():
    splits = pd.DataFrame(
        {"source": "s", "path": list("abcd"), "split": "train", "label": [REAL, FAKE, FAKE, FAKE]}
    )
    found = pd.DataFrame({"source": "s", "path": ["a", "b"]})
    with pytest.raises(DetectorError, match="nothing is left of real train"):
        policy.settle(splits, found, [{"check": "duplicates", "verdict": "leak", "sentence": "x"}], "drop")


def test_a_split_that_is_all_copies_is_not_dropped_silently():
    splits, _ = world(0)
    same = Hashes(np.zeros(60, np.uint64), np.zeros(60, np.uint64), np.zeros((60, THUMBNAIL**2), np.uint8))
    splits["label"] = np.int8(FAKE)
    found = leaks.duplicates(splits, same, 0)[1]
    with pytest.raises(
        DetectorError, match="nothing is left of a test, a valid, b test, b valid, fake test, fake"
    ):
        policy.settle(splits, found, [{"check": "duplicates", "verdict": "leak", "sentence": "x"}], "drop")


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (["exact"], "1 test image of s is also in train"),
        (["near"], "1 test image of s is nearly the same as one in train"),
        (["exact", "near", "exact"], "3 test images of s are also in train (1 of them nearly the same)"),
    ],
)
def test_the_verdict_in_words(kinds, expected):
    found = pd.DataFrame({"source": "s", "split": "test", "of_split": "train", "kind": kinds})
    splits = pd.DataFrame({"source": ["s"]})
    rows = leaks.verdicts(splits, found, pd.DataFrame(columns=leaks.GROUP_COLUMNS), True)
    assert [row["sentence"] for row in rows] == [expected]
    some = leaks.verdicts(splits, found, pd.DataFrame(columns=leaks.GROUP_COLUMNS), False)
    assert "at least" in some[0]["sentence"]
