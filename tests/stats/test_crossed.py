"""The crossed analysis: by hand, against least squares and known tests, and by simulation."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.special import expit

from medbench.bench.errors import MedbenchError
from medbench.bench.stats import Components, compare, summarize

# By hand. A: means of images 2, 4 and of seeds 1.5, 4.5, residuals +-0.5: M_seed / S = 2.25, M_res / S = 0.5.
# B: means of images 1.5, of seeds 0, 3, no residuals: M_seed / S = 2.25. Differences of images 0.5, 2.5: M_img = 2, and
# without the residuals 1.5, so 0.75 for the mean.
A = [[1.0, 2.0], [3.0, 6.0]]
B = [[0.0, 0.0], [3.0, 3.0]]
# Means of images 2, 4, 6 and of seeds 3, 5, residuals 0, -1, 1 and 0, 1, -1: M_seed / S = 1, M_res / S = 1, M_img = 4,
# and without the residuals 3, so 1 for the mean.
C = [[1.0, 2.0, 6.0], [3.0, 6.0, 6.0]]


def simulated(
    rng: np.random.Generator,
    n_seeds: int,
    *,
    image: NDArray[np.float64] | float = 0.0,
    n_images: int = 200,
    seed_sd: float = 0.003,
    variant_by_image_sd: float = 0.03,
    residual_sd: float = 0.04,
    skewed: bool = False,
) -> NDArray[np.float64]:
    """(S, N) scores of one variant, 0.85 on average; deviations as seen among trained networks.

    `skewed` are bounded by 0 and 1 and pile up near 1, as Dice does: the same on a logit scale, ten times as wide.
    """
    own = rng.normal(0, variant_by_image_sd, n_images)
    seed = rng.normal(0, seed_sd, (n_seeds, 1))
    deviation = image + own + seed + rng.normal(0, residual_sd, (n_seeds, n_images))
    return expit(2.2 + 10 * deviation) if skewed else 0.85 + deviation


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

    df = 5.25**2 / (2.25**2 / 1 + 2.25**2 / 1 + 0.75**2 / 1)
    width = stats.t.ppf(0.975, df) * 5.25**0.5
    assert comparison.difference == 1.5
    assert comparison.error == pytest.approx(5.25**0.5)
    assert comparison.df == pytest.approx(df)
    assert (comparison.ci_low, comparison.ci_high) == pytest.approx((1.5 - width, 1.5 + width))
    assert comparison.p_value == pytest.approx(2 * stats.t.sf(1.5 / 5.25**0.5, df))
    assert comparison.seed_share == pytest.approx((4.0 + 4.5) / 2 / 5.25)
    assert comparison.components == Components(
        images=1.5, seeds=(4.0, 4.5), residuals=(1.0, 0.0), n_seeds=(2, 2), n_images=2
    )


def test_a_summary_worked_by_hand() -> None:
    summary = summarize(C)

    df = 2**2 / (1**2 / 1 + 1**2 / 2)
    assert (summary.mean, summary.error, summary.df) == pytest.approx((4, 2**0.5, df))
    assert (summary.sd_seeds, summary.sd_images) == pytest.approx((2**0.5, 2))
    assert summary.ci_high == pytest.approx(4 + stats.t.ppf(0.975, df) * 2**0.5)


def test_mean_squares_agree_with_an_analysis_of_variance_by_least_squares() -> None:
    rng = np.random.default_rng(7)
    table = simulated(rng, 4, image=rng.normal(0, 0.1, 12), n_images=12, seed_sd=0.1)

    summary = summarize(table)

    images, seeds, residual = anova(table)
    variance = (images + seeds - residual) / table.size
    df = (images + seeds - residual) ** 2 / ((images - residual) ** 2 / 11 + seeds**2 / 3)
    assert images > residual
    assert summary.df == pytest.approx(df)
    assert summary.ci_high == pytest.approx(table.mean() + stats.t.ppf(0.975, df) * variance**0.5)


def test_when_seeds_make_no_difference_it_is_a_paired_t_test_over_images() -> None:
    a, b = np.random.default_rng(8).normal(0.8, 0.1, (2, 20))

    comparison = compare(np.tile(a, (3, 1)), np.tile(b, (5, 1)))

    _, expected = stats.ttest_rel(a, b)
    assert (comparison.p_value, comparison.df, comparison.seed_share) == pytest.approx((expected, 19, 0))


def test_when_images_make_no_difference_it_is_welchs_test_on_the_means_of_seeds() -> None:
    rng = np.random.default_rng(9)
    a, b, difficulty = rng.normal(0.8, 0.1, 3), rng.normal(0.7, 0.02, 6), rng.normal(0, 0.1, 20)

    comparison = compare(a[:, None] + difficulty, b[:, None] + difficulty)

    expected: Any = stats.ttest_ind(a, b, equal_var=False)
    assert (comparison.p_value, comparison.df) == pytest.approx((expected.pvalue, expected.df))
    assert comparison.seed_share == pytest.approx(1)


def test_components_give_back_the_error_of_the_study_that_they_come_from() -> None:
    rng = np.random.default_rng(10)
    comparison = compare(simulated(rng, 4, seed_sd=0.02), simulated(rng, 3, seed_sd=0.02))

    assert comparison.components is not None
    error, _ = comparison.components.error((4, 3), 200)
    assert error == pytest.approx(comparison.error)


def test_components_are_those_that_scores_were_simulated_with() -> None:
    rng = np.random.default_rng(11)
    image = rng.normal(0, 0.1, 4000)
    a, b = (simulated(rng, 300, image=image, n_images=4000, seed_sd=0.02) for _ in range(2))

    components = compare(a, b).components

    assert components is not None
    assert components.images == pytest.approx(2 * 0.03**2, rel=0.1)
    assert components.seeds == pytest.approx((0.02**2, 0.02**2), rel=0.2)
    assert components.residuals == pytest.approx((0.04**2, 0.04**2), rel=0.01)


NULLS = [
    pytest.param(3, 3, 200, {"seed_sd": 0.0}, id="deterministic trainings but for noise"),
    pytest.param(3, 3, 200, {}, id="seeds as seen in practice"),
    pytest.param(5, 5, 200, {}, id="five seeds"),
    pytest.param(10, 10, 100, {}, id="ten seeds"),
    pytest.param(3, 8, 200, {}, id="three seeds against eight"),
    pytest.param(5, 5, 200, {"seed_sd": 0.05}, id="seeds dominate"),
    pytest.param(5, 5, 30, {}, id="few images"),
    pytest.param(5, 5, 200, {"seed_sd": 0.0, "variant_by_image_sd": 0.0}, id="one variant under two names"),
    pytest.param(5, 5, 200, {"skewed": True}, id="skewed scores below 1"),
    pytest.param(5, 5, 200, {"skewed": True, "seed_sd": 0.05}, id="skewed, seeds dominate"),
]


@pytest.mark.parametrize(("seeds_a", "seeds_b", "n_images", "how"), NULLS)
def test_a_true_null_hypothesis_is_rejected_in_about_5_percent(seeds_a, seeds_b, n_images, how) -> None:
    rng = np.random.default_rng(12)

    def rejects() -> bool:
        image = rng.normal(0, 0.1, n_images)
        a, b = (simulated(rng, seeds, image=image, n_images=n_images, **how) for seeds in (seeds_a, seeds_b))
        return (compare(a, b).p_value or 0) < 0.05

    assert 0.03 < np.mean([rejects() for _ in range(2000)]) < 0.07


def test_the_interval_of_a_comparison_covers_the_true_difference_in_about_95_percent() -> None:
    rng = np.random.default_rng(13)

    def covers() -> bool:
        image = rng.normal(0, 0.1, 200)
        a, b = (simulated(rng, 4, image=image) for _ in range(2))
        comparison = compare(a + 0.02, b)
        return (comparison.ci_low or 0) < 0.02 < (comparison.ci_high or 0)

    assert 0.93 < np.mean([covers() for _ in range(2000)]) < 0.97


@pytest.mark.parametrize("n_seeds", [3, 5])
def test_pooling_seeds_and_images_as_if_independent_rejects_far_too_often(n_seeds: int) -> None:
    rng = np.random.default_rng(n_seeds)
    pairs = [(simulated(rng, n_seeds), simulated(rng, n_seeds)) for _ in range(2000)]

    _, p_values = stats.ttest_1samp(np.stack([(a - b).ravel() for a, b in pairs]), 0, axis=1)

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

    assert (comparison.ci_low, comparison.p_value, comparison.df, comparison.components) == (None,) * 4
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
    assert comparison.difference == pytest.approx(0)


def test_seeds_that_each_miss_another_image_are_not_certain_though_their_means_are_equal() -> None:
    a, b = np.ones((3, 20)), np.full((3, 20), 0.9)
    a[[0, 1, 2], [4, 9, 14]] = 0.0

    comparison, summary = compare(a, b), summarize(a)

    residual = 3 * (2 / 3) / (2 * 19)  # (2/3)^2 + 2 (1/3)^2 on each of three images
    assert comparison.difference == pytest.approx(0.05)
    assert comparison.error == pytest.approx((residual / 60) ** 0.5)
    assert comparison.df == pytest.approx(2)
    assert summary.error == pytest.approx(comparison.error)
    assert compare(a[::-1], b[::-1]).error == pytest.approx(comparison.error)


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
