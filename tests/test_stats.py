from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from medbench.bench.errors import MedbenchError
from medbench.bench.stats import compare, holm, summarize, verdict

# By hand. A: means of images 2, 4 and of seeds 1.5, 4.5, residuals +-0.5: M_seed / S = 2.25, M_res / (S N) = 0.25.
# B: all means 0.5, residuals +-0.5: its seed term, 0 - 0.25, is cut. Differences of images 1.5, 3.5: M_img / N = 1.
A = [[1.0, 2.0], [3.0, 6.0]]
B = [[0.0, 1.0], [1.0, 0.0]]


def simulated(
    rng: np.random.Generator,
    n_seeds: int,
    *,
    image: NDArray[np.float64] | float = 0.0,
    n_images: int = 200,
    seed_sd: float = 0.003,
    variant_by_image_sd: float = 0.03,
    residual_sd: float = 0.04,
) -> NDArray[np.float64]:
    """(S, N) scores of one variant, 0.85 on average; deviations as seen among trained networks."""
    own = rng.normal(0, variant_by_image_sd, n_images)
    seed = rng.normal(0, seed_sd, (n_seeds, 1))
    return 0.85 + image + own + seed + rng.normal(0, residual_sd, (n_seeds, n_images))


def null_pairs(n_seeds: int, n_repetitions: int = 2000):
    """Pairs of tables of two variants without a difference, on the same images."""
    rng = np.random.default_rng(n_seeds)
    for _ in range(n_repetitions):
        image = rng.normal(0, 0.1, 200)
        yield simulated(rng, n_seeds, image=image), simulated(rng, n_seeds, image=image)


def anova(table: NDArray[np.float64]) -> tuple[float, float, float]:
    """Mean squares of images, seeds and residual, by least squares on indicator columns."""
    n_seeds, n_images = table.shape
    seed, image = (index.ravel() for index in np.indices(table.shape))
    seeds, images = np.eye(n_seeds)[seed], np.eye(n_images)[image]

    def left_over(*columns) -> float:
        design = np.column_stack([np.ones(table.size), *columns])
        return float(np.sum((table.ravel() - design @ np.linalg.lstsq(design, table.ravel())[0]) ** 2))

    full = left_over(seeds, images)
    df_residual = (n_seeds - 1) * (n_images - 1)
    return (
        (left_over(seeds) - full) / (n_images - 1),
        (left_over(images) - full) / (n_seeds - 1),
        full / df_residual,
    )


def test_a_comparison_worked_by_hand() -> None:
    comparison = compare(A, B)

    df = 3**2 / (1**2 / 1 + 2.25**2 / 1 + 0.25**2 / 1)
    width = stats.t.ppf(0.975, df) * 3**0.5
    assert comparison.difference == 2.5
    assert comparison.df == pytest.approx(df)
    assert (comparison.ci_low, comparison.ci_high) == pytest.approx((2.5 - width, 2.5 + width))
    assert comparison.p_value == pytest.approx(2 * stats.t.sf(2.5 / 3**0.5, df))
    assert comparison.effect_size == pytest.approx(2.5 / 2**0.5)
    assert comparison.seed_share == pytest.approx(2 / 3)


def test_a_summary_worked_by_hand() -> None:
    summary = summarize(A)

    df = 3**2 / (1**2 / 1 + 2.25**2 / 1 + 0.25**2 / 1)
    assert (summary.mean, summary.df) == pytest.approx((3, df))
    assert (summary.sd_seeds, summary.sd_images) == pytest.approx((4.5**0.5, 2**0.5))
    assert summary.ci_high == pytest.approx(3 + stats.t.ppf(0.975, df) * 3**0.5)


def test_mean_squares_agree_with_an_analysis_of_variance_by_least_squares() -> None:
    rng = np.random.default_rng(7)
    table = simulated(rng, 4, image=rng.normal(0, 0.1, 12), n_images=12, seed_sd=0.1)

    summary = summarize(table)

    images, seeds, residual = anova(table)
    variance = (images + seeds - residual) / table.size
    df = (images + seeds - residual) ** 2 / (images**2 / 11 + seeds**2 / 3 + residual**2 / 33)
    assert seeds > residual
    assert summary.df == pytest.approx(df)
    assert summary.ci_high == pytest.approx(table.mean() + stats.t.ppf(0.975, df) * variance**0.5)


def test_without_a_seed_effect_the_comparison_is_a_paired_t_test_over_images() -> None:
    a, b = np.random.default_rng(8).normal(0.8, 0.1, (2, 3, 20))
    a, b = (table - table.mean(axis=1, keepdims=True) + table.mean() for table in (a, b))

    comparison = compare(a, b)

    _, expected = stats.ttest_rel(a.mean(axis=0), b.mean(axis=0))
    assert (comparison.p_value, comparison.df) == pytest.approx((expected, 19))


@pytest.mark.parametrize("n_seeds", [3, 5])
def test_a_true_null_hypothesis_is_rejected_in_about_5_percent(n_seeds: int) -> None:
    rejected = np.mean([(compare(a, b).p_value or 0) < 0.05 for a, b in null_pairs(n_seeds)])

    assert 0.03 < rejected < 0.07


@pytest.mark.parametrize("n_seeds", [3, 5])
def test_pooling_seeds_and_images_as_if_independent_rejects_far_too_often(n_seeds: int) -> None:
    differences = np.stack([(a - b).ravel() for a, b in null_pairs(n_seeds)])

    _, p_values = stats.ttest_1samp(differences, 0, axis=1)

    assert np.mean(np.asarray(p_values) < 0.05) > 0.2


@pytest.mark.parametrize(("image_sd", "seed_sd"), [(0.1, 0.003), (0.05, 0.02)])
@pytest.mark.parametrize("n_seeds", [3, 5])
def test_the_interval_of_a_summary_covers_the_true_mean_in_about_95_percent(n_seeds, image_sd, seed_sd) -> None:
    rng = np.random.default_rng(n_seeds)

    def covers() -> bool:
        summary = summarize(simulated(rng, n_seeds, image=rng.normal(0, image_sd, 200), seed_sd=seed_sd))
        return (summary.ci_low or 0) < 0.85 < (summary.ci_high or 0)

    assert 0.92 < np.mean([covers() for _ in range(2000)]) < 0.98


def test_swapping_the_variants_changes_the_sign_alone() -> None:
    forth, back = compare(A, B), compare(B, A)

    assert (back.difference, back.ci_low, back.ci_high) == (
        -forth.difference,
        -(forth.ci_high or 0),
        -(forth.ci_low or 0),
    )
    assert back.p_value == forth.p_value


def test_the_order_of_seeds_and_images_does_not_matter() -> None:
    a, b = simulated(np.random.default_rng(1), 4), simulated(np.random.default_rng(2), 3)
    order = np.random.default_rng(3).permutation(200)

    assert compare(a[::-1, order], b[:, order]).p_value == pytest.approx(compare(a, b).p_value)


def test_the_difficulty_of_an_image_that_all_share_cancels() -> None:
    a, b = simulated(np.random.default_rng(1), 4), simulated(np.random.default_rng(2), 3)
    difficulty = np.random.default_rng(3).normal(0, 10, 200)

    assert compare(a + difficulty, b + difficulty).p_value == pytest.approx(compare(a, b).p_value)


def test_the_equivalence_interval_is_the_90_percent_interval_whatever_the_level() -> None:
    comparison, at_90 = compare(A, B, level=0.99), compare(A, B, level=0.9)

    assert (comparison.tost_low, comparison.tost_high) == (at_90.ci_low, at_90.ci_high)


@pytest.mark.parametrize(("a", "b"), [([[0.5, 0.7]], B), (A, [[0.5, 0.7]])])
def test_one_seed_allows_no_claim_about_the_method(a, b) -> None:
    comparison = compare(a, b)

    assert (comparison.ci_low, comparison.p_value, comparison.df, comparison.tost_high) == (None,) * 4
    assert comparison.reason == "one seed: no claim about the method can be made"


def test_one_image_allows_no_claim() -> None:
    assert compare([[0.5], [0.6]], [[0.7], [0.7]]).reason == "one image: no claim about new images can be made"


def test_one_seed_or_one_image_has_no_deviation_and_no_interval() -> None:
    summary = summarize([[0.5]])

    assert (summary.sd_seeds, summary.sd_images, summary.ci_low, summary.df) == (None,) * 4


@pytest.mark.parametrize("score", [0.0, 0.1, 0.8, 1.0])
def test_equal_constant_tables_do_not_differ_whatever_the_number_of_seeds(score: float) -> None:
    comparison = compare(np.full((3, 7), score), np.full((5, 7), score))

    assert comparison.p_value == pytest.approx(1, abs=0.001)
    assert (comparison.difference, comparison.effect_size) == (pytest.approx(0), None)


def test_a_constant_difference_without_any_variance_is_certain() -> None:
    comparison = compare(np.ones((3, 7)), np.zeros((3, 7)))

    assert (comparison.ci_low, comparison.ci_high, comparison.p_value) == pytest.approx((1, 1, 0))


def test_a_score_that_is_missing_is_named() -> None:
    table = np.ones((2, 4))
    table[1, 3] = np.nan

    with pytest.raises(MedbenchError, match=r"scores of b: row 1 \(seed\), column 3 \(image\) is nan"):
        compare(np.ones((2, 4)), table)


def test_tables_of_different_images_are_refused() -> None:
    with pytest.raises(ValueError, match="a has 3 images and b 4"):
        compare(np.ones((2, 3)), np.ones((2, 4)))


@pytest.mark.parametrize("table", [[0.5, 0.6], [[]]])
def test_what_is_no_table_is_refused(table) -> None:
    with pytest.raises(ValueError, match="shape"):
        summarize(table)


def test_a_level_outside_0_to_1_is_refused() -> None:
    with pytest.raises(ValueError, match="level must lie between 0 and 1, got 95"):
        compare(A, B, level=95)


def test_holm_worked_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_what_was_not_tested_does_not_count_in_the_family() -> None:
    assert holm([None, 0.02, None]) == [None, 0.02, None]


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


@pytest.mark.parametrize(
    ("difference", "half_width", "p_adjusted", "higher_is_better", "expected"),
    [
        pytest.param(0.03, 0.01, 0.001, True, "better", id="higher dice"),
        pytest.param(-0.03, 0.01, 0.001, True, "worse", id="lower dice"),
        pytest.param(-0.03, 0.01, 0.001, False, "better", id="lower distance"),
        pytest.param(0.03, 0.01, 0.05, True, "no difference shown", id="5 % itself is not below 5 %"),
        pytest.param(0.0, 0.02, 0.9, True, "no difference shown", id="too few data to call it equal"),
        pytest.param(0.0, 0.005, 0.9, True, "practically equal", id="the whole interval within the margin"),
        pytest.param(0.004, 0.002, 0.001, True, "practically equal", id="significant, yet surely below the margin"),
        pytest.param(0.03, 0.01, None, True, "no claim", id="no test"),
    ],
)
def test_verdicts(difference, half_width, p_adjusted, higher_is_better, expected) -> None:
    comparison = replace(
        compare(A, B), difference=difference, tost_low=difference - half_width, tost_high=difference + half_width
    )

    assert verdict(comparison, 0.01, p_adjusted, higher_is_better=higher_is_better) == expected


def test_without_a_margin_nothing_is_practically_equal() -> None:
    identical = compare(A, A)

    assert verdict(identical, 0, identical.p_value) == "no difference shown"


def test_one_seed_is_never_a_verdict_even_with_a_p_value() -> None:
    assert verdict(compare([[0.5, 0.6]], B), 0.01, 0.001) == "no claim"


def test_a_negative_margin_is_refused() -> None:
    with pytest.raises(ValueError, match="margin must be 0 or more"):
        verdict(compare(A, B), -0.01, 0.5)
