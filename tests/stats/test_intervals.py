"""Intervals of means stay inside what scores can be; differences of which nothing is known have none, and no test."""

from math import inf, log

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import stats
from scipy.special import expit

from medbench.bench.errors import MedbenchError
from medbench.bench.stats import Comparison, claim, compare, holm, holm_over, paired_gap, summarize

SHARE, DISTANCE = (0.0, 1.0), (0.0, inf)
# Means of seeds 0.9 and 0.8, of images 0.8 and 0.9, no residuals: M_seed / S = M_img / N = 0.0025, so two degrees of
# freedom.
SQUARE = [[0.85, 0.95], [0.75, 0.85]]


def with_two_seeds(apart: float, images: int = 0) -> NDArray[np.float64]:
    """(2, 50) shares around 0.8, whose seeds lie apart by so much; `images` seeds what they are on each image."""
    return 0.8 + apart * np.array([[0.5], [-0.5]]) + np.random.default_rng(images).normal(0, 0.02, 50)


def test_a_share_worked_by_hand() -> None:
    found = summarize(SQUARE, bounds=SHARE)

    half = stats.t.ppf(0.975, 2) * 0.005**0.5 / (0.85 * 0.15)
    assert (found.mean, found.error, found.df) == pytest.approx((0.85, 0.005**0.5, 2))
    assert (found.ci_low, found.ci_high) == pytest.approx(
        (expit(log(0.85 / 0.15) - half), expit(log(0.85 / 0.15) + half))
    )


def test_a_distance_worked_by_hand() -> None:
    found = summarize(SQUARE, bounds=DISTANCE)

    factor = np.exp(stats.t.ppf(0.975, 2) * 0.005**0.5 / 0.85)
    assert (found.ci_low, found.ci_high) == pytest.approx((0.85 / factor, 0.85 * factor))


def test_bounds_elsewhere_are_the_same_scale_moved_and_stretched() -> None:
    table = np.array(SQUARE)

    found, moved = summarize(table, bounds=SHARE), summarize(10 * table - 5, bounds=(-5, 5))

    assert found.ci_low is not None
    assert found.ci_high is not None
    assert (moved.ci_low, moved.ci_high) == pytest.approx((10 * found.ci_low - 5, 10 * found.ci_high - 5))


def test_without_bounds_it_is_students() -> None:
    found = summarize(SQUARE)

    width = stats.t.ppf(0.975, 2) * 0.005**0.5
    assert (found.ci_low, found.ci_high) == pytest.approx((0.85 - width, 0.85 + width))


@settings(deadline=None, max_examples=200)
@given(arrays(np.float64, st.tuples(st.integers(2, 4), st.integers(2, 6)), elements=st.floats(0, 1)))
def test_whatever_the_scores_the_interval_of_a_share_holds_its_mean_and_stays_inside(table) -> None:
    found = summarize(table, bounds=SHARE)

    assert found.ci_low is not None
    assert found.ci_high is not None
    assert 0 <= found.ci_low <= found.mean + 1e-12
    assert found.mean - 1e-12 <= found.ci_high <= 1


@settings(deadline=None, max_examples=200)
@given(
    arrays(
        np.float64, st.tuples(st.integers(2, 4), st.integers(2, 6)), elements=st.floats(0, 1000, allow_subnormal=False)
    )
)
def test_whatever_the_distances_the_interval_holds_their_mean_and_is_never_negative(table) -> None:
    assume(table.any())

    found = summarize(table, bounds=DISTANCE)

    assert found.ci_low is not None
    assert found.ci_high is not None
    assert 0 <= found.ci_low <= found.mean * (1 + 1e-12)
    assert found.mean * (1 - 1e-12) <= found.ci_high < inf


@pytest.mark.parametrize(("score", "expected"), [(1.0, (0.025 ** (1 / 20), 1.0)), (0.0, (0.0, 1 - 0.025 ** (1 / 20)))])
def test_twenty_images_at_a_bound_leave_the_interval_of_twenty_coins(score: float, expected) -> None:
    found = summarize(np.full((3, 20), score), bounds=SHARE)

    hits = round(20 * score)
    coins = stats.binomtest(hits, 20).proportion_ci(method="exact")
    assert (found.ci_low, found.ci_high) == pytest.approx(expected)
    assert (found.ci_low, found.ci_high) == pytest.approx((coins.low, coins.high))


def test_distances_that_are_all_0_leave_no_interval() -> None:
    found = summarize(np.zeros((3, 12)), bounds=DISTANCE)

    assert (found.mean, found.ci_low, found.ci_high, found.too_few) == (0, None, None, "12 images")


def test_with_fewer_than_two_degrees_of_freedom_a_distance_has_students_interval_cut_at_0() -> None:
    table = 10 + 100 * with_two_seeds(0.2)

    found, students = summarize(table, bounds=DISTANCE), summarize(table)

    assert (found.df or 9) < 2
    assert (students.ci_low or 0) < 0
    assert (found.ci_low, found.ci_high) == (0, students.ci_high)


@pytest.mark.parametrize(
    ("truth", "spread"), [pytest.param(3.0, 1.0, id="near 1"), pytest.param(0.0, 1.0, id="at one half")]
)
def test_the_interval_of_a_share_covers_its_mean_in_about_95_percent(truth: float, spread: float) -> None:
    rng = np.random.default_rng(1)
    mean = float(expit(truth + (spread**2 + 0.2**2) ** 0.5 * stats.norm.ppf((np.arange(10_000) + 0.5) / 10_000)).mean())

    def covers() -> bool:
        table = expit(truth + rng.normal(0, spread, 100) + rng.normal(0, 0.2, (3, 100)))
        found = summarize(table, bounds=SHARE)
        return (found.ci_low or 0) < mean < (found.ci_high or 0)

    assert 0.92 < np.mean([covers() for _ in range(2000)]) < 0.97


def test_two_seeds_that_lie_apart_decide_nothing() -> None:
    found = compare(with_two_seeds(0.2), with_two_seeds(0.01), bounds=SHARE)

    assert (found.error, found.df, found.ci_low, found.ci_high, found.p_value, found.tost_low) == (None,) * 6
    assert (found.components, found.seed_share) == (None, None)
    assert found.too_few == "2 seeds"
    assert found.reason == "2 seeds leave fewer than the 2 degrees of freedom that an interval takes"


def test_two_seeds_that_agree_are_decided() -> None:
    found = compare(with_two_seeds(0.001), with_two_seeds(0.001, images=1), bounds=SHARE)

    assert (found.df or 0) > 2
    assert found.reason is None


def test_three_seeds_always_leave_two_degrees_of_freedom() -> None:
    table = np.array([[0.2], [0.8], [0.9]]) + np.zeros((3, 4))

    found = compare(table, np.full((3, 4), 0.5))

    assert found.df == pytest.approx(2)
    assert found.reason is None


def test_an_interval_wider_than_the_range_of_the_scores_is_no_interval() -> None:
    table = np.array([[0.0], [1.0], [1.0]]) + np.zeros((3, 4))
    other = np.full((3, 4), 0.5)

    found = compare(table, other, bounds=SHARE)

    wide = compare(table, other)
    assert (wide.ci_high or 0) - (wide.ci_low or 0) > 1
    assert (found.ci_low, found.p_value, found.too_few) == (None, None, "3 seeds")
    assert found.reason == "the interval that 3 seeds leave is wider than the range of the scores"


def test_a_variant_that_fails_is_worse_though_its_interval_is_cut_at_the_largest_difference() -> None:
    fails, works = (np.array(each)[:, None] + np.zeros((3, 4)) for each in ([0.0, 0.12, 0.03], [0.93, 0.96, 0.97]))

    found, uncut = compare(fails, works, bounds=SHARE), compare(fails, works)

    assert (uncut.ci_low or 0) < -1
    assert (found.ci_low, found.ci_high, found.p_value) == (-1, uncut.ci_high, uncut.p_value)
    assert (found.p_value or 1) < 0.01


def test_few_images_are_named_where_they_are_what_is_missing() -> None:
    a = np.array([[0.0, 1.0, 1.0], [0.0, 1.0, 1.0], [0.0, 1.0, 1.0]])

    assert compare(a, 1 - a, bounds=SHARE).too_few == "3 images"


def undecided(comparison: Comparison) -> str:
    return claim(comparison, 0.01, a="new", b="old", metric="Dice").verdict


def test_the_claim_names_what_there_is_too_little_of() -> None:
    assert undecided(compare(with_two_seeds(0.2), with_two_seeds(0.01))) == "cannot be decided with 2 seeds"


def test_a_refused_comparison_counts_in_its_family_and_has_no_p_value() -> None:
    baseline = with_two_seeds(0.001)
    first, second = (compare(with_two_seeds(0.001, images=each), baseline) for each in (1, 2))
    refused, single = compare(with_two_seeds(0.2), baseline), compare(baseline[:1], baseline)

    found = holm_over([first, refused, second, single])

    of_first, _, of_second = holm([first.p_value, 1.0, second.p_value])
    assert found == [of_first, None, of_second, None]
    assert of_first is not None


def test_so_does_a_gap_that_is_refused_and_one_of_a_single_seed_does_not() -> None:
    other = np.full((2, 50), 0.6)
    found, refused = (paired_gap(with_two_seeds(spread), other, bounds=SHARE) for spread in (0.001, 0.2))
    single = paired_gap(with_two_seeds(0.001)[:1], other[:1], bounds=SHARE)
    assert (refused.p_value, refused.too_few, single.too_few) == (None, "2 seeds", "1 seed")

    assert holm_over([found, refused, single]) == [*holm([found.p_value, 1.0])[:1], None, None]


@pytest.mark.parametrize(("score", "bounds"), [(1.01, SHARE), (-0.01, SHARE), (-1.0, DISTANCE)])
def test_a_score_out_of_bounds_is_named(score: float, bounds) -> None:
    table = np.full((2, 4), 0.5)
    table[1, 3] = score

    with pytest.raises(MedbenchError, match=rf"row 1 \(seed\), column 3 \(image\) is {score}, outside 0 to (1|inf)"):
        summarize(table, bounds=bounds)
    with pytest.raises(MedbenchError, match="scores of b"):
        compare(np.full((2, 4), 0.5), table, bounds=bounds)


def test_a_paired_gap_is_the_paired_t_test_over_images_when_seeds_agree() -> None:
    first, second = np.random.default_rng(3).uniform(0.5, 1, (2, 30))

    found = paired_gap(np.tile(first, (3, 1)), np.tile(second, (3, 1)), bounds=SHARE)

    expected = stats.ttest_rel(first, second)
    assert (found.gap, found.p_value, found.df) == pytest.approx((np.mean(first - second), expected.pvalue, 29))
    assert (found.ci_low, found.ci_high) == pytest.approx(tuple(expected.confidence_interval()))


def test_a_paired_gap_of_two_seeds_that_lie_apart_says_nothing() -> None:
    found = paired_gap(with_two_seeds(0.2), np.full((2, 50), 0.5), bounds=SHARE)

    assert (found.ci_low, found.p_value, found.too_few) == (None, None, "2 seeds")
    assert found.gap == pytest.approx(float(with_two_seeds(0.2).mean()) - 0.5)
