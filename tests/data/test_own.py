"""One's own data is cut by class and generator, and what groups tie together is never divided."""

import random
from collections import Counter

import pytest

from detector.core.errors import DetectorError
from detector.core.labels import FAKE, REAL
from detector.data import own, splits
from detector.data.records import Record
from detector.data.splits import STUDY_FRACTIONS


def cut(records, strategy="auto", seed=0):
    return own.split(records, strategy, STUDY_FRACTIONS, seed)


def test_without_groups_each_image_is_cut_by_its_path_in_its_class_and_generator():
    records = [Record(f"{g}/{i}", FAKE if g else REAL, g) for g in ("", "a", "b") for i in range(30)]
    strata = [(record.label, record.generator) for record in records]
    expected = splits.stratified(strata, [record.path for record in records], STUDY_FRACTIONS, 3)
    assert cut(records, seed=3) == [expected[record.path] for record in records]


@pytest.mark.parametrize("strategy", own.SPLITS)
@pytest.mark.parametrize("official", ["", "train"])
def test_groups_are_not_divided_also_not_where_images_tie_them(strategy, official):
    draw = random.Random(0)
    records = [
        Record(
            f"{number:03d}",
            number % 2,
            "" if number % 2 else f"g{number % 3}",
            "|".join({f"p{draw.randrange(150)}" for _ in range(draw.randrange(3))}),
            official,
        )
        for number in range(300)
    ]
    names = cut(records, strategy)
    where: dict[str, set[str]] = {}
    for record, name in zip(records, names, strict=True):
        for group in filter(None, record.group.split("|")):
            where.setdefault(group, set()).add(name)
    assert len(where) > 50
    assert all(len(found) == 1 for found in where.values())
    assert set(names) == {"train", "valid", "test"}
    shuffled = draw.sample(records, len(records))
    assert dict(zip(shuffled, cut(shuffled, strategy), strict=True)) == dict(zip(records, names, strict=True))


def test_groups_of_any_mixture_of_generators_get_their_shares():
    """Were each mixture cut by itself, all would be rounded into training."""
    draw = random.Random(0)
    records = [
        Record(f"{prompt}/{generator}", FAKE, f"g{generator}", f"p{prompt}")
        for prompt in range(100)
        for generator in draw.sample(range(12), 6)
    ]
    shares = Counter(cut(records))
    assert {name: count / len(records) for name, count in shares.items()} == pytest.approx(
        dict(zip(("train", "valid", "test"), STUDY_FRACTIONS, strict=True)), abs=0.02
    )


def test_a_group_called_like_a_path_is_no_path():
    records = [Record("a", REAL), *(Record(f"x{i}", REAL, group="a") for i in range(9))]
    assert own.tied(records) == ["a", *["\0a"] * 9]


def test_a_split_that_only_some_have_is_refused():
    with pytest.raises(DetectorError, match="found a split for a and none for b, expected one for all"):
        own.check_splits("list.csv", [Record("a", REAL, official="test"), Record("b", REAL)])
