"""Adjusted p-values against what they are defined by."""

from itertools import combinations
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from medbench.bench.stats import benjamini_hochberg, holm


def test_holm_worked_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_what_was_not_tested_does_not_count_in_the_family() -> None:
    assert holm([None, 0.02, None]) == [None, 0.02, None]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(0, 1), max_size=6))
def test_holm_is_bonferroni_over_every_subfamily(p_values: list[float]) -> None:
    """The closed test: a hypothesis falls when every family that contains it does."""
    expected = [
        max(
            min(1.0, len(family) * min(p_values[member] for member in family))
            for size in range(1, len(p_values) + 1)
            for family in combinations(range(len(p_values)), size)
            if index in family
        )
        for index in range(len(p_values))
    ]

    assert holm(p_values) == pytest.approx(expected)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_statsmodels_adjusts_alike(p_values: list[float]) -> None:
    with patch("gc.collect"):  # which statsmodels calls each time
        expected = {method: np.asarray(multipletests(p_values, method=method)[1]) for method in ("holm", "fdr_bh")}

    assert holm(p_values) == expected["holm"].tolist()
    assert benjamini_hochberg(p_values) == pytest.approx(expected["fdr_bh"].tolist(), rel=1e-12)


def test_benjamini_hochberg_worked_by_hand() -> None:
    assert benjamini_hochberg([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.16 / 3, 0.16 / 3, 0.5])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.floats(0.001, 0.5))
def test_benjamini_hochberg_rejects_as_the_step_up_procedure_does(p_values: list[float], q: float) -> None:
    """The k smallest are rejected, with the largest k whose k-th p-value is at most q k / m."""
    ordered = sorted(p_values)
    passing = [k for k, p in enumerate(ordered, start=1) if p <= q * k / len(p_values) * (1 - 1e-9)]
    expected = {p for p in ordered[: max(passing, default=0)]}

    rejected = {p for p, adjusted in zip(p_values, benjamini_hochberg(p_values), strict=True) if (adjusted or 0) <= q}

    assert expected <= rejected
    assert all(p <= q for p in rejected)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(0, 1), max_size=6))
def test_the_false_discovery_rate_is_never_stricter_than_the_family_error(p_values: list[float]) -> None:
    pairs = zip(benjamini_hochberg(p_values), holm(p_values), strict=True)

    assert all((rate or 0) <= (family or 0) + 1e-12 for rate, family in pairs)


def test_an_empty_family_stays_empty() -> None:
    assert benjamini_hochberg([None, None]) == [None, None]
    assert holm([]) == []
