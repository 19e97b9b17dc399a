"""A paired interval holds the true difference as often as it says, tests of differences and of equivalence are
wrong no more often than they say, also where models rarely differ, and a verdict says what both tests say."""

import math
from itertools import product

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import gammaln
from scipy.stats import norm
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar
from statsmodels.stats.multitest import multipletests

from detector.stats import significance
from detector.stats.changes import extra_equivalence, extra_interval
from detector.stats.intervals import independent, paired_interval, paired_interval_grouped, wilson_grouped
from detector.stats.significance import equivalence, holm, images_needed, mcnemar, mcnemar_grouped, verdict


def test_a_worked_example():
    """By the formula of Bonett & Price (2012): 20 images gained and 10 lost of 100."""
    first, second = np.zeros(100, bool), np.zeros(100, bool)
    first[:40], second[:30], second[40:60] = True, True, True
    gained, lost = 21 / 102, 11 / 102
    half = 1.959964 * math.sqrt((gained + lost - (gained - lost) ** 2) / 102)
    assert paired_interval(first, second) == pytest.approx((gained - lost - half, gained - lost + half), abs=1e-6)


@pytest.mark.parametrize(("n", "gained", "lost"), [(50, 0.02, 0.02), (300, 0.05, 0.01), (2000, 0.003, 0.004)])
def test_it_covers_at_its_level(n, gained, lost):
    rng = np.random.default_rng(n)
    covered, rounds = 0, 2000
    for _ in range(rounds):
        draw = rng.random(n)
        first, second = draw < lost, (draw >= lost) & (draw < lost + gained)
        low, high = paired_interval(first, second)
        covered += low <= gained - lost <= high
    assert 0.94 <= covered / rounds <= 1.0


def test_without_images_there_is_none():
    assert all(math.isnan(bound) for bound in paired_interval(np.array([]), np.array([])))
    assert math.isnan(equivalence(0, 0, 0, 0.01))
    assert math.isnan(images_needed(0, 0, 0, 0.01))


def test_the_order_is_second_minus_first():
    low, high = paired_interval(np.zeros(50, bool), np.ones(50, bool))
    assert 0.8 < low < high


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (0, 1), (0, 6), (7, 2), (25, 40), (608, 559), (3000, 3300)])
def test_mcnemar_equals_statsmodels(gained, lost):
    expected = reference_mcnemar([[5, lost], [gained, 9]], exact=True).pvalue
    assert mcnemar(gained, lost) == mcnemar(lost, gained) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("p", [[0.04], [0.01, 0.04, 0.03, 0.005], [0.5, 0.6, 0.9], [0.02, 0.02, 0.02]])
def test_holm_equals_statsmodels(p):
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])
    with_none = holm([np.nan, *p, np.nan])
    assert with_none[1:-1] == pytest.approx(holm(p)), "what was not tested counts for nothing"
    assert np.isnan(with_none[[0, -1]]).all()


@pytest.mark.parametrize(("n", "gained", "lost"), [(400, 0, 0), (400, 5, 9), (1000, 30, 2), (1000, 0, 40)])
def test_equivalence_is_the_score_test(n, gained, lost):
    """The shares under the null by maximising the trinomial likelihood numerically, not by its formula."""
    margin, found = 0.02, []
    for up, down in ((gained, lost), (lost, gained)):

        def unlikely(share, up=up, down=down):
            parts = (up, share), (down, share + margin), (n - up - down, 1 - 2 * share - margin)
            return -sum(count * math.log(part) for count, part in parts if count)

        share = minimize_scalar(unlikely, bounds=(1e-12, 0.4), method="bounded", options={"xatol": 1e-12}).x
        deviation = math.sqrt(n * (2 * share + margin - margin**2))
        found.append(norm.sf((up - down + n * margin - 0.5) / deviation))
    assert equivalence(n, gained, lost, margin) == pytest.approx(max(found), rel=1e-4)


def likely(n, up, down):
    """Counts that matter of a trinomial with shares `up`, `down` and the rest, and the chance of each."""
    ranges = []
    for share in (up, down):
        half = 7 * math.sqrt(n * share) + 8
        ranges.append(np.arange(max(0, int(n * share - half)), min(n, int(n * share + half)) + 1))
    gained, lost = (grid.ravel() for grid in np.meshgrid(*ranges))
    keep = gained + lost <= n
    gained, lost = gained[keep], lost[keep]
    rest = n - gained - lost
    chance = gammaln(n + 1) - gammaln(gained + 1) - gammaln(lost + 1) - gammaln(rest + 1)
    chance += gained * math.log(up) + lost * math.log(down) + rest * math.log(1 - up - down)
    return gained, lost, np.exp(chance)


def size(test, n, margin, level):
    """The largest chance of calling equivalent what differs by the margin, at several shares of disagreement."""
    worst = 0.0
    for up in (1e-9, 1e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.04, 0.08):
        gained, lost, chance = likely(n, up, up + margin)
        rejected = np.array([test(n, int(g), int(w), margin) < level for g, w in zip(gained, lost, strict=True)])
        worst = max(worst, chance[rejected].sum())
    return worst


@pytest.mark.parametrize(
    ("n", "margin", "least"), [(541, 0.005, 0), (728, 0.005, 0.02), (2000, 0.005, 0.03), (100, 0.1, 0.03)]
)
def test_equivalence_keeps_its_level(n, margin, least):
    """Exactly, by the chances of all outcomes; and where there are images enough it is not far below."""
    assert least <= size(equivalence, n, margin, 0.05) <= 0.05
    assert size(equivalence, n, margin, 0.01) <= 0.01


def test_fewer_images_than_725_never_show_a_margin_of_half_a_percent():
    assert equivalence(724, 0, 0, 0.005) >= 0.05 > equivalence(725, 0, 0, 0.005)


def test_simpler_tests_of_equivalence_do_not():
    """Why it is a score test with a continuity correction: where models rarely differ, others say too much."""

    def wald(n, gained, lost, margin):
        up, down = (gained + 1) / (n + 2), (lost + 1) / (n + 2)
        return norm.sf((up - down + margin) / math.sqrt((up + down - (up - down) ** 2) / (n + 2)))

    nothing = 1 - 0.005  # no image that tells the models apart, though each is one with the margin as its chance
    assert wald(464, 0, 0, 0.005) < 0.05 < 0.09 < nothing**464
    assert norm.sf(math.sqrt(541 * 0.005 / nothing)) < 0.05 < 0.06 < nothing**541


def test_mcnemar_keeps_its_level():
    for n, share in ((30, 0.02), (100, 0.1), (300, 0.05)):
        gained, lost, chance = likely(n, share, share)
        rejected = np.array([mcnemar(int(g), int(w)) < 0.05 for g, w in zip(gained, lost, strict=True)])
        assert 0 < chance[rejected].sum() <= 0.05


@pytest.mark.parametrize(
    ("n", "up", "down", "wrong"), [(1000, 0.04, 0.04, ("better", "worse")), (5000, 0.03, 0.05, "equivalent")]
)
def test_of_many_branches_one_is_judged_wrongly_no_more_often(n, up, down, wrong):
    """Five branches that are equal to their reference, or lose just the margin of 2 %."""
    rng = np.random.default_rng(5)
    margin, rounds, mistakes = 0.02, 1500, 0
    for _ in range(rounds):
        counts = rng.multinomial(n, [up, down, 1 - up - down], size=5)
        different = holm([mcnemar(g, w) for g, w, _ in counts])
        same = holm([equivalence(n, g, w, margin) for g, w, _ in counts])
        verdicts = [verdict(g - w, p, q, True) for (g, w, _), p, q in zip(counts, different, same, strict=True)]
        mistakes += any(text.startswith(wrong) for text in verdicts)
    assert 0.03 < mistakes / rounds <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / rounds)


@pytest.mark.parametrize("share", [0.01, 0.1])
def test_as_many_images_as_are_needed_show_equivalence_in_four_of_five_cases(share):
    rng = np.random.default_rng(6)
    n = images_needed(10_000, int(5000 * share), int(5000 * share), 0.01)
    counts = rng.multinomial(n, [share / 2, share / 2, 1 - share], size=1500)
    shown = np.mean([equivalence(n, g, w, 0.01) < significance.LEVEL for g, w, _ in counts])
    assert shown == pytest.approx(significance.POWER, abs=0.05)


@pytest.mark.parametrize(
    ("difference", "p_different", "p_equivalent", "enough", "expected"),
    [
        (0.01, 0.01, 0.9, True, "better"),
        (-0.01, 0.01, 0.9, False, "worse"),
        (0.0, 0.8, 0.01, True, "equivalent"),
        (-0.001, 0.01, 0.01, True, "equivalent: worse within the margin"),
        (0.001, 0.01, 0.01, True, "equivalent: better within the margin"),
        (0.002, 0.2, 0.2, True, "undecided"),
        (0.002, 0.2, 0.2, False, "undecided: n too small"),
        (math.nan, math.nan, math.nan, False, "undecided: n too small"),
    ],
)
def test_verdicts(difference, p_different, p_equivalent, enough, expected):
    assert verdict(difference, p_different, p_equivalent, enough) == expected


def brute(change: np.ndarray, group: np.ndarray) -> float:
    """The p of flips of whole groups by trying all of them."""
    sums = np.bincount(group, change)
    flips = np.array(list(product((-1, 1), repeat=len(sums))))
    return float(np.mean(np.abs(flips @ sums) >= abs(sums.sum())))


@pytest.mark.parametrize("seed", range(6))
def test_flips_of_groups_are_all_of_them(seed):
    rng = np.random.default_rng(seed)
    first, second, group = rng.random(30) < 0.5, rng.random(30) < 0.75, np.arange(30) % 9
    expected = brute(second.astype(int) - first.astype(int), group)
    assert mcnemar_grouped(first, second, group) == pytest.approx(expected, abs=1e-12)
    assert mcnemar_grouped(second, first, group * 7 + 3) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("n", "more"), [(1, 1), (6, 1), (40, 0.8), (3000, 0.52), (50000, 0.7)])
def test_groups_of_one_image_are_mcnemar_s(n, more):
    rng = np.random.default_rng(n)
    first, second = rng.random(n) < 0.5, rng.random(n) < more
    expected = mcnemar(int((second & ~first).sum()), int((first & ~second).sum()))
    assert mcnemar_grouped(first, second, np.arange(n)) == pytest.approx(expected, abs=1e-10)


def test_no_p_is_smaller_than_the_rounding_of_its_sum():
    first, second, group = np.zeros(4400, bool), np.ones(4400, bool), np.arange(4400) // 4
    second[:40] = False
    second[40:44:2] = False
    assert mcnemar_grouped(first, second, group) == 1e-13
    assert mcnemar_grouped(first[:40], second[:40], group[:40]) == 1.0


def test_one_image_that_turned_is_no_evidence_on_all_others():
    """Of 300 groups of ten, of which none turned, each is worth an image; one that turned changes little."""
    group, found = np.repeat(np.arange(300), 10), []
    for turned in (0, 1, 3):
        change = np.zeros(3000)
        change[: 10 * turned : 10] = 1
        found.append(independent(change, group, differences=True))
    assert found[0] == pytest.approx(300, rel=0.02)
    assert found[0] < found[1] < found[2] < 1.2 * found[0]


def test_many_small_groups_do_not_make_a_large_one_certain():
    """Half of all images are of one group: about its share nothing is known, and so not about the mean."""
    rng, held, rounds = np.random.default_rng(7), np.zeros(2), 200
    group = np.concatenate([np.zeros(300, int), 1 + np.arange(300)])
    for _ in range(rounds):
        drawn = np.where(rng.random((2, 600)) < 0.7, rng.random((2, 301))[:, group], rng.random((2, 600)))
        first, second = drawn < 0.7
        low, high = wilson_grouped(first, group)
        held[0] += low <= 0.7 <= high
        low, high = paired_interval_grouped(first, second, group)
        held[1] += low <= 0 <= high
    assert (held / rounds >= 0.93).all()


def test_images_of_a_group_that_turn_together_are_one_draw():
    """Twenty videos of ten frames, as many right by either network: flips keep the level, images do not."""
    rng = np.random.default_rng(5)
    group, rejected, rounds = np.repeat(np.arange(20), 10), np.zeros(2), 400
    for _ in range(rounds):
        turned = rng.choice((-1, 0, 1), 20, p=(0.3, 0.4, 0.3))[group]
        first, second = turned <= 0, turned >= 0
        alone = mcnemar(int((second & ~first).sum()), int((first & ~second).sum()))
        rejected += [mcnemar_grouped(first, second, group) < 0.05, alone < 0.05]
        low, high = paired_interval_grouped(first, second, group)
        assert (low > 0 or high < 0) <= (alone < 0.05)
    by_groups, by_images = rejected / rounds
    assert by_groups <= 0.06
    assert by_images > 0.3
    assert mcnemar_grouped(first, second, np.zeros(200, int)) == 1.0, "one group says nothing"


def test_images_that_belong_together_are_not_called_equivalent_too_often():
    """Groups of five that turn together; what a network loses is just the margin, in truth."""
    rng, margin, rounds = np.random.default_rng(6), 0.02, 400
    group, called = np.repeat(np.arange(1000), 5), np.zeros(2)
    for _ in range(rounds):
        change = rng.choice((-1, 0, 1), 1000, p=(0.06, 0.90, 0.04))[group]
        count = independent(change, group)
        for at, n in enumerate((count, len(group))):
            gained, lost = (n * float((change == sign).mean()) for sign in (1, -1))
            called[at] += equivalence(n, gained, lost, margin) < 0.05
    by_groups, by_images = called / rounds
    assert by_groups <= 0.07
    assert by_images > 0.15


@pytest.mark.parametrize("sizes", [[100] * 10 + [1] * 1000, [100] * 3 + [1] * 1000, [20] * 5 + [1] * 300])
def test_large_groups_that_seldom_turn_are_no_evidence_that_they_never_do(sizes):
    """Whole groups are lost with chance 0.05, the margin: what a large group did not do is not proven."""
    rng = np.random.default_rng(3)
    group, rounds, called, held = np.repeat(np.arange(len(sizes)), sizes), 300, np.zeros(2), np.zeros(2)
    n, margin = len(group), 0.05
    for _ in range(rounds):
        lost = (rng.random(len(sizes)) < margin)[group]
        count = independent(-lost.astype(float), group, differences=True)
        gained = np.zeros(n, bool)
        called += [
            equivalence(count, 0, lost.mean() * count, margin) < 0.05,
            extra_equivalence(-lost.astype(int), margin, count) < 0.05,
        ]
        bounds = paired_interval_grouped(~gained, ~lost, group), extra_interval(-lost.astype(int), count)
        held += [low <= -margin <= high for low, high in bounds]
    assert (called / rounds <= 0.07).all()
    assert (held / rounds >= 0.92).all()


@pytest.mark.parametrize("sizes", [[300, 1], [400, 1, 1], [1000, 1, 1, 1], [5, 4]])
@pytest.mark.parametrize("share", [1.0, 0.5])
def test_nearly_one_group_leaves_nearly_everything_open(sizes, share):
    """Far less than one image's worth: an interval of all there may be, and no division by zero."""
    group = np.repeat(np.arange(len(sizes)), sizes)
    right = np.arange(len(group)) < share * len(group)
    low, high = wilson_grouped(right, group)
    assert 0 <= low < 0.3
    assert 0.7 < high <= 1
    assert low <= right.mean() <= high
