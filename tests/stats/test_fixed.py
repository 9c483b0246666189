"""Fixed-model tests and effect sizes against their definitions."""

from itertools import product

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from medbench.bench.errors import MedbenchError
from medbench.bench.stats import effects, fixed_model

TABLES = arrays(np.float64, (2, 5), elements=st.integers(0, 4).map(float))


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@example(np.array([[0.0] * 5, [0, 0, 0, 0, 2]]), np.array([[0.0] * 5, [0, 1, 1, 3, 0]]))
@given(TABLES, TABLES)
def test_the_permutation_test_of_few_images_counts_every_pattern_of_signs(a, b) -> None:
    differences = a.mean(axis=0) - b.mean(axis=0)
    means = [abs(np.mean(np.array(signs) * differences)) for signs in product((-1, 1), repeat=5)]

    p = fixed_model(a, b, rng=rng()).permutation_p

    assert p == pytest.approx(np.mean([mean >= abs(differences.mean()) - 1e-9 for mean in means]))


def test_wilcoxon_is_that_of_seed_averages() -> None:
    a, b = np.random.default_rng(3).normal(0.8, 0.1, (2, 3, 40))

    found = fixed_model(a, b, rng=rng())

    _, expected = stats.wilcoxon(a.mean(axis=0) - b.mean(axis=0))
    assert found.wilcoxon_p == pytest.approx(expected)
    assert found.n_images == 40


def test_the_permutation_test_of_many_images_is_close_to_a_t_test() -> None:
    a, b = np.random.default_rng(4).normal(0.8, 0.1, (2, 3, 400))

    found = fixed_model(a, b, rng=rng())

    assert found.permutation_p == pytest.approx(stats.ttest_rel(a.mean(axis=0), b.mean(axis=0)).pvalue, abs=0.02)


def test_the_same_generator_gives_the_same_answer_whatever_the_global_seed() -> None:
    a, b = np.random.default_rng(5).normal(0.8, 0.1, (2, 3, 30))

    np.random.seed(1)  # noqa: NPY002
    first = fixed_model(a, b, rng=rng())
    np.random.seed(2)  # noqa: NPY002

    assert fixed_model(a, b, rng=rng()) == first


def test_equal_tables_do_not_differ_though_their_averages_are_rounded_differently() -> None:
    a = np.array([[0.1, 0.7], [0.2, 0.1], [0.3, 0.4]])

    found = fixed_model(a, a[::-1], rng=rng())

    assert (found.wilcoxon_p, found.permutation_p) == (1, 1)
    assert effects(a, a[::-1]).standardised is None


def test_one_seed_is_enough() -> None:
    assert fixed_model([[0.5, 0.6, 0.7]], [[0.1, 0.3, 0.2]], rng=rng()).permutation_p == 0.25


@given(TABLES, TABLES)
def test_improvement_counts_pairs_of_trainings_on_the_same_image(a, b) -> None:
    won = [(x > y) + (x == y) / 2 for image in range(5) for x in a[:, image] for y in b[:, image]]

    assert effects(a, b).improvement == pytest.approx(np.mean(won))


@given(TABLES, TABLES)
def test_rank_biserial_is_the_balance_of_the_signed_ranks(a, b) -> None:
    differences = a.mean(axis=0) - b.mean(axis=0)
    differences = differences[differences != 0]

    found = effects(a, b).rank_biserial

    if differences.size == 0:
        assert found is None
    else:
        ranks = [np.mean([(abs(d) > abs(e)) + (abs(d) == abs(e)) / 2 for e in differences]) for d in differences]
        ranks = np.array(ranks) * differences.size + 0.5
        assert found == pytest.approx(ranks[differences > 0].sum() / ranks.sum() * 2 - 1)


@given(TABLES, TABLES)
def test_swapping_the_variants_mirrors_every_effect(a, b) -> None:
    forth, back = effects(a, b), effects(b, a)

    assert back.improvement == pytest.approx(1 - forth.improvement)
    assert (back.standardised or 0) == pytest.approx(-(forth.standardised or 0))
    assert (back.rank_biserial or 0) == pytest.approx(-(forth.rank_biserial or 0))


def test_standardised_is_the_mean_over_the_deviation_of_the_images_differences() -> None:
    assert effects([[1.5, 3.5]], [[0, 0]]).standardised == pytest.approx(2.5 / 2**0.5)


def test_a_score_that_is_missing_is_named() -> None:
    with pytest.raises(MedbenchError, match=r"scores of b: row 0 \(seed\), column 1"):
        effects([[1, 2]], [[1, np.nan]])
