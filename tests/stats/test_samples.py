"""The gap between two samples of images covers the truth as often as it says, and is Welch's test in its corner."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from medbench.bench.errors import MedbenchError
from medbench.bench.stats import gap

Table = NDArray[np.float64]


def study(
    rng: np.random.Generator, n_seeds: int, sizes: tuple[int, int], seeds: float, images: float, rest: float
) -> tuple[Table, Table]:
    """Two samples without a gap: every training has an effect in common to both, and one of its own on each."""
    common = rng.normal(0, 3 * seeds, (n_seeds, 1))
    first, second = (
        common
        + rng.normal(0, seeds, (n_seeds, 1))
        + rng.normal(0, images, (1, size))
        + rng.normal(0, rest, (n_seeds, size))
        for size in sizes
    )
    return first, second


@pytest.mark.parametrize(
    ("n_seeds", "sizes", "seeds", "images", "rest"),
    [(5, (60, 40), 0.01, 0.1, 0.05), (3, (200, 30), 0.01, 0.1, 0.05), (5, (50, 50), 0.05, 0.02, 0.02)],
)
def test_true_gaps_of_nothing_are_rejected_in_about_one_of_twenty(
    n_seeds: int, sizes: tuple[int, int], seeds: float, images: float, rest: float
) -> None:
    rng = np.random.default_rng(0)
    found = [gap(*study(rng, n_seeds, sizes, seeds, images, rest)) for _ in range(1500)]

    rejected = np.mean([(each.p_value or 0) < 0.05 for each in found])
    covered = np.mean([(each.ci_low or 0) < 0 < (each.ci_high or 0) for each in found])

    assert 0.03 < rejected < 0.07
    assert covered == pytest.approx(1 - rejected)


def test_trainings_that_agree_leave_welchs_test_of_two_samples_of_images() -> None:
    rng = np.random.default_rng(1)
    first, second = np.tile(rng.normal(1, 0.1, 40), (4, 1)), np.tile(rng.normal(0.9, 0.3, 25), (4, 1))

    found = gap(first, second)

    expected: Any = stats.ttest_ind(first[0], second[0], equal_var=False)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.df == pytest.approx(expected.df)
    assert [found.ci_low, found.ci_high] == pytest.approx(list(expected.confidence_interval()))


def test_what_trainings_have_in_common_on_both_samples_does_not_widen_the_gap() -> None:
    rng = np.random.default_rng(2)
    first, second = study(rng, 4, (50, 50), 0.001, 0.1, 0.05)
    shift = np.array([[0.3], [-0.3], [0.1], [0.0]])

    assert gap(first + shift, second + shift).error == pytest.approx(gap(first, second).error)


def test_one_training_or_one_image_claims_nothing() -> None:
    assert gap([[1.0, 0.5]], [[0.5, 0.5]]).gap == 0.25
    assert gap([[1.0, 0.5]], [[0.5, 0.5]]).ci_low is None
    assert gap([[1.0], [0.9]], [[0.5, 0.4], [0.5, 0.4]]).p_value is None


def test_equal_tables_have_no_gap() -> None:
    assert gap(np.ones((2, 3)), np.ones((2, 4))).p_value == 1


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="2 trainings and second 3"):
        gap(np.ones((2, 3)), np.ones((3, 3)))
    with pytest.raises(MedbenchError, match=r"second: row 1 .*column 0"):
        gap(np.ones((2, 3)), [[1, 1], [np.nan, 1]])
