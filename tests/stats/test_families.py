"""Adjusted p-values against what they are defined by."""

from itertools import combinations
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from medbench.bench.stats import holm


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
        expected = np.asarray(multipletests(p_values, method="holm")[1])

    assert holm(p_values) == expected.tolist()


def test_an_empty_family_stays_empty() -> None:
    assert holm([None, None]) == [None, None]
    assert holm([]) == []
