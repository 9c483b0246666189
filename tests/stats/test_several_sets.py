"""Whether a difference depends on the data set: Welch's analysis of variance of estimates with errors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import f_oneway

from medbench.bench.stats.several_sets import dependence


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32), st.integers(2, 6))
def test_with_means_of_samples_it_is_scipys_analysis_without_equal_variances(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    samples = [rng.normal(rng.normal(), rng.uniform(0.3, 3), rng.integers(4, 20)) for _ in range(k)]
    expected = f_oneway(*samples, equal_var=False)

    found = dependence(
        [each.mean() for each in samples],
        [each.std(ddof=1) / np.sqrt(len(each)) for each in samples],
        [len(each) - 1 for each in samples],
    )

    assert found is not None
    assert found.f == pytest.approx(expected.statistic)
    assert found.p_value == pytest.approx(expected.pvalue)


@pytest.mark.parametrize("df", [3, 20])
def test_estimates_of_one_number_are_told_apart_in_five_of_a_hundred_studies(df: int) -> None:
    rng = np.random.default_rng(0)
    errors = np.array([0.01, 0.03, 0.02, 0.05, 0.01])
    n = 4000
    estimates = rng.normal(0, errors, (n, 5))
    known = errors * np.sqrt(rng.chisquare(df, (n, 5)) / df)

    rejected = [
        found.p_value < 0.05
        for each, error in zip(estimates, known, strict=True)
        if (found := dependence(each, error, [df] * 5)) is not None
    ]

    assert 0.03 < np.mean(rejected) < 0.08


def test_one_estimate_depends_on_nothing() -> None:
    assert dependence([0.1], [0.02], [4.0]) is None
    assert dependence([0.1, 0.2], [0.02, 0.0], [4.0, 4.0]) is None
