"""Estimates over strata: DeLong's variance where trainings agree, the crossed analysis where there is one stratum, and
calibrated."""

import numpy as np
import pytest
from numpy.typing import NDArray

from medbench.bench.metrics.labels import auroc_parts
from medbench.bench.stats import compare, gap, stratified, stratified_difference, summarize

from ..benchmarks.labels import rates

Values = NDArray[np.float64]


def probabilities(seed: int, n_seeds: int, truth: NDArray[np.intp], n_classes: int) -> Values:
    rng = np.random.default_rng(seed)
    logits = 1.2 * np.eye(n_classes)[truth] + rng.normal(0, 1, (len(truth), n_classes))
    logits = logits + rng.normal(0, 0.5, (n_seeds, *logits.shape))
    return np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)


def areas(p: Values, truth: NDArray[np.intp]) -> list[Values]:
    parts = [auroc_parts(each, truth) for each in p]
    return [np.stack(each) for each in zip(*(part for part in parts if part is not None), strict=True)]


def delong(score: Values, positive: NDArray[np.bool_]) -> float:
    """The variance of one area, pair by pair, as the paper writes it."""
    order = np.array([[(a > b) + 0.5 * (a == b) for b in score[~positive]] for a in score[positive]])
    m, n = order.shape
    area = order.mean()
    v10 = [order[i].sum() / n for i in range(m)]
    v01 = [order[:, j].sum() / m for j in range(n)]
    s10 = sum((v - area) ** 2 for v in v10) / (m - 1)
    s01 = sum((v - area) ** 2 for v in v01) / (n - 1)
    return s10 / m + s01 / n


TRUTH = np.arange(2).repeat([25, 15])


def test_where_trainings_agree_the_variance_is_delongs() -> None:
    p = probabilities(0, 1, TRUTH, 2)[[0, 0, 0]]

    found = stratified(areas(p, TRUTH), bounds=(0, 1))

    assert found.error is not None
    assert found.error**2 == pytest.approx(delong(p[0, :, 1], TRUTH == 1))


def test_where_trainings_agree_the_variance_of_a_difference_is_delongs() -> None:
    """By the covariance of two areas: placement values of the difference."""
    a, b = (probabilities(seed, 1, TRUTH, 2)[[0, 0]] for seed in (1, 2))
    order = [
        np.sign(p[0, TRUTH == 1, 1][:, None] - p[0, TRUTH == 0, 1]) / 2 + 0.5  # no two are equal here
        for p in (a, b)
    ]
    differences = order[0] - order[1]
    expected = sum(differences.mean(axis=axis).var(ddof=1) / differences.shape[1 - axis] for axis in (0, 1))

    found = stratified_difference(areas(a, TRUTH), areas(b, TRUTH), bounds=(0, 1))

    assert found.value == pytest.approx(differences.mean())
    assert (found.error or 0) ** 2 == pytest.approx(expected)


def test_trainings_vary_an_estimate_by_their_own_areas() -> None:
    """The three sums, written out from the tables."""
    strata = areas(probabilities(3, 4, TRUTH, 2), TRUTH)
    every = sum(table.mean(axis=1) for table in strata)
    expected = float(np.var(every, ddof=1)) / 4
    for table in strata:
        rest = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()
        residual = np.square(rest).sum() / (3 * (table.shape[1] - 1))
        expected += max(table.mean(axis=0).var(ddof=1) - residual / 4, 0) / table.shape[1]

    assert (stratified(strata, bounds=(0, 1)).error or 0) ** 2 == pytest.approx(expected)


def test_one_stratum_is_the_crossed_analysis() -> None:
    rng = np.random.default_rng(4)
    a, b = rng.uniform(0.2, 0.8, (2, 3, 30))
    groups = np.arange(10).repeat(3).tolist()

    for labels in (None, groups):
        known = None if labels is None else [labels]
        one, mean = stratified([a], bounds=(0, 1), groups=known), summarize(a, bounds=(0, 1), groups=labels)
        two, pair = (
            stratified_difference([a], [b], bounds=(0, 1), groups=known),
            compare(a, b, bounds=(0, 1), groups=labels),
        )
        assert (one.ci_low, one.ci_high, one.df) == pytest.approx((mean.ci_low, mean.ci_high, mean.df))
        assert (two.p_value, two.ci_low, two.df) == pytest.approx((pair.p_value, pair.ci_low, pair.df))


def test_two_strata_of_which_one_is_taken_off_are_a_gap() -> None:
    rng = np.random.default_rng(5)
    first, second = rng.normal(0, 1, (4, 20)), rng.normal(0, 1, (4, 12))
    groups = [np.arange(10).repeat(2).tolist(), np.arange(100, 104).repeat(3).tolist()]

    for known in (None, groups):
        found = stratified([first, -second], bounds=(-9, 9), groups=known)
        labels = dict(zip(("first_groups", "second_groups"), known or (None, None), strict=True))
        expected = gap(first, second, **labels)
        assert (found.value, found.error, found.df) == pytest.approx((expected.gap, expected.error, expected.df))


def test_a_group_with_images_of_both_classes_counts_once() -> None:
    """Each patient has an image of either class, right in both or in neither: 12 patients, not 24 images."""
    right = np.random.default_rng(6).integers(0, 2, (1, 12)).astype(float).repeat(3, axis=0)
    patients = list(range(12))

    found = stratified([right / 2, right / 2], bounds=(0, 1), groups=[patients, patients])

    expected = summarize(right, bounds=(0, 1))
    assert (found.value, found.error, found.df) == pytest.approx((expected.mean, expected.error, expected.df))
    apart = stratified([right / 2, right / 2], bounds=(0, 1))
    assert (apart.error or 0) < 0.8 * (found.error or 0)


@pytest.mark.parametrize(
    ("tables", "few"),
    [([[[0.5, 0.0]], [[0.5, 0.5]]], "1 seed"), ([[[0.5, 0.0], [0.0, 0.5]], [[0.5], [0.0]]], "1 image")],
)
def test_too_little_is_told_and_nothing_is_claimed(tables: list[list[list[float]]], few: str) -> None:
    found = stratified(tables, bounds=(0, 1))

    assert (found.too_few, found.ci_low, found.error) == (few, None, None)
    assert stratified_difference(tables, tables, bounds=(0, 1)).too_few == few


def test_what_is_always_right_is_not_certain() -> None:
    right = [np.full((3, 40), 0.5), np.full((3, 10), 0.5)]

    found = stratified(right, bounds=(0, 1))

    assert (found.value, found.ci_high) == (1, 1)
    assert found.ci_low == pytest.approx(0.025**0.1)  # ten coins, the images of the smaller class


def test_other_images_or_trainings_are_refused() -> None:
    with pytest.raises(ValueError, match="not the same images"):
        stratified_difference([np.zeros((2, 3))], [np.zeros((2, 4))], bounds=(0, 1))
    with pytest.raises(ValueError, match="different numbers of trainings"):
        stratified([np.zeros((2, 3)), np.zeros((3, 3))], bounds=(0, 1))
    with pytest.raises(ValueError, match="labels of 1 strata"):
        stratified([np.zeros((2, 3)), np.zeros((2, 3))], bounds=(0, 1), groups=[[1, 2, 3]])


@pytest.mark.parametrize("n_seeds", [3, 5, 10])
@pytest.mark.parametrize("metric", ["AUROC", "balanced accuracy"])
def test_estimates_are_calibrated(metric: str, n_seeds: int) -> None:
    rejected, held = rates(metric, (60, 30), n_seeds, 1000)

    assert 0.03 <= rejected <= 0.07
    assert 0.93 <= held <= 0.97
