"""Equivalence and non-inferiority against the intervals and one-sided tests that they stand for."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from medbench.bench.stats import compare, equivalence, non_inferiority

A = np.array([[0.80, 0.90, 0.70, 0.85], [0.82, 0.91, 0.69, 0.85], [0.81, 0.91, 0.70, 0.84]])
B = np.array([[0.79, 0.90, 0.71, 0.84], [0.81, 0.90, 0.70, 0.86], [0.80, 0.92, 0.70, 0.84]])


@given(st.floats(0.0001, 0.2))
def test_equivalence_at_5_percent_means_that_the_90_percent_interval_lies_within_the_margin(margin: float) -> None:
    comparison = compare(A, B)
    assert comparison.tost_low is not None
    assert comparison.tost_high is not None

    within = -margin < comparison.tost_low and comparison.tost_high < margin

    assert ((equivalence(comparison, margin) or 0) < 0.05) == within


def test_both_are_one_sided_t_tests_when_seeds_make_no_difference() -> None:
    a, b = np.random.default_rng(1).normal(0.8, 0.05, (2, 30))
    comparison = compare(np.tile(a, (2, 1)), np.tile(b, (2, 1)))

    above: Any = stats.ttest_1samp(a - b, -0.02, alternative="greater")
    below: Any = stats.ttest_1samp(a - b, 0.02, alternative="less")

    assert equivalence(comparison, 0.02) == pytest.approx(max(above.pvalue, below.pvalue))
    assert non_inferiority(comparison, 0.02) == pytest.approx(above.pvalue)
    assert non_inferiority(comparison, 0.02, higher_is_better=False) == pytest.approx(below.pvalue)


def test_swapping_the_variants_changes_nothing_about_equivalence() -> None:
    assert equivalence(compare(A, B), 0.01) == pytest.approx(equivalence(compare(B, A), 0.01))


def test_without_any_variance_the_difference_itself_decides() -> None:
    comparison = compare(np.full((2, 3), 0.5), np.full((2, 3), 0.75))

    assert [equivalence(comparison, margin) for margin in (0.2, 0.3)] == [1, 0]
    assert [non_inferiority(comparison, margin) for margin in (0.2, 0.3)] == [1, 0]


def test_one_seed_allows_neither() -> None:
    comparison = compare(A[:1], B)

    assert (equivalence(comparison, 0.1), non_inferiority(comparison, 0.1)) == (None, None)


def test_a_negative_margin_is_refused() -> None:
    with pytest.raises(ValueError, match="margin must be 0 or more"):
        equivalence(compare(A, B), -0.01)


def test_variants_that_differ_by_the_margin_are_called_equivalent_in_at_most_5_percent() -> None:
    rng = np.random.default_rng(2)

    def tables(shift: float):
        own = rng.normal(0, 0.03, 200)
        return 0.85 + shift + own + rng.normal(0, 0.003, (4, 1)) + rng.normal(0, 0.04, (4, 200))

    called = [(equivalence(compare(tables(0.01), tables(0)), 0.01) or 0) < 0.05 for _ in range(1000)]

    assert np.mean(called) < 0.07
