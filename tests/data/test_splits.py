"""A split depends on keys and seed alone, has the counts that its fractions give, and divides no group."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.core.errors import DetectorError
from detector.data import splits

STUDY = (0.8, 0.1, 0.1)
keys = st.lists(st.text(max_size=8), unique=True, max_size=60)
shares = st.tuples(st.integers(0, 10), st.integers(0, 10), st.integers(0, 10)).filter(any)


def fractions(parts):
    return tuple(part / sum(parts) for part in parts)


@pytest.mark.parametrize(("n", "expected"), [(590, (472, 59, 59)), (5639, (4511, 564, 564))])
def test_counts_of_the_study(n, expected):
    names = splits.cut([f"video{i}" for i in range(n)], STUDY, seed=3)
    assert tuple(Counter(names.values())[name] for name in ("train", "valid", "test")) == expected


@given(keys, shares, st.integers(0, 5))
def test_each_key_once_and_no_split_with_a_zero_share(keys, parts, seed):
    names = splits.cut(keys, fractions(parts), seed)
    assert set(names) == set(keys)
    for name, part in zip(("train", "valid", "test"), parts, strict=True):
        count = list(names.values()).count(name)
        assert abs(count - part / sum(parts) * len(keys)) <= 1.5  # two roundings can add up
        assert part > 0 or count == 0


@given(keys, st.randoms(use_true_random=False))
def test_order_of_keys_does_not_matter(keys, rng):
    shuffled = rng.sample(keys, len(keys))
    assert splits.cut(keys, STUDY, 1) == splits.cut(shuffled, STUDY, 1)


def test_seed_matters():
    names = [str(i) for i in range(100)]
    assert splits.cut(names, STUDY, 1) != splits.cut(names, STUDY, 2)


def test_stratified_keeps_the_shares_of_each_stratum():
    names = [str(i) for i in range(1000)]
    strata = ["rare" if i % 10 == 0 else "common" for i in range(1000)]
    result = splits.stratified(strata, names, STUDY, seed=0)
    counts = Counter((stratum, result[name]) for stratum, name in zip(strata, names, strict=True))
    assert counts["rare", "train"] == 80
    assert counts["common", "valid"] == 90


@given(keys, st.integers(1, 5), st.integers(0, 5), st.randoms(use_true_random=False))
def test_parts_have_nothing_in_common_and_hold_all_alike(keys, of, seed, rng):
    """Each has as many of every stratum as another, but for one; and hangs on no order."""
    strata = {key: rng.choice("abc") for key in keys}
    parts = [splits.part([strata[key] for key in keys], keys, number + 1, of, seed) for number in range(of)]
    assert sorted(key for part in parts for key in part) == sorted(keys)
    for stratum in (*"abc", None):
        counts = [sum(stratum in (None, strata[key]) for key in part) for part in parts]
        assert max(counts) - min(counts) <= 1
    shuffled = rng.sample(keys, len(keys))
    again = [
        splits.part([strata[key] for key in shuffled], shuffled, number + 1, of, seed) for number in range(of)
    ]
    assert again == parts


def test_grouped_names_each_group_once():
    groups = [f"g{i % 10}" for i in range(90)]
    result = splits.grouped(groups, STUDY, seed=0)
    assert Counter(result.values()) == {"train": 8, "valid": 1, "test": 1}


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=50), st.integers(0, 60))
def test_subset_is_exact_stratified_and_independent_of_order(strata, count):
    names = [f"{i}" for i in range(len(strata))]
    chosen = splits.subset(strata, names, count, seed=0)
    assert len(chosen) == min(count, len(names))
    for stratum in set(strata):
        members = [name for name, s in zip(names, strata, strict=True) if s == stratum]
        exact = min(count, len(names)) * len(members) / len(names)
        assert abs(len(chosen & set(members)) - exact) < 1
    pairs = list(zip(strata, names, strict=True))
    random.Random(0).shuffle(pairs)
    assert splits.subset([s for s, _ in pairs], [n for _, n in pairs], count, seed=0) == chosen


@pytest.mark.parametrize("wrong", [(0.8, 0.1), (0.8, 0.1, 0.2), (1.1, -0.1, 0.0)])
def test_fractions_that_are_no_shares_of_one_are_refused(wrong):
    with pytest.raises(DetectorError, match="sum 1"):
        splits.cut(["a"], wrong, 0)


def test_a_key_that_comes_twice_is_refused():
    with pytest.raises(ValueError, match="unique"):
        splits.cut(["a", "a"], STUDY, 0)
    with pytest.raises(ValueError, match="unique"):
        splits.stratified([0, 1], ["a", "a"], STUDY, 0)


def test_without_test_rescales():
    assert splits.without_test(STUDY) == pytest.approx((8 / 9, 1 / 9, 0))
    with pytest.raises(DetectorError, match="both 0"):
        splits.without_test((0.0, 0.0, 1.0))
